"""Compute bounds that hold at a stated confidence: on a rate, a mean, a mean loss.

    rate_upper_bound    a rate that was observed k times in n trials (exact, binomial)
    samples_needed      how many trials without a failure show a rate below a tolerance
    mean_interval       a mean (normal)
    mean_loss_interval  a mean loss whose worst case may be missing from the sample
    mean_difference     the means of two groups (normal, unpooled)
    bootstrap_interval  any estimate that was resampled
    safe_threshold      the largest score up to which the mean loss stays within a tolerance
    confidence_sequence_half_width  a mean that is checked repeatedly while data arrive

All are pure functions of the sample. `confidence` is the probability that a bound holds for
traffic like the sample; for other traffic no bound here holds (see `drift`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import TYPE_CHECKING

from llm_optimizers.arguments import number, numbers, refuse, whole
from llm_optimizers.arguments import values as iterated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Interval",
    "Threshold",
    "bootstrap_interval",
    "confidence_sequence_half_width",
    "mean_difference",
    "mean_interval",
    "mean_loss_interval",
    "quantile",
    "rate_upper_bound",
    "safe_threshold",
    "samples_needed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A point estimate with the bounds of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The largest safe score, the share of requests up to it, and the mean loss they cause.

    If no threshold is safe, `score` is None and the share and the loss are 0.
    """

    score: float | None
    share: float
    loss: Interval


def rate_upper_bound(seen: int, trials: int, *, confidence: float) -> float:
    """Return the one-sided upper bound on the rate of an event seen `seen` times in `trials`.

    Exact for independent trials (Clopper and Pearson 1934): at this rate, `seen` events or fewer
    have probability 1 - confidence.
    """
    whole("trials", trials, least=whole("seen", seen, least=0))
    _confidence(confidence)
    if seen >= trials:
        return 1.0
    low, high = seen / trials, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _at_most(seen, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def samples_needed(tolerance: float, *, confidence: float) -> int:
    """Return how many trials without a failure bring `rate_upper_bound` within `tolerance`.

    This is the smallest n with (1 - tolerance)^n <= 1 - confidence.

    Raises:
        ConfigurationError: `tolerance` is not between 0 and 1, so no number is enough.
    """
    number("tolerance", tolerance, above=0, below=1)
    _confidence(confidence)
    return math.ceil(math.log(1 - confidence) / math.log(1 - tolerance))


def _confidence(value: float) -> None:
    number("confidence", value, above=0, below=1)


def _array(name: str, value: object, *, least: int) -> NDArray[np.float64]:
    """Check one number for each request; finite, shape (n,)."""
    import numpy as np  # most of the package works without it

    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim == 1 and len(found) >= least and np.isfinite(found).all():
        return found
    return refuse(name, value, f"an array of {least} or more finite numbers")


def _at_most(successes: int, trials: int, share: float) -> float:
    """Return P(X ≤ successes) of a binomial, computed in logarithms to avoid overflow."""
    return sum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(share)
            + (trials - k) * math.log1p(-share)
        )
        for k in range(successes + 1)
    )


def mean_interval(values: NDArray[np.float64], *, confidence: float) -> Interval:
    """Return a mean with two-sided normal bounds; needs some tens of values, shape (n,)."""
    values = _array("values", values, least=2)
    _confidence(confidence)
    mean = float(values.mean())
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(value=mean, low=mean - spread, high=mean + spread)


def mean_loss_interval(losses: NDArray[np.float64], *, worst: float, confidence: float) -> Interval:
    """Return a mean loss with one-sided normal bounds that assume one more loss, of size `worst`.

    Without it, a sample that contains no rare loss has no variance and its bounds are too
    narrow. Agresti and Coull (1998) add successes and failures to a sample for the same reason.
    """
    losses = _array("losses", losses, least=1)
    number("worst", worst)
    _confidence(confidence)
    seen = losses.copy()
    seen.resize(len(losses) + 1, refcheck=False)
    seen[-1] = worst
    z = NormalDist().inv_cdf(confidence)
    spread = z * float(seen.std(ddof=1)) / math.sqrt(len(seen))
    mean = float(losses.mean())
    return Interval(value=mean, low=mean - spread, high=float(seen.mean()) + spread)


def mean_difference(a: Sequence[float], b: Sequence[float], *, confidence: float) -> Interval:
    """Return mean(a) - mean(b) with two-sided normal bounds and unpooled variances."""
    a, b = numbers("a", a, least=2), numbers("b", b, least=2)
    _confidence(confidence)
    value = fmean(a) - fmean(b)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * math.sqrt(variance(a) / len(a) + variance(b) / len(b))
    return Interval(value=value, low=value - spread, high=value + spread)


def confidence_sequence_half_width(
    values: Sequence[float], *, alpha: float, expected: int
) -> float:
    """Return half the width of a confidence sequence at level 1 - alpha on a mean.

    It holds for every sample size at once, so the mean may be checked after every value
    (asymptotic confidence sequence, arXiv:2103.06476, theorem 2.2). It is tightest at about
    `expected` values.
    """
    values = numbers("values", values, least=2)
    number("alpha", alpha, above=0, below=1)
    whole("expected", expected, least=1)
    doubled = -2.0 * math.log(alpha)
    rho2 = (doubled + math.log(doubled + 1.0)) / expected
    size = len(values)
    inner = size * rho2 + 1.0
    scale = 2.0 * inner / (size * size * rho2) * math.log(math.sqrt(inner) / alpha)
    # A sample without variance does not prove that later values have none.
    spread = max(math.sqrt(variance(values)), 1.0 / size)
    return spread * math.sqrt(scale)


def bootstrap_interval(value: float, resampled: Iterable[float], *, confidence: float) -> Interval:
    """Return an estimate with the two-sided percentile bounds of its resamples (Efron 1979)."""
    number("value", value)
    _confidence(confidence)
    listed = tuple(iterated("resampled", resampled, "numbers"))
    ordered = sorted(numbers("resampled", listed, least=1))
    tail = (50.0 * (1.0 - confidence)) / 100.0
    upper = (100.0 - 50.0 * (1.0 - confidence)) / 100.0
    return Interval(value=value, low=quantile(ordered, tail), high=quantile(ordered, upper))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie, interpolated linearly.

    Definition 7 of Hyndman and Fan (1996), as numpy computes it.
    """
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    part = place - below
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    # Interpolating from the nearer neighbour makes the result exact at both ends.
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1.0 - part)


def safe_threshold(
    scores: NDArray[np.float64],
    losses: NDArray[np.float64],
    *,
    tolerance: float,
    confidence: float = 0.95,
    steps: int = 50,
) -> Threshold:
    """Return the largest score up to which the mean loss over all requests stays in tolerance.

    `scores` and `losses` have one value per request, shape (n,): low scores are the safe ones, and
    a loss is what the request loses if the saving is made on it, negative for a gain. Thresholds
    are tried from low to high, `steps` in all, and the search stops at the first that fails, so
    the error probability holds for all tries together (fixed-sequence testing; Learn then Test,
    arXiv:2110.01052). Each is bounded by `mean_loss_interval`.
    """
    scores, losses = _array("scores", scores, least=1), _array("losses", losses, least=1)
    if len(scores) != len(losses):
        refuse("losses", losses, f"{len(scores)} of them, one for each of `scores`")
    number("tolerance", tolerance, least=0)
    _confidence(confidence)
    whole("steps", steps, least=1)
    order = scores.argsort(kind="stable")
    ordered, size, count = scores[order], len(scores), 0
    worst = max(float(losses.max()), 0.0)
    chosen = Threshold(score=None, share=0.0, loss=Interval(value=0.0, low=0.0, high=0.0))
    for step in range(1, steps + 1):
        wanted = size * step // steps
        if wanted <= count:
            continue
        # Requests with equal scores always fall on the same side of the threshold.
        count = int(ordered.searchsorted(ordered[wanted - 1], side="right"))
        lost = losses.copy()
        lost[order[count:]] = 0.0
        bound = mean_loss_interval(lost, worst=worst, confidence=confidence)
        if bound.high > tolerance:
            break
        chosen = Threshold(score=float(ordered[count - 1]), share=count / size, loss=bound)
    return chosen
