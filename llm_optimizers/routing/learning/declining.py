"""A calibration for labels that nothing can be learned from: its router never acts.

So that `router fit` always leaves a file: an app with it runs, sends everything to the strong
model, and says why, until there are enough labels and the file is fitted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llm_optimizers.evidence.bounds import Interval
from llm_optimizers.evidence.labels import MIN_LABELS, Label, merged
from llm_optimizers.routing.learning.activation import ActivationReport
from llm_optimizers.routing.learning.calibration import (
    Calibration,
    calibrate,
    cheaper_models,
    problems_of,
)
from llm_optimizers.routing.learning.features import SHAPE_NAMES
from llm_optimizers.routing.learning.gains import CURVES, GainModel, Head, Projection
from llm_optimizers.routing.learning.topics import Topics
from llm_optimizers.routing.learning.trees import Forest

__all__ = ["calibrate_or_decline"]

_BITS = 8  # the smallest that a router file may have
_UNKNOWN = Interval(value=0.0, low=0.0, high=0.0)


def calibrate_or_decline(
    labels: Sequence[Label],
    *,
    strong: str,
    weak: Sequence[str] = (),
    tolerance: float = 0.02,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """Calibrate as `calibrate` does; labels that cannot be learned from give a declined router.

    Raises:
        ConfigurationError: the labels score not `strong`, or no other model.
        ImportError: the `fit` extra is not installed; says how to install it.
    """
    cheap = cheaper_models(labels, strong=strong, weak=weak)
    problems = problems_of(labels, strong=strong, weak=cheap)
    if any(problems.values()):
        return _declined(labels, problems, strong=strong, tolerance=tolerance)
    return calibrate(
        labels,
        strong=strong,
        weak=cheap,
        tolerance=tolerance,
        confidence=confidence,
        seed=seed,
    )


def _declined(
    labels: Sequence[Label], problems: Mapping[str, list[str]], *, strong: str, tolerance: float
) -> Calibration:
    distinct = merged(labels)
    elsewhere = "the labels of another model are not good enough: fit this one with --weak alone"
    return Calibration(
        model=GainModel(projection=_projection(), heads={weak: _head() for weak in problems}),
        strong=strong,
        tolerance=tolerance,
        labels=len(distinct),
        reports={
            weak: _report(distinct, found or [elsewhere], weak, strong, tolerance)
            for weak, found in problems.items()
        },
        edges=dict.fromkeys(problems, ()),
        untagged=True,
    )


def _report(
    labels: Sequence[Label], reasons: Sequence[str], weak: str, strong: str, tolerance: float
) -> ActivationReport:
    usable = sum(strong in label.scores and weak in label.scores for label in labels)
    return ActivationReport(
        weak=weak,
        strong=strong,
        labels=usable,
        gap=_UNKNOWN,
        apgr=_UNKNOWN,
        over_random=_UNKNOWN,
        over_length=_UNKNOWN,
        cpt50=100.0,
        cpt80=100.0,
        tolerance=tolerance,
        threshold=None,
        cheap_share=0.0,
        loss=_UNKNOWN,
        reasons=tuple(reasons),
        labels_needed=MIN_LABELS - usable if usable < MIN_LABELS else None,
    )


def _projection() -> Projection:
    buckets, shape = 2**_BITS, len(SHAPE_NAMES)
    return Projection(
        bits=_BITS,
        rarity=(np.zeros(buckets), np.zeros(buckets)),
        mean=np.zeros(shape),
        scale=np.ones(shape),
        waves=np.zeros((shape, CURVES)),
        phases=np.zeros(CURVES),
        topics=Topics(vocabulary=np.zeros(0, dtype=np.int64), axes=np.zeros((0, 0))),
    )


def _head() -> Head:
    """Return a head that predicts no gain: no weights, and one tree of one leaf."""
    node = np.zeros(1, dtype=np.int64)
    leaf = Forest(
        roots=node, feature=node - 1, cut=np.zeros(1), left=node, value=np.zeros(1), depth=1
    )
    columns = 2 ** (_BITS + 1) + CURVES + len(SHAPE_NAMES)
    return Head(mean=0.0, weights=np.zeros(columns), forest=leaf, forest_share=0.0)
