"""How a served answer is announced, so that the account counts a saving and never a spend.

A hit is no LLM event: whoever listens for those would count tokens that nobody was billed for. It
is an event of its own on the same dispatcher, and a mark beside the response.
"""

from __future__ import annotations

from contextvars import Context
from typing import Any
from uuid import uuid4

from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict

from llama_index_llm_optimizers.answers import Answered
from llama_index_llm_optimizers.call import Reply
from llm_optimizers.caching import Hit
from llm_optimizers.costs import Usage

__all__ = ["CACHE_HIT", "LLMCacheHitEvent", "announce", "mark_of", "marked"]

CACHE_HIT = "cache_hit"
"""The key of the mark in a served response's `additional_kwargs`, or a query's `metadata`."""

_dispatcher = get_dispatcher(__name__)


class LLMCacheHitEvent(BaseEvent):
    """An answer was served instead of called for; holds no text.

    `tier` is exact, normalised, semantic or shared; `score` 1.0 but for semantic hits; `age` in
    seconds. `model` and `usage` are those of the call that made the answer, `usage` None when it
    is not known; `asked` is the model that would have been called. `hit_id` names the hit in the
    account.
    """

    model_config = ConfigDict(protected_namespaces=("pydantic_model_",))

    hit_id: str
    tier: str
    score: float
    age: float
    model: str
    usage: Usage | None
    asked: str = ""
    asked_class: str = ""

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEvent.class_name`."""
        return "LLMCacheHitEvent"


def announce(hit: Hit[Any], context: Context, *, asked: str, asked_class: str) -> LLMCacheHitEvent:
    """Tell the dispatcher of a hit, with the tags and the span of the context asked in."""

    def tell() -> LLMCacheHitEvent:
        event = LLMCacheHitEvent(
            hit_id=uuid4().hex,
            tier=hit.tier,
            score=hit.score,
            age=hit.age,
            model=hit.model,
            usage=hit.usage,
            asked=asked,
            asked_class=asked_class,
        )
        _dispatcher.event(event)
        return event

    return context.copy().run(tell)


def mark_of(event: LLMCacheHitEvent) -> dict[str, Any]:
    """The mark that tells a served answer from a called one, JSON-ready."""
    return {
        "id": event.hit_id,
        "tier": event.tier,
        "score": round(event.score, 4),
        "age": round(event.age, 3),
        "model": event.model,
        "usage": None if event.usage is None else event.usage.as_dict(),
    }


def marked(answer: Answered, event: LLMCacheHitEvent) -> Reply:
    """The answer's response, marked; its message is left as it is, so that histories are too."""
    reply = answer.reply
    beside = {**reply.additional_kwargs, CACHE_HIT: mark_of(event)}
    return reply.model_copy(update={"additional_kwargs": beside})
