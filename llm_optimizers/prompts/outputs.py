"""Shorten outputs by a learned cap, stop sequences or a schema; each is opt-in.

A cap is learned from the lengths of a task's answers. A truncated answer is useless, so the cap
is well above the usual length, the truncation rate is reported, and a truncated answer is
requested again without the cap. Its cost is charged to prompts.
"""

from __future__ import annotations

import math
import re
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from llm_optimizers.arguments import number, refuse, whole
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CONTEXTS_BY_CALL, CallContext, Drafts
from llm_optimizers.forks import ProcessLock
from llm_optimizers.holdout import is_held_out
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.prompts.counting import bare_name, is_recent_openai
from llm_optimizers.types import ChatRequest

__all__ = [
    "AnswerForm",
    "CappedCall",
    "OutputCap",
    "OutputLimits",
    "was_truncated",
    "with_answer_form",
]

AnswerForm: TypeAlias = Literal["line", "word", "paragraph"]

_STOPS: Mapping[AnswerForm, tuple[str, ...]] = {
    "line": ("\n",),
    "word": ("\n", "."),
    "paragraph": ("\n\n",),
}
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_STRUCTURED = ("tools", "functions", "response_format")
"""Settings that already decide the form of an answer."""
_TRUNCATED = ("length", "max_tokens", "MAX_TOKENS")
"""The providers' finish reasons for an answer that reached its cap."""
_REASONING = re.compile(r"(o[1-9]|gpt-[5-9]|gpt-1\d)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCap:
    """A cap in tokens, how many answers it was learned from, and their truncation rate."""

    tokens: int
    answers: int
    truncation_rate: float


class OutputLimits(PickledAsArguments):
    """Learns how long a task's answers get; safe to share between threads.

    What it has learned is pickled with it.

    Args:
        quantile: The share of the answers that the cap must fit, before the margin.
        margin: The factor from that quantile to the cap.
        enough: How many answers a task needs before it gets a cap.
        window: How many of the latest answers count; no fewer than `enough`.

    Raises:
        ConfigurationError: a number is out of range.
    """

    def __init__(
        self,
        *,
        quantile: float = 0.99,
        margin: float = 1.5,
        enough: int = 50,
        window: int = 1_000,
    ) -> None:
        self._quantile = number("quantile", quantile, above=0, most=1)
        self._margin = number("margin", margin, least=1)
        self._enough = whole("enough", enough, least=1)
        self._window = whole("window", window, least=1)
        if self._window < self._enough:
            refuse("window", window, f"{enough} or more, as many as `enough` asks for")
        self._answers: dict[str, deque[tuple[int, bool]]] = {}
        self._lock = ProcessLock()

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        with self._lock:
            return {"_answers": {task: each.copy() for task, each in self._answers.items()}}

    def observe(self, task: str, output_tokens: int, *, truncated: bool = False) -> None:
        """Add an answer's length; a truncated one would have been longer by an unknown amount."""
        with self._lock:
            answers = self._answers.setdefault(task, deque(maxlen=self._window))
            answers.append((output_tokens, truncated))

    def cap(self, task: str) -> OutputCap | None:
        """Return the cap for a task's next answer; None until there are enough answers.

        Truncated answers count as twice their length, so a cap that truncates soon rises.
        """
        with self._lock:
            answers = list(self._answers.get(task, ()))
        if len(answers) < self._enough:
            return None
        lengths = sorted(tokens * 2 if truncated else tokens for tokens, truncated in answers)
        place = min(len(lengths) - 1, math.ceil(self._quantile * len(lengths)) - 1)
        return OutputCap(
            tokens=max(16, math.ceil(lengths[place] * self._margin)),
            answers=len(answers),
            truncation_rate=sum(truncated for _, truncated in answers) / len(answers),
        )

    def cap_for(
        self, task: str, params: Mapping[str, Any], *, configured: int | None = None
    ) -> OutputCap | None:
        """Return the cap to set on a call with these parameters.

        None if the caller set a cap, if the model's own (`configured`) is not higher, if there
        are not enough answers yet, or if the call is held out.
        """
        if is_held_out():
            return None
        cap = self.cap(task)
        if cap is None or any(name in params for name in _CAPS):
            return None
        return None if configured is not None and configured <= cap.tokens else cap

    def capped(self, request: ChatRequest, task: str) -> ChatRequest:
        """Return the request with the task's cap, if `cap_for` gives one."""
        cap = self.cap_for(task, request.params)
        if cap is None:
            return request
        # Reasoning models have another parameter, which counts the hidden reasoning too.
        name = "max_completion_tokens" if _reasons(request.model) else "max_tokens"
        return replace(request, params={**request.params, name: cap.tokens})


class CappedCall:
    """A call under its task's learned cap, and its retry if the cap truncates the answer.

    Example:
        ```python
        with CappedCall(limits, task, params, context=context_of(call_id)) as capped:
            answer = ask(capped.first, max_tokens=capped.cap and capped.cap.tokens)
            if capped.needs_retry(answer.finish_reason, answer.usage):
                answer = ask(capped.retry)
        ```

    `cap` is None if none is set. `first` and `retry` are the contexts of the two calls, which
    must be made under their ids; without a cap `first` is `context`, and there is no retry. The
    first call is recorded when the block ends, and charged to prompts if its answer was
    truncated. `call_id` is the caller's id for the first call, `configured` the model's own cap.
    """

    def __init__(
        self,
        limits: OutputLimits | None,
        task: str,
        params: Mapping[str, Any],
        *,
        context: CallContext,
        call_id: str | None = None,
        configured: int | None = None,
    ) -> None:
        self.cap = limits.cap_for(task, params, configured=configured) if limits else None
        self.first = self.retry = context
        self._limits, self._task = limits, task
        self._drafts: Drafts | None = None
        self._kept: str | None = None
        if self.cap is not None:
            first = call_id or str(uuid.uuid4())
            self._drafts, self._kept = Drafts(context, strategy="prompts"), first
            both = replace(context, run=context.run or first)
            self.first = replace(both, id=first, drafts=self._drafts, draft_id=first)
            self.retry = replace(both, id=str(uuid.uuid4()))
            CONTEXTS_BY_CALL.update({each.id: each for each in (self.first, self.retry)})

    def needs_retry(self, finish_reason: str | None, usage: Usage | None) -> bool:
        """Return whether the learned cap truncated the first answer, so that a retry is needed.

        The limits learn the answer's length, if its provider reported one.
        """
        truncated = was_truncated(finish_reason)
        if self._limits is not None and usage is not None and usage.output_tokens:
            self._limits.observe(self._task, usage.output_tokens, truncated=truncated)
        if self.cap is None or not truncated:
            return False
        self._kept = None
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drafts is not None:
            self._drafts.resolve(self._kept)


def was_truncated(finish_reason: str | None) -> bool:
    """Return whether an answer ended because it reached its cap, for any provider."""
    return finish_reason in _TRUNCATED


def with_answer_form(
    request: ChatRequest, *, form: AnswerForm | None = None, schema: Mapping[str, Any] | None = None
) -> ChatRequest:
    """Return the request with the stop sequences of a form, or with a schema.

    Settings that the user made or that the model does not take are left alone: requests with
    tools or a schema get no stop sequences, nor do OpenAI's reasoning models, which reject them.
    """
    params = dict(request.params)
    free = not any(name in params for name in ("stop", *_STRUCTURED))
    if form is not None and free and not _reasons(request.model):
        params["stop"] = list(_STOPS[form])
    if schema is not None and "response_format" not in params and is_recent_openai(request.model):
        # Strict mode rejects schemas that allow additional keys.
        strict = schema.get("additionalProperties") is False
        named = {"name": str(schema.get("title") or "answer"), "schema": dict(schema)}
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {**named, "strict": strict},
        }
    return replace(request, params=params)


def _reasons(model: str) -> bool:
    return _REASONING.match(bare_name(model)) is not None
