"""The gate: a router acts only after it has shown, on answers it has not seen, that it gains.

Two questions, both answered with a confidence interval. Does it rank requests better than chance
and better than their length, which costs nothing to know? And how far may it be trusted, so that
the quality lost stays within what the user tolerates? Anything unproven leaves the safe model in
charge, with the reason and the number of labels that would probably settle it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from llm_optimizers.evidence.bounds import (
    Interval,
    bootstrap_interval,
    mean_interval,
    safe_threshold,
)
from llm_optimizers.routing.learning.metrics import apgr, apgr_resampled, cpt

__all__ = ["ActivationReport", "assess_activation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationReport:
    """What held-out labels say about a router between one cheap model and the strong one.

    `apgr` is the area under the gain curve (0.5 is chance); `over_random` and `over_length` are
    what it is above chance and above ranking by length. `threshold` is the predicted gain up to
    which the cheap model serves, `cheap_share` the share of requests that is, `loss` the quality
    this costs on average with its upper bound. `labels_needed` estimates how many more labels would
    settle what is open, None if nothing is or no number would.
    """

    weak: str
    strong: str
    labels: int
    gap: Interval
    apgr: Interval
    over_random: Interval
    over_length: Interval
    cpt50: float
    cpt80: float
    tolerance: float
    threshold: float | None
    cheap_share: float
    loss: Interval
    reasons: tuple[str, ...]
    labels_needed: Annotated[int | None, Field(alias="lacking")]

    @property
    def passed(self) -> bool:
        """Whether the router may act."""
        return not self.reasons


def assess_activation(
    scores: ArrayLike,
    gains: ArrayLike,
    lengths: ArrayLike,
    *,
    weak: str,
    strong: str,
    tolerance: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> ActivationReport:
    """Judge predicted gains (`scores`) by true ones, none of which were fitted on.

    `lengths` are the prompts' lengths, the ranking to beat. `tolerance` is the mean quality that
    may be lost against the strong model, in units of the labels' scores.
    """
    predicted, true, size = (np.asarray(a, dtype=np.float64) for a in (scores, gains, lengths))
    gap = mean_interval(true, confidence=confidence)
    if gap.value > 0:
        ranked = apgr_resampled(predicted, true, seed=seed)
        by_length = apgr_resampled(size, true, seed=seed)
        value, rival = apgr(predicted, true), apgr(size, true)
        halves = cpt(predicted, true, share=0.5), cpt(predicted, true, share=0.8)
    else:
        ranked = by_length = np.zeros(1)
        value = rival = 0.0
        halves = 100.0, 100.0
    interval = bootstrap_interval(value, ranked, confidence=confidence)
    over_random = bootstrap_interval(value - 0.5, ranked - 0.5, confidence=confidence)
    over_length = bootstrap_interval(value - rival, ranked - by_length, confidence=confidence)
    safe = safe_threshold(predicted, true, tolerance=tolerance, confidence=confidence)
    reasons = _reasons(gap, over_random, over_length, safe.score, weak=weak, strong=strong)
    return ActivationReport(
        weak=weak,
        strong=strong,
        labels=len(true),
        gap=gap,
        apgr=interval,
        over_random=over_random,
        over_length=over_length,
        cpt50=halves[0],
        cpt80=halves[1],
        tolerance=tolerance,
        threshold=safe.score,
        cheap_share=safe.share,
        loss=safe.loss,
        reasons=tuple(reasons),
        labels_needed=_lacking(len(true), [gap, over_random, over_length], safe.score, reasons),
    )


def _reasons(
    gap: Interval,
    over_random: Interval,
    over_length: Interval,
    threshold: float | None,
    *,
    weak: str,
    strong: str,
) -> list[str]:
    if gap.high <= 0:
        return [f"{strong} is no better than {weak} on these labels: serve with {weak} alone"]
    reasons: list[str] = []
    if gap.low <= 0:
        reasons.append(f"it is not certain that {strong} is better than {weak}: gap {gap}")
    if over_random.low <= 0:
        reasons.append(f"its ranking is not proven better than chance: APGR - 0.5 = {over_random}")
    if over_length.low <= 0:
        reasons.append(f"its ranking is not proven better than prompt length: {over_length}")
    if threshold is None:
        reasons.append("no threshold keeps the quality lost within the tolerance for certain")
    return reasons


def _lacking(
    labels: int, shown: Sequence[Interval], threshold: float | None, reasons: Sequence[str]
) -> int | None:
    """Labels still needed if the estimates stand: an interval shrinks with the root of n."""
    if not reasons:
        return None
    wanted = float(2 * labels if threshold is None else labels)
    for interval in shown:
        if interval.low > 0:
            continue
        if interval.value <= 0:
            return None
        wanted = max(wanted, labels * ((interval.value - interval.low) / interval.value) ** 2)
    return max(math.ceil(wanted * 1.1) - labels, 1)
