"""Shorter outputs, each measure only when asked for: a learned cap, stop sequences, a schema.

A cap is learned from the lengths that a task's answers had. An answer cut by a cap is a broken
answer, so the cap stands well above the longest usual one, the rate of cut answers is shown, and
a cut answer is asked for again without the cap: what it had cost is charged to prompts.
"""

from __future__ import annotations

import math
import re
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CONTEXTS_BY_CALL, CallContext, Drafts
from llm_optimizers.prompts.counting import bare_name, is_recent_openai
from llm_optimizers.types import ChatRequest

__all__ = [
    "AnswerForm",
    "CappedCall",
    "OutputCap",
    "OutputLimits",
    "uncapped",
    "was_cut",
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


class CappedCall:
    """A call under its task's learned cap, and the one made in its place if the cap cuts it.

    Example:
        ```python
        with CappedCall(limits, task, params, around=context_of(call_id)) as capped:
            answer = ask(capped.first, max_tokens=capped.cap and capped.cap.tokens)
            if capped.cut(answer.finish_reason, answer.usage):
                answer = ask(capped.second)
        ```

    `cap` is None where none is set. `first` and `retry` are what the account is to know of the
    two calls, to be made under their ids: without a cap `first` is `context`, and there is no
    second call. The record of a first call is written when the block ends, and charged to prompts
    if its answer was cut. `call_id` is the caller's own name for the first call, `configured` the
    model's own cap.
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
            named = call_id or str(uuid.uuid4())
            self._drafts, self._kept = Drafts(context, strategy="prompts"), named
            self.first = replace(context, id=named, drafts=self._drafts, draft_id=named)
            self.retry = replace(context, id=str(uuid.uuid4()))
            CONTEXTS_BY_CALL.update({each.id: each for each in (self.first, self.retry)})

    def needs_retry(self, finish_reason: str | None, usage: Usage | None) -> bool:
        """Whether our cap cut the first answer, so that the second call is to be made.

        The limits learn from the answer, if its provider reported a length.
        """
        truncated = was_cut(finish_reason)
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


def was_cut(finish_reason: str | None) -> bool:
    """Whether an answer ended because it reached its cap, in any provider's words."""
    return finish_reason in _CUT


def uncapped(
    sent: ChatRequest, original: ChatRequest, finish_reason: str | None
) -> ChatRequest | None:
    """The request to send again when our own cap cut the answer, else None."""
    ours = any(name in sent.params and name not in original.params for name in _CAPS)
    return original if was_cut(finish_reason) and ours else None


def with_answer_form(
    request: ChatRequest, *, form: AnswerForm | None = None, schema: Mapping[str, Any] | None = None
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
