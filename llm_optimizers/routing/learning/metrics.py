"""Metrics of a router's ranking of requests (RouteLLM, arXiv:2406.18665, section 3), and AUC.

A router sorts requests by how much a strong model would gain, and sends the first ones to it. The
recovery curve is the share of the gain recovered over the share of strong calls; APGR and CPT
summarise it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["apgr", "apgr_resampled", "auc", "cpt", "recovery_curve"]


def recovery_curve(scores: ArrayLike, gains: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the total gain recovered by 0, 1, … n strong calls, highest scores first.

    `gains` is the strong model's score minus the weak one's, one per request. Their sum must be
    above 0: otherwise there is no gap to recover.
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
    """Call-performance threshold: the percent of strong calls that recovers `share` of the gap."""
    curve = recovery_curve(scores, gains)
    return 100.0 * int(np.argmax(curve >= share)) / (len(curve) - 1)


def apgr_resampled(
    scores: ArrayLike, gains: ArrayLike, *, seed: int, rounds: int = 500
) -> NDArray[np.float64]:
    """Return the APGR of bootstrap resamples, shape (rounds,).

    The same seed draws the same requests, so that two rankings can be compared pair by pair. A
    resample without a gap counts as 0.
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
        # Copies of one request are adjacent: its trapezoid is as wide as the number of copies.
        area = float(((after - amounts / 2) * times).sum()) / size
        values[number] = area / after[-1] if after[-1] > 0 else 0.0
    return values


def auc(scores: ArrayLike, passed: ArrayLike) -> float:
    """Return the probability that a right answer scores above a wrong one; ties count half."""
    values = np.asarray(scores, dtype=np.float64)
    right = np.asarray(passed, dtype=bool)
    levels, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not len(levels) or right.all() or not right.any():
        return 0.5
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = int(right.sum())
    wins = float(ranks[right].sum()) - positive * (positive + 1) / 2
    return wins / (positive * (len(right) - positive))
