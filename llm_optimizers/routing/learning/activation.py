"""The activation test: a router is used only if held-out labels show a gain.

Two questions, each answered with a confidence interval. Does it rank requests better than chance
and better than by their length, which is free? And up to which threshold may it choose the cheap
model, so that the quality lost stays within the tolerance? Unless both are shown, the safe
model answers; the report gives the reason and the number of labels that would probably decide it.
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
    """A router's results on held-out labels, for one cheap model and the strong one.

    `gap` is the mean gain of the strong model. `apgr` is the area under the recovery curve (0.5 is
    chance); `over_random` and `over_length` are its differences from chance and from ranking by
    length. `cpt50`, `cpt80`: the percentage of strong calls that recovers 50 or 80 % of the gap.
    `threshold` is the predicted gain up to which the cheap model is used, `cheap_share` the share
    of requests it then gets, `loss` the mean quality this costs. `reasons` say why the test
    failed, empty if it passed; `labels_needed` estimates how many more labels would decide it,
    None if it passed or no number would ("lacking" in files).
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
        """Whether the router may be used."""
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
    """Compare predicted gains (`scores`) with the true gains of labels held out from fitting.

    All have shape (n,). `lengths` are the prompts' lengths, the baseline ranking. `tolerance` is
    the mean quality that may be lost against the strong model, in units of the labels' scores.
    """
    predicted, true, size = (np.asarray(a, dtype=np.float64) for a in (scores, gains, lengths))
    gap = mean_interval(true, confidence=confidence)
    if gap.value > 0:
        ranked = apgr_resampled(predicted, true, seed=seed)
        by_length = apgr_resampled(size, true, seed=seed)
        value, length_value = apgr(predicted, true), apgr(size, true)
        cpt50, cpt80 = (cpt(predicted, true, share=share) for share in (0.5, 0.8))
    else:
        ranked = by_length = np.zeros(1)
        value = length_value = 0.0
        cpt50 = cpt80 = 100.0
    interval = bootstrap_interval(value, ranked, confidence=confidence)
    over_random = bootstrap_interval(value - 0.5, ranked - 0.5, confidence=confidence)
    over_length = bootstrap_interval(
        value - length_value, ranked - by_length, confidence=confidence
    )
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
        cpt50=cpt50,
        cpt80=cpt80,
        tolerance=tolerance,
        threshold=safe.score,
        cheap_share=safe.share,
        loss=safe.loss,
        reasons=tuple(reasons),
        labels_needed=_labels_needed(
            len(true), [gap, over_random, over_length], safe.score, reasons
        ),
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
        reasons.append("at no threshold is the upper bound of the loss within the tolerance")
    return reasons


def _labels_needed(
    labels: int, intervals: Sequence[Interval], threshold: float | None, reasons: Sequence[str]
) -> int | None:
    """Estimate how many more labels would put every interval above 0.

    Assumes that the estimates stay the same and widths shrink with the square root of n.
    """
    if not reasons:
        return None
    total = float(2 * labels if threshold is None else labels)
    for interval in intervals:
        if interval.low > 0:
            continue
        if interval.value <= 0:
            return None
        total = max(total, labels * ((interval.value - interval.low) / interval.value) ** 2)
    return max(math.ceil(total * 1.1) - labels, 1)
