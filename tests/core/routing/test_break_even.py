"""How a cascade's verifier is fitted, and when the cascade is said to pay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.cascade.break_even import (
    CascadeLabel,
    calibrate_cascade,
    fit_logistic,
    required_auc,
)
from llm_optimizers.routing.cascade.checks import Agreement, Check, NotEmpty
from llm_optimizers.routing.cascade.verifier import Judge


def labels(count: int = 400, *, noise: float = 0.3, worth: float = 1.0) -> list[CascadeLabel]:
    """Cheap answers of which a half is right; the lower `noise`, the better the scores tell."""
    rng = np.random.default_rng(7)
    found = []
    for number in range(count):
        right = number % 2 == 0
        agreement = float(np.clip(right + rng.normal(scale=noise), 0.0, 1.0))
        judge = float(np.clip(right + rng.normal(scale=noise), 0.0, 1.0))
        found.append(
            CascadeLabel(
                checks={"agreement": agreement, "judge": judge},
                cheap=worth if right else 0.0,
                strong=1.0,
            )
        )
    return found


CHECKS: list[Check] = [Agreement()]


def test_no_verifier_needs_to_be_better_than_perfect() -> None:
    assert required_auc(0.9) < 1.0
    assert required_auc(2.0) == 1.0


def gradient(
    checks: list[dict[str, float]], right: list[bool], weights: Mapping[str, float], bias: float
) -> np.ndarray:
    """The slope of the log-likelihood less half the squared weights; bias first."""
    names = sorted(weights)
    table = np.array([[1.0, *(scores.get(name, 0.5) for name in names)] for scores in checks])
    all_weights = np.array([bias, *(weights[name] for name in names)])
    chance = 1 / (1 + np.exp(-table @ all_weights))
    return table.T @ (np.array(right) - chance) - np.array([0.0, *all_weights[1:]])


def test_the_fitted_weights_are_the_best_there_are() -> None:
    rng = np.random.default_rng(0)
    right = [bool(x) for x in rng.random(300) < 0.7]
    checks = [
        {"a": float(good + rng.normal()), "b": float(2 * good + rng.normal())} for good in right
    ]
    weights, bias = fit_logistic(checks, right)
    assert set(weights) == {"a", "b"}
    assert gradient(checks, right, weights, bias) == pytest.approx(0.0, abs=1e-4)


def test_a_check_that_could_not_tell_counts_with_the_middle() -> None:
    rng = np.random.default_rng(1)
    right = [bool(x) for x in rng.random(300) < 0.5]
    checks = [{"a": float(good)} if rng.random() < 0.8 else {"b": 1.0} for good in right]
    filled = [{"a": scores.get("a", 0.5), "b": scores.get("b", 0.5)} for scores in checks]
    assert fit_logistic(checks, right) == fit_logistic(filled, right)


def test_scores_far_out_and_all_on_one_side_are_fitted_without_overflow() -> None:
    checks = [{"a": 5_000.0}, {"a": -5_000.0}] * 30
    weights, _ = fit_logistic(checks, [True, False] * 30)
    assert weights["a"] > 0
    weights, _ = fit_logistic(checks, [False, True] * 30)
    assert weights["a"] < 0


def test_the_verifier_is_the_fitted_one_with_the_threshold_that_was_found() -> None:
    found, judge = labels(), Judge(model="large")
    verifier, report = calibrate_cascade(found, CHECKS, judge=judge, price_ratio=0.1, tolerance=0.1)
    assert verifier.judge is judge
    assert set(verifier.weights) == {"agreement", "judge"}
    assert all(weight > 0 for weight in verifier.weights.values())
    assert verifier.bias < 0
    assert report.labels == 200
    chances = np.array([verifier.probability(label.checks) for label in found])
    right = np.array([label.cheap == 1.0 for label in found])
    assert 0.0 < verifier.threshold < 1.0
    assert verifier.threshold != 0.5
    assert (chances[right] >= verifier.threshold).mean() > 0.9
    assert (chances < verifier.threshold).mean() == pytest.approx(report.escalated, abs=0.06)


def test_scores_of_a_judge_that_is_not_asked_are_left_out() -> None:
    verifier, _ = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.1)
    assert set(verifier.weights) == {"agreement"}
    assert verifier.judge is None


def test_three_hundred_labels_are_enough() -> None:
    _, report = calibrate_cascade(labels(300), CHECKS, price_ratio=0.1, tolerance=0.1)
    assert report.labels == 150
    with pytest.raises(ConfigurationError, match="label 1 more"):
        calibrate_cascade(labels(299), CHECKS, price_ratio=0.1, tolerance=0.1)


def test_an_answer_worth_a_half_counts_as_right() -> None:
    _, report = calibrate_cascade(labels(worth=0.5), CHECKS, price_ratio=0.1, tolerance=0.1)
    assert report.auc.value > 0.9


def test_the_same_labels_give_the_same_report_each_time() -> None:
    first = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.1)
    again = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.1, seed=0)
    other = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.1, seed=1)
    assert first[1] == again[1] != other[1]


def test_less_confidence_gives_narrower_bounds() -> None:
    _, sure = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.2, confidence=0.99)
    _, rough = calibrate_cascade(labels(), CHECKS, price_ratio=0.1, tolerance=0.2, confidence=0.6)
    assert sure.auc.low < rough.auc.low
    assert sure.escalated > rough.escalated


def test_answers_that_may_not_be_kept_are_all_escalated() -> None:
    _, report = calibrate_cascade(labels(noise=9.0), CHECKS, price_ratio=0.1, tolerance=0.001)
    assert report.escalated == 1.0
    assert report.reasons[-1].startswith("at no threshold")


def test_cheap_calls_at_the_strong_models_price_do_not_pay() -> None:
    """A perfect verifier that keeps everything costs as much as it saves."""
    perfect = labels(noise=0.0)
    _, report = calibrate_cascade(perfect, CHECKS, price_ratio=1.0, tolerance=1.0)
    assert (report.required, report.escalated) == (1.0, 0.0)
    assert report.auc.low == 1.0
    assert report.reasons == ("it would escalate 0% and so cost more than it saves",)


def test_the_reason_names_the_share_that_would_be_escalated() -> None:
    _, report = calibrate_cascade(labels(noise=0.1), CHECKS, price_ratio=0.9, tolerance=0.05)
    assert 0.2 < report.escalated < 0.8
    assert report.reasons[-1].startswith(f"it would escalate {report.escalated:.0%} and so")


def test_all_checks_are_kept_also_those_that_were_never_scored() -> None:
    checks: list[Check] = [Agreement(), NotEmpty()]
    verifier, _ = calibrate_cascade(labels(), checks, price_ratio=0.1, tolerance=0.1)
    assert verifier.checks == tuple(checks)
