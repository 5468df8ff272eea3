"""Shorter outputs, each measure only when asked for: a learned cap, stop sequences, a schema.

A cap is learned from the lengths that a task's answers had. An answer cut by a cap is a broken
answer, so the cap stands well above the longest usual one, the rate of cut answers is shown, and
a cut answer is asked for again without the cap.
"""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from llm_optimizers.prompts.counting import bare_name, is_recent_openai
from llm_optimizers.types import ChatRequest

__all__ = ["Form", "OutputCap", "OutputLimits", "shaped", "uncapped", "was_cut"]

Form: TypeAlias = Literal["line", "word", "paragraph"]

_STOPS: Mapping[Form, tuple[str, ...]] = {
    "line": ("\n",),
    "word": ("\n", "."),
    "paragraph": ("\n\n",),
}
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_STRUCTURED = ("tools", "functions", "response_format")
"""Settings that give an answer a form of their own."""
_CUT = ("length", "max_tokens", "MAX_TOKENS")
"""What providers call the reason why an answer ended at its cap."""
_REASONING = re.compile(r"(o[1-9]|gpt-[5-9]|gpt-1\d)\b")


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

    def cap_for(
        self, task: str, params: Mapping[str, Any], *, configured: int | None = None
    ) -> OutputCap | None:
        """The cap to set on a call with these parameters.

        None where the caller set one, where the model is `configured` to one that is no higher,
        and until enough is known.
        """
        cap = self.cap(task)
        if cap is None or any(name in params for name in _CAPS):
            return None
        return None if configured is not None and configured <= cap.tokens else cap

    def capped(self, request: ChatRequest, task: str) -> ChatRequest:
        """The request with the task's cap, where `cap_for` gives one."""
        cap = self.cap_for(task, request.params)
        if cap is None:
            return request
        # A reasoning model's own name for it counts the hidden reasoning too.
        name = "max_completion_tokens" if _reasons(request.model) else "max_tokens"
        return replace(request, params={**request.params, name: cap.tokens})


def was_cut(finish_reason: str | None) -> bool:
    """Whether an answer ended because it reached its cap, in any provider's words."""
    return finish_reason in _CUT


def uncapped(
    sent: ChatRequest, original: ChatRequest, finish_reason: str | None
) -> ChatRequest | None:
    """The request to send again when our own cap cut the answer, else None."""
    ours = any(name in sent.params and name not in original.params for name in _CAPS)
    return original if was_cut(finish_reason) and ours else None


def shaped(
    request: ChatRequest, *, form: Form | None = None, schema: Mapping[str, Any] | None = None
) -> ChatRequest:
    """The request with stop sequences of an expected form, or a schema in place of prose.

    What the model does not take and what the user already set is left as it is; tools and
    schemas have a form of their own, and get no stop sequences. OpenAI's reasoning models refuse
    those.
    """
    params = dict(request.params)
    free = not any(name in params for name in ("stop", *_STRUCTURED))
    if form is not None and free and not _reasons(request.model):
        params["stop"] = list(_STOPS[form])
    if schema is not None and "response_format" not in params and is_recent_openai(request.model):
        # Strict mode refuses schemas that leave room for more keys.
        strict = schema.get("additionalProperties") is False
        named = {"name": str(schema.get("title") or "answer"), "schema": dict(schema)}
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {**named, "strict": strict},
        }
    return replace(request, params=params)


def _reasons(model: str) -> bool:
    return _REASONING.match(bare_name(model)) is not None
