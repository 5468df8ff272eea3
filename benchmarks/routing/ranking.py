"""How well routers rank held-out questions by what the strong model gains."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.routing import KeywordPolicy
from llm_optimizers.routing.learning.fitting import fit_gains
from llm_optimizers.routing.learning.metrics import apgr, cpt
from routing.outcomes import BITS, WEAK, Outcomes, folds

Split = tuple[NDArray[Any], NDArray[Any]]

PUBLISHED = (
    # RouteLLM, arXiv:2406.18665v4: the best of its routers in each column.
    ("RouteLLM, published, MMLU (best a column)", 0.603, 35.4, 70.3),
    ("RouteLLM, published, GSM8K (best a column)", 0.622, 34.64, None),
)
T_95 = {3: 4.303, 5: 2.776, 15: 2.145}


def splits(data: Outcomes, *, labels: int, seeds: Sequence[int]) -> list[Split]:
    """Return splits that fit on `labels` questions drawn at random and report on all others."""
    orders = [np.random.default_rng(seed).permutation(len(data.prompts)) for seed in seeds]
    return [(order[:labels], order[labels:]) for order in orders]


def repeated_folds(data: Outcomes, *, count: int, seeds: Sequence[int]) -> list[Split]:
    return [split for seed in seeds for split in folds(len(data.prompts), count, seed)]


def learned(data: Outcomes, plan: Sequence[Split]) -> list[tuple[float, float, float]]:
    """Return APGR, CPT(50 %) and CPT(80 %) of the learned router on each split."""
    found: list[tuple[float, float, float]] = []
    for fitted, held in plan:
        model = fit_gains([data.features[i] for i in fitted], {WEAK: data.gains[fitted]}, bits=BITS)
        scores = [model.score(data.features[i])[WEAK] for i in held]
        found.append(measured(scores, data.gains[held]))
    return found


def measured(scores: Any, gains: NDArray[np.float64]) -> tuple[float, float, float]:
    return apgr(scores, gains), cpt(scores, gains, share=0.5), cpt(scores, gains, share=0.8)


def without_labels(data: Outcomes) -> list[tuple[str, tuple[float, float, float]]]:
    """Measure routers that need no labels, on all questions: chance, length, keywords."""
    rng = np.random.default_rng(0)
    policy = KeywordPolicy(weak="weak", strong="strong")
    lists = [sum(policy.points(p).values()) - policy.points(p)["length"] for p in data.prompts]
    # Most questions have no keyword: they are ordered at random.
    ties = rng.random(len(lists)) * 1e-6
    return [
        ("random", _mean([measured(rng.random(len(ties)), data.gains) for _ in range(50)])),
        ("prompt length", measured([len(p) for p in data.prompts], data.gains)),
        ("keyword policy, its word lists", measured(np.array(lists) + ties, data.gains)),
    ]


def _mean(figures: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    first, second, third = (statistics.fmean(each) for each in zip(*figures, strict=True))
    return first, second, third


def mean_and_interval(values: Sequence[float]) -> tuple[float, str]:
    """Return the mean with its 95 % t interval; splits of one data set are not independent."""
    mean = statistics.fmean(values)
    half = T_95.get(len(values), 2.0) * statistics.stdev(values) / len(values) ** 0.5
    return mean, f"{len(values)} splits, 95 % interval {mean - half:.3f} to {mean + half:.3f}"
