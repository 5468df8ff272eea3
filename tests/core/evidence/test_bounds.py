"""Bounds against exact computations and simulations."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence import (
    bootstrap_interval,
    confidence_sequence_half_width,
    mean_difference,
    mean_interval,
    mean_loss_interval,
    rate_upper_bound,
    safe_threshold,
    samples_needed,
)
from llm_optimizers.evidence.bounds import Interval, quantile


def at_most(seen: int, trials: int, rate: Fraction) -> Fraction:
    """The binomial distribution, exactly."""
    return sum(
        (math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(seen + 1)),
        Fraction(0),
    )


@given(st.integers(1, 60), st.data(), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_rate_bound_matches_the_exact_binomial(trials, data, confidence):
    seen = data.draw(st.integers(0, trials - 1))
    bound = Fraction(rate_upper_bound(seen, trials, confidence=confidence))
    step = Fraction(1, 10**9)
    allowed = 1 - Fraction(confidence)
    assert at_most(seen, trials, bound + step) < allowed < at_most(seen, trials, bound - step)


def test_the_rate_bound_is_clopper_and_pearsons():
    assert rate_upper_bound(0, 45, confidence=0.9) == pytest.approx(1 - 0.1 ** (1 / 45))
    assert rate_upper_bound(3, 100, confidence=0.95) == pytest.approx(0.0757, abs=1e-4)
    assert rate_upper_bound(5, 5, confidence=0.9) == 1
    assert rate_upper_bound(0, 0, confidence=0.9) == 1


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_the_rate_bound_holds_with_the_stated_confidence(rate):
    rng = random.Random(0)
    seen = [sum(rng.random() < rate for _ in range(80)) for _ in range(2_000)]
    held = sum(rate_upper_bound(k, 80, confidence=0.9) >= rate for k in seen)
    assert held >= 0.88 * 2_000


@given(st.floats(0.001, 0.6), st.sampled_from([0.8, 0.9, 0.99]))
def test_samples_needed_is_the_smallest_sufficient_number(tolerance, confidence):
    needed = samples_needed(tolerance, confidence=confidence)
    assert rate_upper_bound(0, needed, confidence=confidence) <= tolerance + 1e-9
    assert rate_upper_bound(0, needed - 1, confidence=confidence) > tolerance - 1e-9


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1.0, float("nan")])
def test_a_tolerance_outside_zero_to_one_is_rejected(tolerance):
    with pytest.raises(ConfigurationError, match=r"`tolerance` is .* above 0 and below 1"):
        samples_needed(tolerance, confidence=0.9)


def test_the_mean_interval_is_normal():
    values = np.array([0.0, 1.0, 1.0, 2.0])
    found = mean_interval(values, confidence=0.95)
    spread = NormalDist().inv_cdf(0.975) * math.sqrt((2 / 3) / 4)
    assert found.value == 1.0
    assert (found.low, found.high) == pytest.approx((1 - spread, 1 + spread))
    assert str(found) == f"1.000 ({1 - spread:.3f} to {1 + spread:.3f})"


def test_the_loss_bound_allows_for_losses_never_seen():
    losses = np.zeros(100)
    found = mean_loss_interval(losses, worst=1.0, confidence=0.95)
    assert found.value == 0.0
    assert 0.01 < found.high < 0.05
    assert losses.size == 100


def test_the_mean_loss_bound_holds_with_the_stated_confidence():
    """One request of a hundred loses its answer, so that samples without a loss occur."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1_000):
        losses = (rng.random(500) < 0.01).astype(float)
        held += mean_loss_interval(losses, worst=1.0, confidence=0.95).high >= 0.01
    assert held >= 930


def test_the_interval_of_a_difference_uses_both_variances():
    a, b = [1.0, 2.0, 3.0], [0.0, 0.0, 3.0, 1.0]
    found = mean_difference(a, b, confidence=0.9)
    spread = NormalDist().inv_cdf(0.95) * math.sqrt(1 / 3 + 2 / 4)
    assert found.value == 1.0
    assert (found.low, found.high) == pytest.approx((1 - spread, 1 + spread))
    mirrored = mean_difference(b, a, confidence=0.9)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_a_confidence_sequence_holds_at_every_sample_size_at_once():
    broken = 0
    for seed in range(100):
        rng = random.Random(seed)
        values = [float(rng.random() < 0.5) for _ in range(600)]
        broken += any(
            abs(sum(values[:n]) / n - 0.5)
            > confidence_sequence_half_width(values[:n], alpha=0.1, expected=300)
            for n in range(30, 601, 10)
        )
    assert broken <= 10


def test_a_confidence_sequence_of_equal_values_still_has_a_width():
    assert confidence_sequence_half_width([1.0] * 5, alpha=0.05, expected=500) > 0.2


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999]),
)
def test_resampled_bounds_are_percentiles(values, confidence):
    tail = 50.0 * (1.0 - confidence)
    found = bootstrap_interval(7.0, values, confidence=confidence)
    assert found.value == 7.0
    assert [found.low, found.high] == np.percentile(values, [tail, 100.0 - tail]).tolist()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_equal_numpys(values, share):
    assert quantile(sorted(values), share) == np.quantile(values, share)


@given(st.integers(0, 1_000), st.sampled_from([0.01, 0.03, 0.1]))
def test_the_threshold_keeps_the_tolerance_on_its_own_labels(seed, tolerance):
    rng = np.random.default_rng(seed)
    gains = rng.choice([-1.0, 0.0, 1.0], size=400, p=[0.05, 0.75, 0.2])
    scores = gains * 0.3 + rng.normal(size=400)
    safe = safe_threshold(scores, gains, tolerance=tolerance)
    assert safe.loss.high <= tolerance
    if safe.score is not None:
        served = scores <= safe.score
        assert served.mean() == pytest.approx(safe.share)
        assert gains[served].sum() / 400 == pytest.approx(safe.loss.value)


def test_equal_scores_are_on_the_same_side_of_the_threshold():
    scores = np.array([0.0] * 50 + [1.0] * 350)
    gains = np.zeros(400)
    gains[50:] = 1.0
    safe = safe_threshold(scores, gains, tolerance=0.05)
    assert (safe.score, safe.share) == (0.0, 0.125)


def test_no_threshold_is_safe_where_every_request_loses():
    safe = safe_threshold(np.arange(400.0), np.ones(400), tolerance=0.01)
    assert (safe.score, safe.share, safe.loss.value) == (None, 0.0, 0.0)


def test_the_threshold_keeps_the_tolerance_on_new_requests():
    """The threshold's loss on fresh requests exceeds the tolerance in at most 1 of 20 draws."""
    broken = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        losses = rng.choice([-1.0, 0.0, 1.0], size=4_000, p=[0.05, 0.75, 0.2])
        scores = losses * 0.4 + rng.normal(size=4_000)
        safe = safe_threshold(scores[:600], losses[:600], tolerance=0.03)
        if safe.score is not None:
            served = scores[600:] <= safe.score
            broken += losses[600:][served].sum() / 3_400 > 0.03 + 0.005
    assert broken <= 10


def test_a_confidence_sequence_has_the_published_width():
    """Theorem 2.2 of arXiv:2103.06476, with rho tuned to the expected number of values."""
    values = [0.0, 1.0] * 60
    sigma, n, alpha, expected = np.std(values, ddof=1), 120, 0.1, 300
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / expected
    published = sigma * math.sqrt(
        2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha)
    )
    found = confidence_sequence_half_width(values, alpha=alpha, expected=expected)
    assert found == pytest.approx(published, rel=1e-12)


def test_equal_values_are_given_the_spread_of_one_in_their_number():
    constant = confidence_sequence_half_width([1.0] * 50, alpha=0.05, expected=500)
    varied = confidence_sequence_half_width([0.0, 1.0] * 25, alpha=0.05, expected=500)
    spread = float(np.std([0.0, 1.0] * 25, ddof=1))
    assert constant == pytest.approx(varied / spread / 50)


def test_the_loss_bound_is_that_of_the_sample_with_the_worst_loss_added():
    losses = np.array([0.0, 0.5, 0.25, 0.25])
    found = mean_loss_interval(losses, worst=1.0, confidence=0.9)
    with_worst = [*losses, 1.0]
    spread = NormalDist().inv_cdf(0.9) * np.std(with_worst, ddof=1) / math.sqrt(5)
    assert found.value == 0.25
    assert found.low == pytest.approx(0.25 - spread)
    assert found.high == pytest.approx(0.4 + spread)


def thresholds_tried_one_by_one(scores, losses, tolerance, confidence, steps):
    """The definition of `safe_threshold`, slowly: every threshold, from low to high."""
    best = None
    for step in range(1, steps + 1):
        wanted = len(scores) * step // steps
        if not wanted:
            continue
        limit = np.sort(scores)[wanted - 1]
        lost = np.where(scores <= limit, losses, 0.0)
        bound = mean_loss_interval(lost, worst=max(losses.max(), 0.0), confidence=confidence)
        if bound.high > tolerance:
            break
        best = (limit, (scores <= limit).mean(), bound)
    return best


@given(
    st.integers(0, 1_000),
    st.sampled_from([0.02, 0.05, 0.2]),
    st.sampled_from([0.8, 0.95]),
    st.sampled_from([1, 7, 50]),
    st.sampled_from([30, 400]),
    st.booleans(),
)
def test_the_threshold_is_the_last_that_passes_before_one_fails(
    seed, tolerance, confidence, steps, count, ties
):
    rng = np.random.default_rng(seed)
    losses = rng.choice([-0.5, 0.0, 1.0], size=count, p=[0.1, 0.75, 0.15])
    scores = losses * 0.6 + rng.normal(size=count)
    if ties:
        scores = scores.round()
    found = safe_threshold(scores, losses, tolerance=tolerance, confidence=confidence, steps=steps)
    best = thresholds_tried_one_by_one(scores, losses, tolerance, confidence, steps)
    if best is None:
        nothing = Interval(value=0.0, low=0.0, high=0.0)
        assert (found.score, found.share, found.loss) == (None, 0.0, nothing)
    else:
        assert (found.score, found.share, found.loss) == best


def test_without_settings_the_threshold_is_tried_in_fifty_steps_at_95_percent():
    rng = np.random.default_rng(3)
    losses = rng.choice([0.0, 1.0], size=500, p=[0.9, 0.1])
    scores = losses * 0.5 + rng.normal(size=500)
    assert safe_threshold(scores, losses, tolerance=0.05) == safe_threshold(
        scores, losses, tolerance=0.05, confidence=0.95, steps=50
    )
    others = [
        safe_threshold(scores, losses, tolerance=0.05, confidence=0.9),
        safe_threshold(scores, losses, tolerance=0.05, steps=51),
    ]
    assert safe_threshold(scores, losses, tolerance=0.05) not in others


def test_where_every_request_gains_all_are_below_the_threshold():
    found = safe_threshold(np.arange(100.0), np.full(100, -1.0), tolerance=0.1)
    assert (found.score, found.share, found.loss.value) == (99.0, 1.0, -1.0)


def test_a_bound_equal_to_the_tolerance_is_within_it():
    scores, losses = np.arange(100.0), np.zeros(100)
    assert safe_threshold(scores, losses, tolerance=0.0).share == 1.0


def test_a_single_request_may_be_all_that_is_safe():
    losses = np.array([0.0] + [1.0] * 29)
    bound = mean_loss_interval(np.zeros(30), worst=1.0, confidence=0.95)
    safe = safe_threshold(np.arange(30.0), losses, tolerance=bound.high, steps=30)
    assert (safe.score, safe.share, safe.loss) == (0.0, 1 / 30, bound)
