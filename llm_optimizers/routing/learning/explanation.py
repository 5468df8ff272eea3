"""Explains a learned router's prediction: the contribution of each word of a request.

Each word is left out in turn and the prediction repeated, so that the explanation holds for the
whole model and hashed columns need no names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.learning.artefact import RouterArtefact, refit_command
from llm_optimizers.routing.learning.features import Featurizer
from llm_optimizers.routing.learning.gains import GainModel

__all__ = ["Explanation", "explain"]

SHOWN = 12
MAX_WORDS = 300
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A prediction and its `parts`: the largest contributions to the predicted gain."""

    model: str
    gains: dict[str, float]
    thresholds: dict[str, float | None]
    conclusion: str
    parts: tuple[tuple[str, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return {
            "model": self.model,
            "predicted_gains": self.gains,
            "thresholds": self.thresholds,
            "verdict": self.conclusion,
            "parts": [{"part": part, "gain": amount} for part, amount in self.parts],
        }


def explain(artefact: RouterArtefact, prompt: str, *, task: str = "") -> Explanation:
    """Explain the prediction for the cheap model with the smallest predicted gap.

    Raises:
        ConfigurationError: the router file is damaged or holds no cheap model.
    """
    model = artefact.gain_model()
    if not model.heads:
        raise ConfigurationError(f"the router file holds no cheap model; {refit_command()}")
    gains = model.predict(prompt, task=task)
    thresholds = {weak: report.threshold for weak, report in artefact.reports.items()}
    weak = min(gains, key=lambda name: gains[name])
    limit = thresholds[weak]
    if weak not in artefact.active:
        chosen = artefact.strong
        conclusion = f"{chosen}: not active for {weak}: {'; '.join(artefact.reports[weak].reasons)}"
    elif limit is not None and gains[weak] <= limit:
        chosen = weak
        conclusion = f"{weak}: the predicted gap of {gains[weak]:.3f} is within {limit:.3f}"
    else:
        chosen = artefact.strong
        conclusion = (
            f"{chosen}: the predicted gap to {weak} of {gains[weak]:.3f} is above {limit:.3f}"
        )
    return Explanation(
        model=chosen,
        gains=gains,
        thresholds=thresholds,
        conclusion=conclusion,
        parts=_parts(model, Featurizer(bits=artefact.bits), prompt, task, weak),
    )


def _parts(
    model: GainModel, featurizer: Featurizer, prompt: str, task: str, weak: str
) -> tuple[tuple[str, float], ...]:
    """Return how much the predicted gain falls without a word, for the words that matter most."""

    def predicted(text: str, tag: str) -> float:
        return model.score(featurizer.read(text), task=tag)[weak]

    whole = predicted(prompt, task)
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(prompt)))[:MAX_WORDS]
    effects = [
        (f"word {word!r}", whole - predicted(_without(prompt, word), task)) for word in words
    ]
    if task:
        effects.append((f"task {task!r}", whole - predicted(prompt, "")))
    effects.sort(key=lambda part: -abs(part[1]))
    return (*effects[:SHOWN], ("mean of all requests", model.heads[weak].mean))


def _without(prompt: str, word: str) -> str:
    return re.sub(rf"\b{re.escape(word)}\b", " ", prompt, flags=re.IGNORECASE)
