"""Labels: requests of the user's own with what each model's answer was worth.

A line of JSON each: {"prompt": "…", "scores": {"small": 0, "large": 1}, "task": "…"}. Scores come
from a checker, a judge or users and may be on any scale, the same for all lines. What cannot be
learned from is told and not fitted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.errors import ConfigurationError

__all__ = ["MIN_LABELS", "Label", "complaints", "merged", "read_labels", "write_labels"]

MIN_LABELS = 300
"""On 14,037 recorded outcomes 300 labels rank no better than a prompt's length does."""
MAX_REPEATED = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One request and what each model's answer to it was worth."""

    prompt: str
    scores: Mapping[str, float] = field(default_factory=dict)
    task: str = ""

    def gain(self, *, strong: str, weak: str) -> float:
        """What the strong model's answer was worth beyond the weak one's."""
        return self.scores[strong] - self.scores[weak]


def read_labels(path: str | Path) -> list[Label]:
    """Read a file of labels, a JSON object a line; empty lines are passed over.

    Raises:
        ConfigurationError: a line is no label; says which and why.
    """
    labels: list[Label] = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            labels.append(_label(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{path}, line {number} is no label ({error}); write "
                '{"prompt": "...", "scores": {"small-model": 0, "large-model": 1}}'
            ) from error
    return labels


def write_labels(path: str | Path, labels: Iterable[Label]) -> None:
    """Append labels to a file, a JSON object a line. The file holds the prompts' text."""
    with Path(path).open("a", encoding="utf-8") as file:
        for label in labels:
            row: dict[str, Any] = {"prompt": label.prompt, "scores": dict(label.scores)}
            if label.task:
                row["task"] = label.task
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def merged(labels: Sequence[Label]) -> list[Label]:
    """One label a prompt and task: repeats would sit on both sides of a held-out split."""
    groups: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        groups.setdefault((" ".join(label.prompt.split()), label.task), []).append(label)
    return [
        Label(prompt=group[0].prompt, scores=_mean_scores(group), task=group[0].task)
        for group in groups.values()
    ]


def complaints(labels: Sequence[Label], *, strong: str, weak: str) -> list[str]:
    """Why nothing can be learned from these labels, empty when something can."""
    found: list[str] = []
    lacking = sum(strong not in label.scores or weak not in label.scores for label in labels)
    if lacking:
        found.append(f"{lacking} labels lack a score for {strong} or {weak}")
    usable = [label for label in labels if strong in label.scores and weak in label.scores]
    distinct = merged(usable)
    repeated = len(usable) - len(distinct)
    if usable and repeated > MAX_REPEATED * len(usable):
        found.append(
            f"{repeated} of {len(usable)} labels repeat a prompt: label other requests, since "
            "repeats tell nothing new and make a ranking look better than it is"
        )
    if len(distinct) < MIN_LABELS:
        found.append(
            f"{len(distinct)} distinct labels are fewer than {MIN_LABELS}: label "
            f"{MIN_LABELS - len(distinct)} more requests"
        )
    gains: NDArray[np.float64] = np.array([u.gain(strong=strong, weak=weak) for u in distinct])
    if len(gains) and not np.isfinite(gains).all():
        found.append("some scores are not finite numbers")
    elif len(gains) and gains.min() == gains.max():
        found.append(
            f"all labels are one class ({strong} always gains {gains[0]:g} over {weak}): there is "
            "nothing to tell apart; check the labelling, or serve with the model that is cheaper"
        )
    return found


def _label(raw: Any) -> Label:
    if not isinstance(raw, dict) or not isinstance(raw.get("prompt"), str):
        raise ValueError("no text under 'prompt'")  # noqa: TRY004 - reported with its line
    scores = raw.get("scores")
    if not isinstance(scores, dict) or not scores:
        raise ValueError("no scores by model under 'scores'")
    task = raw.get("task") or ""
    values = {str(model): float(score) for model, score in scores.items()}
    return Label(prompt=raw["prompt"], scores=values, task=str(task))


def _mean_scores(group: Sequence[Label]) -> dict[str, float]:
    given: dict[str, list[float]] = {}
    for label in group:
        for model, score in label.scores.items():
            given.setdefault(model, []).append(score)
    return {model: sum(scores) / len(scores) for model, scores in given.items()}
