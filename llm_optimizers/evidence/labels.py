"""Labels: the user's own requests with a score for each model's answer, and their file.

The file has one JSON object per line: {"prompt": "…", "scores": {"small": 0, "large": 1}, "task":
"…"}. Scores come from a checker, a judge or users, on any scale that is the same for all lines.
`label_problems` says why a set of labels is not good enough to learn from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llm_optimizers.arguments import fields, instance, keep, scores, sequence, text, values
from llm_optimizers.connections.paths import file_path, opened_to_read, private_append
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.text.json_lines import json_line, json_lines, opened_lines

__all__ = [
    "MIN_LABELS",
    "Label",
    "label_problems",
    "merged",
    "read_json_lines",
    "read_labels",
    "write_labels",
]

T = TypeVar("T")

MIN_LABELS = 300
"""On 14,037 recorded outcomes, 300 labels rank no better than the length of the prompt does."""
MAX_REPEATED = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One request and the score of each model's answer to it."""

    prompt: str
    scores: Mapping[str, float] = field(default_factory=dict)
    task: str = ""

    def __post_init__(self) -> None:
        fields(self, {"prompt": str, "task": str})
        keep(self, "scores", scores("scores", self.scores))

    def gain(self, *, strong: str, weak: str) -> float:
        """Return the strong model's score minus the weak model's."""
        return self.scores[strong] - self.scores[weak]


def read_labels(path: str | os.PathLike[str]) -> list[Label]:
    """Read a file of labels; for errors see `read_json_lines`."""
    example = '{"prompt": "...", "scores": {"small-model": 0, "large-model": 1}}'
    return read_json_lines(path, _label, kind="label", example=example)


def read_json_lines(
    path: str | os.PathLike[str], read: Callable[[Any], T], *, kind: str, example: str
) -> list[T]:
    """Read a file with one JSON value per line, each converted by `read`; empty lines are skipped.

    Error messages use `kind` and `example` to say what a line should be. The file may be gzipped.

    Raises:
        ConfigurationError: the file cannot be read, a line is not JSON, or `read` rejects it; says
            which and why.
    """
    found: list[T] = []
    path = file_path("path", path)
    with opened_to_read(path), opened_lines(path) as lines:
        for line in json_lines(lines, any_number=True):
            try:
                found.append(read(line.read()))
            except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                raise ConfigurationError(
                    f"{path}, line {line.number} is not a valid {kind} ({error}); write {example}"
                ) from error
    return found


def write_labels(path: str | os.PathLike[str], labels: Iterable[Label]) -> None:
    """Append labels to a file, one JSON object per line.

    The file contains the prompts' text, so a new one is readable by its owner only. A label is
    written whole and as soon as it is there: if the next one fails, it was not paid for in vain.

    Raises:
        ConfigurationError: a label has no scores, and could not be read back.
        StoreError: the file cannot be written; it holds the labels before.
    """
    values("labels", labels, "Labels")
    with private_append(file_path("path", path)) as file:
        for label in labels:
            instance("labels", label, Label)
            if not label.scores:
                raise ConfigurationError("a label has no scores; give a score for each model")
            row: dict[str, Any] = {"prompt": label.prompt, "scores": dict(label.scores)}
            if label.task:
                row["task"] = label.task
            file.line(json_line(row)[:-1])


def merged(labels: Sequence[Label]) -> list[Label]:
    """Merge labels of the same prompt and task, averaging their scores.

    Otherwise repeats could end up in both the training and the held-out part.
    """
    groups: dict[tuple[str, str], list[Label]] = {}
    for label in sequence("labels", labels, Label):
        groups.setdefault((" ".join(label.prompt.split()), label.task), []).append(label)
    return [
        Label(prompt=group[0].prompt, scores=_mean_scores(group), task=group[0].task)
        for group in groups.values()
    ]


def label_problems(labels: Sequence[Label], *, strong: str, weak: str) -> list[str]:
    """Return why these labels are not good enough to learn from; empty if they are."""
    text("strong", strong)
    text("weak", weak)
    sequence("labels", labels, Label)
    found: list[str] = []
    incomplete = sum(strong not in label.scores or weak not in label.scores for label in labels)
    if incomplete:
        found.append(f"{incomplete} labels have no score for {strong} or {weak}")
    usable = [label for label in labels if strong in label.scores and weak in label.scores]
    distinct = merged(usable)
    repeated = len(usable) - len(distinct)
    if usable and repeated > MAX_REPEATED * len(usable):
        found.append(
            f"{repeated} of {len(usable)} labels repeat a prompt: label different requests, "
            "because repeats add nothing and make a ranking look better than it is"
        )
    if len(distinct) < MIN_LABELS:
        found.append(
            f"there are {len(distinct)} distinct labels and {MIN_LABELS} are needed: label "
            f"{MIN_LABELS - len(distinct)} more requests"
        )
    gains = [label.gain(strong=strong, weak=weak) for label in distinct]
    if gains and min(gains) == max(gains):
        found.append(
            f"all labels are one class ({strong} always gains {gains[0]:g} over {weak}): nothing "
            "can be learned; check the labelling, or use the cheaper model"
        )
    return found


def _label(raw: Any) -> Label:
    if not isinstance(raw, dict) or not isinstance(raw.get("prompt"), str):
        raise ValueError("no text under 'prompt'")  # noqa: TRY004 - reported with its line
    scores = raw.get("scores")
    if not isinstance(scores, dict) or not scores:
        raise ValueError("no scores by model under 'scores'")
    task = raw.get("task") or ""
    given = {str(model): float(score) for model, score in scores.items()}
    return Label(prompt=raw["prompt"], scores=given, task=str(task))


def _mean_scores(group: Sequence[Label]) -> dict[str, float]:
    by_model: dict[str, list[float]] = {}
    for label in group:
        for model, score in label.scores.items():
            by_model.setdefault(model, []).append(score)
    return {model: sum(scores) / len(scores) for model, scores in by_model.items()}
