"""The activation test on traffic that routers were not fitted for.

Every router is fitted on one set and tested on a sample of labels of another; its true APGR there
is computed from the other outcomes of that set. Activating a router whose true APGR is no better
than chance is a false activation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.labels import MIN_LABELS
from llm_optimizers.routing.learning.activation import assess_activation
from llm_optimizers.routing.learning.calibration import calibrate
from llm_optimizers.routing.learning.fitting import fit_gains
from llm_optimizers.routing.learning.metrics import apgr
from routing.outcomes import BITS, WEAK, Outcomes, outcomes

FITTED, JUDGED = 1_500, 600
RANDOM_SCORES = 60

PAIRS = (
    ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-05-13"),
    ("Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3.1-70B-Instruct"),
    ("Qwen2-7B-Instruct", "Qwen2-72B-Instruct"),
    ("Mixtral-8x7B-Instruct-v0.1", "gpt-4o-2024-05-13"),
)
GROUPS = {
    "mmlu sciences": ("physics", "chemistry", "mathematics", "biology", "computer", "engineering"),
    "mmlu humanities": ("history", "law", "philosophy", "religion", "moral", "jurisprudence"),
    "mmlu medicine": ("medic", "clinical", "anatomy", "nutrition", "virology", "aging"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One router on traffic of another kind."""

    fitted_on: str
    applied_to: str
    true_apgr: float
    activated: bool


def traffics(
    mmlu: Outcomes, subjects: Sequence[str], multimodel: list[dict[str, Any]]
) -> list[Outcomes]:
    """Return groups of MMLU subjects, and pairs of models on the tasks of the cascade's data."""
    found: list[Outcomes] = []
    for name, words in GROUPS.items():
        mask = np.array([any(word in subject for word in words) for subject in subjects])
        found.append(_part(mmlu, name, np.flatnonzero(mask)))
    for task in ("gsm", "crux"):
        asked = [row for row in multimodel if row["task"] == task]
        for weak, strong in PAIRS:
            both = [row for row in asked if weak in row["models"] and strong in row["models"]]
            found.append(
                outcomes(
                    f"{task}: {weak.split('-2024')[0]}",
                    [row["prompt"] for row in both],
                    np.array([row["models"][weak]["correct"] for row in both], dtype=np.float64),
                    np.array([row["models"][strong]["correct"] for row in both], dtype=np.float64),
                )
            )
    return [each for each in found if len(each.prompts) >= 2 * MIN_LABELS]


def transfers(sets: Sequence[Outcomes], seed: int = 0) -> Iterator[Transfer]:
    """Yield every ordered pair of sets; the test sample is not part of the true APGR."""
    rng = np.random.default_rng(seed)
    orders = {data.name: rng.permutation(len(data.prompts)) for data in sets}
    models = {
        data.name: fit_gains(
            [data.features[i] for i in orders[data.name][:FITTED]],
            {WEAK: data.gains[orders[data.name][:FITTED]]},
            bits=BITS,
        )
        for data in sets
    }
    for source, goal in permutations(sets, 2):
        order = orders[goal.name][::-1]
        size = min(JUDGED, len(order) // 2)
        held, rest = order[:size], order[size : size + 4_000]
        model = models[source.name]
        scores = {int(i): model.score(goal.features[i])[WEAK] for i in (*held, *rest)}
        yield Transfer(
            fitted_on=source.name,
            applied_to=goal.name,
            true_apgr=_apgr([scores[int(i)] for i in rest], goal.gains[rest]),
            activated=_passes(goal, held, [scores[int(i)] for i in held]),
        )


def random_scores(data: Outcomes, seed: int = 0) -> Iterator[Transfer]:
    """Yield random scores tested on samples: their true APGR is exactly chance."""
    for number in range(RANDOM_SCORES * seed, RANDOM_SCORES * (seed + 1)):
        rng = np.random.default_rng(number)
        held = rng.permutation(len(data.prompts))[:JUDGED]
        scores = list(rng.random(len(held)))
        yield Transfer(
            fitted_on="nothing",
            applied_to=data.name,
            true_apgr=0.5,
            activated=_passes(data, held, scores),
        )


def own_traffic(data: Outcomes, labels: int) -> str:
    """Say how a router calibrated on its own traffic fares in the test, for comparison."""
    numbers = np.random.default_rng(1).permutation(len(data.prompts))[:labels]
    try:
        report = calibrate(data.labels(numbers), strong="strong", tolerance=0.02).reports["weak"]
    except ConfigurationError as error:
        return str(error)
    if report.passed:
        return (
            f"acts: {report.cheap_share:.0%} to the weak model, loss {report.loss.value:.3f} "
            f"(at most {report.loss.high:.3f})"
        )
    labels_needed = (
        "" if report.labels_needed is None else f"; about {report.labels_needed:,} more labels"
    )
    return f"declines: {report.reasons[0]}{labels_needed}"


def _part(data: Outcomes, name: str, numbers: NDArray[np.int64]) -> Outcomes:
    return replace(
        data,
        name=name,
        prompts=[data.prompts[i] for i in numbers],
        weak=data.weak[numbers],
        strong=data.strong[numbers],
        features=[data.features[i] for i in numbers],
    )


def _apgr(scores: Sequence[float], gains: NDArray[np.float64]) -> float:
    return apgr(scores, gains) if gains.sum() > 0 else 0.0


def _passes(data: Outcomes, held: NDArray[np.int64], scores: Sequence[float]) -> bool:
    report = assess_activation(
        scores,
        data.gains[held],
        [len(data.prompts[i]) for i in held],
        weak="weak",
        strong="strong",
        tolerance=0.02,
    )
    return report.passed
