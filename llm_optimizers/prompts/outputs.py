"""Shorter outputs, each measure only when asked for: a learned cap, stop sequences, a schema.

A cap is learned from the lengths that a task's answers had. An answer cut by a cap is a broken
answer, so the cap stands well above the longest usual one, the rate of cut answers is shown, and
a cut answer is asked for again without the cap.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from llm_optimizers.prompts.models import caps_by_completion, takes_schema, takes_stop
from llm_optimizers.types import ChatRequest

__all__ = ["Form", "OutputCap", "OutputLimits", "shaped", "uncapped"]

Form: TypeAlias = Literal["line", "word", "paragraph"]

_STOPS: Mapping[Form, tuple[str, ...]] = {
    "line": ("\n",),
    "word": ("\n", "."),
    "paragraph": ("\n\n",),
}
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCap:
    """A cap in tokens, from how many answers it was learned, and the share of them cut short."""

    tokens: int
    answers: int
    truncation_rate: float


class OutputLimits:
    """Learns from a task's answers how long they get; safe to share between threads.

    Args:
        quantile: The share of answers that must fit below the cap before the margin.
        margin: The cap over that quantile.
        enough: Answers needed before any cap is given.
        window: The latest answers that count.
    """

    def __init__(
        self,
        *,
        quantile: float = 0.99,
        margin: float = 1.5,
        enough: int = 50,
        window: int = 1_000,
    ) -> None:
        self._quantile = quantile
        self._margin = margin
        self._enough = enough
        self._window = window
        self._answers: dict[str, deque[tuple[int, bool]]] = {}
        self._lock = threading.Lock()

    def observe(self, task: str, output_tokens: int, *, truncated: bool = False) -> None:
        """Note an answer's length; a truncated one would have been longer by an unknown amount."""
        with self._lock:
            answers = self._answers.setdefault(task, deque(maxlen=self._window))
            answers.append((output_tokens, truncated))

    def cap(self, task: str) -> OutputCap | None:
        """The cap for a task's next answer; None until enough is known.

        Truncated answers count as twice their length, so a cap that cuts soon rises.
        """
        with self._lock:
            answers = list(self._answers.get(task, ()))
        if len(answers) < self._enough:
            return None
        lengths = sorted(tokens * 2 if cut else tokens for tokens, cut in answers)
        place = min(len(lengths) - 1, math.ceil(self._quantile * len(lengths)) - 1)
        return OutputCap(
            tokens=max(16, math.ceil(lengths[place] * self._margin)),
            answers=len(answers),
            truncation_rate=sum(cut for _, cut in answers) / len(answers),
        )

    def capped(self, request: ChatRequest, task: str) -> ChatRequest:
        """The request with the task's cap, unless the user set one or too little is known."""
        cap = self.cap(task)
        if cap is None or any(name in request.params for name in _CAPS):
            return request
        name = "max_completion_tokens" if caps_by_completion(request.model) else "max_tokens"
        return replace(request, params={**request.params, name: cap.tokens})


def uncapped(
    sent: ChatRequest, original: ChatRequest, finish_reason: str | None
) -> ChatRequest | None:
    """The request to send again when our own cap cut the answer, else None."""
    cut = finish_reason in ("length", "max_tokens", "MAX_TOKENS")
    ours = any(name in sent.params and name not in original.params for name in _CAPS)
    return original if cut and ours else None


def shaped(
    request: ChatRequest, *, form: Form | None = None, schema: Mapping[str, Any] | None = None
) -> ChatRequest:
    """The request with stop sequences of an expected form, or a schema in place of prose.

    What the model does not take and what the user already set is left as it is.
    """
    params = dict(request.params)
    if form is not None and "stop" not in params and takes_stop(request.model):
        params["stop"] = list(_STOPS[form])
    if schema is not None and "response_format" not in params and takes_schema(request.model):
        # Strict mode refuses schemas that leave room for more keys.
        strict = schema.get("additionalProperties") is False
        named = {"name": str(schema.get("title") or "answer"), "schema": dict(schema)}
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {**named, "strict": strict},
        }
    return replace(request, params=params)
