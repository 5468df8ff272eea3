"""Cascades on recorded answers: agreement as a verifier, two cheap models before a strong one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.costs import PriceBook
from llm_optimizers.routing import Router, RoutingContext
from llm_optimizers.routing.calling import ReplyReader
from llm_optimizers.routing.cascade.break_even import fit_logistic
from llm_optimizers.routing.cascade.checks import Agreement, Matches, ModelAnswer, NotEmpty
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.routing.learning.fitting import fit_gains
from llm_optimizers.routing.learning.metrics import auc
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.policies.cascade import CascadePolicy
from llm_optimizers.routing.routed_call import RoutedCall
from llm_optimizers.types import ChatRequest, Message
from routing.outcomes import BITS, WEAK, Outcomes, folds
from routing.ranking import measured

CHEAP, SECOND, STRONG = "gpt-4o-mini-2024-07-18", "gemini-1.5-flash", "gpt-4o-2024-05-13"
MIXTRAL = "Mixtral-8x7B-Instruct-v0.1"
REPEATS = 3

Read = list[dict[str, Any]]


def agreement(
    data: Outcomes, gsm: Read, multimodel: Read, seed: int = 0
) -> dict[str, tuple[float, ...]]:
    """Measure the agreement of two answers of the cheap model, alone and with other checks.

    The logistic regression that combines the checks, and the predicted gap among them, are fitted
    on other folds than those reported on.
    """
    second = {
        row["prompt"]: row["models"][MIXTRAL]["answer"]
        for row in multimodel
        if MIXTRAL in row["models"]
    }
    checks = [_checks(row["weak_answer"], second.get(row["prompt"])) for row in gsm]
    right = data.weak >= 0.5
    alone = [scores.get("agreement", 0.5) for scores in checks]
    ties = np.random.default_rng(seed).random(len(alone)) * 1e-6
    combined = np.mean(
        [_weighed(data, checks, seed) for seed in range(REPEATS * seed, REPEATS * (seed + 1))],
        axis=0,
    )
    return {
        "agreement alone": (auc(alone, right), *measured(ties - np.array(alone), data.gains)),
        "agreement, form and predicted gap": tuple(float(value) for value in combined),
    }


def _checks(first: str, second: str | None) -> dict[str, float]:
    """Return the package's checks of a recorded answer."""
    request = ChatRequest(messages=(Message(role="user", content=""),))
    answers = [ModelAnswer(model=MIXTRAL, text=first)]
    if second is not None:
        answers.append(ModelAnswer(model=MIXTRAL, text=second))
    finished = Matches("####", gate=False)
    scores = {check.name: check.score(request, answers) for check in (Agreement(), finished)}
    return {name: score for name, score in scores.items() if score is not None}


def _weighed(data: Outcomes, checks: list[dict[str, float]], seed: int) -> tuple[float, ...]:
    gaps = _held_out_gaps(data, seed)
    rows = [
        {**c, "predicted_gap": float(np.clip(1 - g, 0, 1))}
        for c, g in zip(checks, gaps, strict=True)
    ]
    right = data.weak >= 0.5
    logits = np.empty(len(rows))
    for fitted, held in folds(len(rows), 5, 100 + seed):
        weights, bias = fit_logistic([rows[i] for i in fitted], [bool(right[i]) for i in fitted])
        for i in held:
            logits[i] = bias + sum(w * rows[i].get(c, 0.5) for c, w in weights.items())
    return (auc(logits, right), *measured(-logits, data.gains))


def _held_out_gaps(data: Outcomes, seed: int) -> NDArray[np.float64]:
    gaps = np.empty(len(data.prompts))
    for fitted, held in folds(len(data.prompts), 5, seed):
        model = fit_gains([data.features[i] for i in fitted], {WEAK: data.gains[fitted]}, bits=BITS)
        gaps[held] = [model.score(data.features[i])[WEAK] for i in held]
    return gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascaded:
    """A cascade over a task: its accuracy, the strong model's, and the share of strong calls."""

    questions: int
    accuracy: float
    strong_accuracy: float
    cheap_accuracy: float
    strong_share: float


class Recorded:
    """A caller that returns a question's recorded answers; it does not stream."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self.asked: list[str] = []

    def ask(self, attempt: CallModel) -> ModelAnswer:
        self.asked.append(attempt.model)
        text = str(self._row["models"][attempt.model]["answer"])
        return ModelAnswer(model=attempt.model, text=text)


ANSWERS: ReplyReader[ModelAnswer, str] = ReplyReader(
    read=lambda answer: answer, chunks=lambda answer: iter([answer.text]), text=str
)


def two_cheap_models(multimodel: Read, task: str) -> Cascaded:
    """Run the package's cascade over every recorded question of a task."""
    asked = [row for row in multimodel if row["task"] == task]
    policy = CascadePolicy(
        cheap=CHEAP,
        strong=STRONG,
        samples=[SECOND],
        verifier=Verifier(checks=(NotEmpty(), Agreement())),
    )
    router = Router(
        [SECOND, CHEAP, STRONG], policy=policy, prices=PriceBook(), rng=random.Random(0)
    )
    right, strong_calls = 0.0, 0
    for row in asked:
        request = ChatRequest(messages=(Message(role="user", content=row["prompt"]),))
        caller: Any = Recorded(row)
        served = RoutedCall(router, request, RoutingContext(), ANSWERS).answer(caller)
        right += row["models"][served.model]["correct"]
        strong_calls += STRONG in caller.asked
    count = len(asked)
    return Cascaded(
        questions=count,
        accuracy=right / count,
        strong_accuracy=sum(row["models"][STRONG]["correct"] for row in asked) / count,
        cheap_accuracy=sum(row["models"][CHEAP]["correct"] for row in asked) / count,
        strong_share=strong_calls / count,
    )
