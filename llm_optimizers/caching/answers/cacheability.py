"""Which answers may be stored: a bad answer in the cache would be served again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Integral
from types import NoneType

from llm_optimizers.arguments import Kinds, fields, instance, whole
from llm_optimizers.costs import Usage
from llm_optimizers.forks import ProcessLock

__all__ = ["Cacheability", "Judged", "least_cacheable", "reason_not_to_cache"]

_REMEMBERED = 4096

_COMPLETE = frozenset(
    {
        "",
        # OpenAI, Azure, Mistral, Ollama, Gemini, and OpenAI's Responses
        *("stop", "tool_calls", "function_call", "tool_call", "completed"),
        # Anthropic and Bedrock, Cohere, Hugging Face
        *("end_turn", "stop_sequence", "tool_use", "complete", "eos", "eos_token"),
    }
)
_KINDS: Mapping[str, Kinds] = {
    "empty": bool,
    "finish_reason": str,
    "gives_reasons": bool,
    "refusal": bool,
    "completion": (bool, NoneType),
    "model": str,
    "usage": (Usage, NoneType),
    "choices": (int, Integral, NoneType),
    "cost": (Decimal, NoneType),
    "estimated": bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cacheability:
    """What decides whether an answer may be stored, and the model, usage and cost of its call.

    `finish_reason` is the provider's, "" if it gave none; `gives_reasons` says whether the
    provider is known to give one with every complete answer. `empty` means no text and no tool
    calls. `completion` says whether it is a completion's text (True) or a chat message (False);
    None fits every request. `choices` is how many answers there are, None if the adapter does not
    count them. `cost` is what the provider says it billed, in dollars, None if it does not say;
    `estimated` usage was counted locally. Where `usage` is None, a hit of the
    answer is counted when it is recorded.
    """

    empty: bool = False
    finish_reason: str = ""
    gives_reasons: bool = False
    refusal: bool = False
    completion: bool | None = None
    model: str = ""
    usage: Usage | None = None
    choices: int | None = None
    cost: Decimal | None = None
    estimated: bool = False

    def __post_init__(self) -> None:
        fields(self, _KINDS)
        if self.choices is not None:
            whole("choices", self.choices, least=0)


def reason_not_to_cache(cacheability: Cacheability, *, choices: int | None = None) -> str | None:
    """Return why an answer must not be stored, or None if it may.

    `choices` is how many answers the call asked for, if that is known. A stream brings one text,
    however many were asked for, and it must not answer a later call that expects them all.

    The finish reason must be known to mean a complete answer, unlike `length` or
    `content_filter`. A missing one is a reason too if the provider always gives one: to a
    stream's reader, a broken connection can look like the end.
    """
    instance("cacheability", cacheability, Cacheability)
    if choices is not None:
        whole("choices", choices, least=0)
    if cacheability.refusal:
        return "the model refused"
    if cacheability.finish_reason.lower() not in _COMPLETE:
        return f"finish reason {cacheability.finish_reason}"
    if cacheability.empty:
        return "empty"
    if cacheability.gives_reasons and not cacheability.finish_reason:
        return "no finish reason"
    made = cacheability.choices
    if choices is not None and made is not None and made != choices:
        return f"{made} of {choices} answers"
    return None


def least_cacheable(several: Sequence[Cacheability]) -> Cacheability:
    """Return the first of a call's answers that must not be stored, else the first answer.

    A call's answers are stored together or not at all; no answers at all count as empty.
    """
    uncacheable = (each for each in several if reason_not_to_cache(each))
    return next(uncacheable, several[0] if several else Cacheability(empty=True))


class Judged:
    """The cacheability of stored answers, which is read from each once; safe between threads.

    Its finish reason was judged when the answer was stored; a codec need not keep it.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, Cacheability] = OrderedDict()
        self._lock = ProcessLock()

    def get(self, digest: bytes, judge: Callable[[], Cacheability]) -> Cacheability:
        """Return what `judge` returns for the answer with this digest."""
        found = self._found.get(digest)
        if found is None:
            found = replace(judge(), gives_reasons=False)
            with self._lock:
                self._found[digest] = found
                if len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
        return found
