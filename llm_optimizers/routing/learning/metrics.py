"""How good a ranking of requests by difficulty is: the measures routers are compared by.

A router sorts requests by how much a strong model would gain and sends the top of the list to
it. The curve of the gain recovered over the share of strong calls tells everything; these are
its usual summaries (RouteLLM, arXiv:2406.18665, section 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["apgr", "apgr_resampled", "auc", "cpt", "recovery_curve"]


def recovery_curve(scores: ArrayLike, gains: ArrayLike) -> NDArray[np.float64]:
    """The share of the whole gain recovered with the 0, 1, … n highest scores sent up.

    `gains` is the strong model's score less the weak one's, a request each. Meaningless unless
    the gains' sum is above 0: there is then no gap to recover.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    sums = np.cumsum(np.asarray(gains, dtype=np.float64)[order])
    curve: NDArray[np.float64] = np.concatenate(([0.0], sums)) / sums[-1]
    return curve


def apgr(scores: ArrayLike, gains: ArrayLike) -> float:
    """Average performance gap recovered: the area under `recovery_curve`; 0.5 is chance."""
    curve = recovery_curve(scores, gains)
    return float(np.trapezoid(curve) / (len(curve) - 1))


def cpt(scores: ArrayLike, gains: ArrayLike, *, share: float) -> float:
    """Call-performance threshold: percent of strong calls that recover `share` of the gap."""
    curve = recovery_curve(scores, gains)
    return 100.0 * int(np.argmax(curve >= share)) / (len(curve) - 1)


def apgr_resampled(
    scores: ArrayLike, gains: ArrayLike, *, seed: int, rounds: int = 500
) -> NDArray[np.float64]:
    """APGR of bootstrap resamples; the same seed draws the same requests, so that two rankings
    can be compared pair by pair. A resample without any gap counts as 0: nothing was shown.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    sorted_gains = np.asarray(gains, dtype=np.float64)[order]
    size = len(order)
    rng = np.random.default_rng(seed)
    values = np.empty(rounds)
    for number in range(rounds):
        times = np.bincount(rng.integers(0, size, size), minlength=size)[order]
        amounts = times * sorted_gains
        after = np.cumsum(amounts)
        # Tied copies of one request lie side by side: each trapezoid is as wide as its copies.
        area = float(((after - amounts / 2) * times).sum()) / size
        values[number] = area / after[-1] if after[-1] > 0 else 0.0
    return values


def auc(scores: ArrayLike, passed: ArrayLike) -> float:
    """The chance that a right answer scores above a wrong one; ties count half."""
    values = np.asarray(scores, dtype=np.float64)
    right = np.asarray(passed, dtype=bool)
    levels, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not len(levels) or right.all() or not right.any():
        return 0.5
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = int(right.sum())
    wins = float(ranks[right].sum()) - positive * (positive + 1) / 2
    return wins / (positive * (len(right) - positive))
