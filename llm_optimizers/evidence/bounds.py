"""Bounds that hold at a stated confidence: on a rate, on a mean, on a mean loss.

    rate_upper_bound    a share seen k times in n (exact, binomial)
    samples_needed      how many agreements in a row prove a rate below a tolerance
    mean_interval       a mean (normal)
    mean_loss_interval  a mean loss of which the worst may not have been seen yet
    mean_difference     two groups' means (normal, unpooled)
    bootstrap_interval  any estimate that was resampled
    safe_threshold      how far down a score may be trusted within a tolerance on the mean loss
    confidence_sequence_half_width  a mean that is looked at again and again

Pure functions of what was seen. `confidence` is the probability that a bound holds, over samples
drawn as these were: no bound here says anything of traffic of another kind (see `drift`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import TYPE_CHECKING

from llm_optimizers.errors import ConfigurationError

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
    """The score up to which a saving may be made, the share it reaches, and what that loses.

    `score` is None, the share 0 and the loss nothing where no threshold is safe.
    """

    score: float | None
    share: float
    loss: Interval


def rate_upper_bound(seen: int, trials: int, *, confidence: float) -> float:
    """The one-sided upper bound on a rate that was seen `seen` times in `trials`.

    Exact for independent trials (Clopper and Pearson 1934): the rate at which so few would have
    been seen with probability 1 - confidence.
    """
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
    """How many trials without one failure put `rate_upper_bound` within `tolerance`.

    The least n with (1 - tolerance)^n <= 1 - confidence.

    Raises:
        ConfigurationError: no number does, since `tolerance` is not between 0 and 1.
    """
    if not 0 < tolerance < 1:
        raise ConfigurationError(f"the tolerance is {tolerance}; give a share between 0 and 1")
    return math.ceil(math.log(1 - confidence) / math.log(1 - tolerance))


def _at_most(successes: int, trials: int, share: float) -> float:
    """P(X ≤ successes) of a binomial, by logarithms so that large samples do not overflow."""
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
    """A mean with two-sided normal bounds (central limit theorem): for some tens of values on."""
    mean = float(values.mean())
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(value=mean, low=mean - spread, high=mean + spread)


def mean_loss_interval(losses: NDArray[np.float64], *, worst: float, confidence: float) -> Interval:
    """A mean loss with one-sided normal bounds, as if one more loss of the `worst` size was seen.

    Rare losses may be missing from a sample altogether, which then has no variance; the added one
    plays the part of the added successes and failures in Agresti and Coull's interval (1998).
    """
    seen = losses.copy()
    seen.resize(len(losses) + 1, refcheck=False)
    seen[-1] = worst
    z = NormalDist().inv_cdf(confidence)
    spread = z * float(seen.std(ddof=1)) / math.sqrt(len(seen))
    mean = float(losses.mean())
    return Interval(value=mean, low=mean - spread, high=float(seen.mean()) + spread)


def mean_difference(a: Sequence[float], b: Sequence[float], *, confidence: float) -> Interval:
    """The mean of `a` less that of `b`, two-sided normal bounds with unpooled variances."""
    value = fmean(a) - fmean(b)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * math.sqrt(variance(a) / len(a) + variance(b) / len(b))
    return Interval(value=value, low=value - spread, high=value + spread)


def confidence_sequence_half_width(
    values: Sequence[float], *, alpha: float, expected: int
) -> float:
    """Half the width of a confidence sequence at level 1 - alpha on a mean.

    It holds at every number of values at once, so that one may look as often as one likes
    (asymptotic confidence sequence, arXiv:2103.06476, theorem 2.2). It is tightest about
    `expected` values.
    """
    doubled = -2.0 * math.log(alpha)
    rho2 = (doubled + math.log(doubled + 1.0)) / expected
    size = len(values)
    inner = size * rho2 + 1.0
    scale = 2.0 * inner / (size * size * rho2) * math.log(math.sqrt(inner) / alpha)
    # A sample without any spread says little about the spread to come.
    spread = max(math.sqrt(variance(values)), 1.0 / size)
    return spread * math.sqrt(scale)


def bootstrap_interval(value: float, resampled: Iterable[float], *, confidence: float) -> Interval:
    """An estimate with the two-sided percentile bounds of its resamples (Efron 1979)."""
    ordered = sorted(float(v) for v in resampled)
    tail = (50.0 * (1.0 - confidence)) / 100.0
    upper = (100.0 - 50.0 * (1.0 - confidence)) / 100.0
    return Interval(value=value, low=quantile(ordered, tail), high=quantile(ordered, upper))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of ordered values lies, interpolated between neighbours.

    Definition 7 of Hyndman and Fan (1996), as numpy computes it.
    """
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    part = place - below
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    # From the nearer neighbour, so that the result is exact at both ends.
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1.0 - part)


def safe_threshold(
    scores: NDArray[np.float64],
    losses: NDArray[np.float64],
    *,
    tolerance: float,
    confidence: float = 0.95,
    steps: int = 50,
) -> Threshold:
    """The largest score up to which a saving keeps the mean loss over all requests in tolerance.

    `losses` is what each request loses if the saving is made on it, negative where it gains.
    Thresholds are tried from the most cautious on and the first that fails ends the search, so
    that all tries together err with the one probability asked for (fixed-sequence testing; Learn
    then Test, arXiv:2110.01052). Each is bounded by `mean_loss_interval`.
    """
    order = scores.argsort(kind="stable")
    ordered, size, count = scores[order], len(scores), 0
    worst = max(float(losses.max()), 0.0)
    chosen = Threshold(score=None, share=0.0, loss=Interval(value=0.0, low=0.0, high=0.0))
    for step in range(1, steps + 1):
        wanted = size * step // steps
        if wanted <= count:
            continue
        # Requests of one score cannot be told apart, so they cross the threshold together.
        count = int(ordered.searchsorted(ordered[wanted - 1], side="right"))
        lost = losses.copy()
        lost[order[count:]] = 0.0
        bound = mean_loss_interval(lost, worst=worst, confidence=confidence)
        if bound.high > tolerance:
            break
        chosen = Threshold(score=float(ordered[count - 1]), share=count / size, loss=bound)
    return chosen
