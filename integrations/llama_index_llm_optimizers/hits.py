"""A served answer: announced and marked as a saving, and replayed in chunks.

A hit is no LLM event: a listener for those would count tokens that were never billed. It
is an event of its own on the same dispatcher, and a mark beside the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextvars import Context
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.codec import CachedReply
from llm_optimizers.caching import Hit
from llm_optimizers.caching.answers import CACHE_HIT, mark_of, split_for_streaming
from llm_optimizers.costs import Usage

__all__ = ["CACHE_HIT", "LLMCacheHitEvent", "achunks_of", "announce_hit", "chunks_of", "serve_hit"]

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


def announce_hit(
    hit: Hit[Any], context: Context, *, asked: str, asked_class: str
) -> dict[str, Any]:
    """Announce a hit on the dispatcher; gives the mark that belongs beside what is served.

    The event has the tags and the span of the context that the answer was asked for in.
    """
    mark = mark_of(hit)

    def dispatch() -> None:
        _dispatcher.event(
            LLMCacheHitEvent(
                hit_id=mark["id"],
                tier=hit.tier,
                score=hit.score,
                age=hit.age,
                model=hit.model,
                usage=hit.usage,
                asked=asked,
                asked_class=asked_class,
            )
        )

    context.copy().run(dispatch)
    return mark


def serve_hit(hit: Hit[CachedReply], context: Context, *, asked: str, asked_class: str) -> Reply:
    """The hit's response, announced, with its mark in `additional_kwargs`.

    Its message is left as it is, so that histories are too.
    """
    reply = hit.value.reply
    mark = announce_hit(hit, context, asked=asked, asked_class=asked_class)
    beside = {**reply.additional_kwargs, CACHE_HIT: mark}
    return reply.model_copy(update={"additional_kwargs": beside})


def chunks_of(reply: Reply) -> Iterator[Reply]:
    """The response in chunks of a few words; each holds all so far, the last one everything."""
    text = (reply.message.content or "") if isinstance(reply, ChatResponse) else reply.text
    # Blocks joined by newlines would put characters into the deltas that no block has.
    single = not isinstance(reply, ChatResponse) or _texts(reply) <= 1
    pieces = split_for_streaming(text) if single else []
    so_far = ""
    for piece in pieces[:-1]:
        so_far += piece
        yield _part(reply, so_far, piece)
    yield reply.model_copy(update={"delta": pieces[-1] if pieces else text})


async def achunks_of(reply: Reply) -> AsyncIterator[Reply]:
    """Async version of `chunks_of`."""
    for chunk in chunks_of(reply):
        yield chunk


def _part(reply: Reply, text: str, delta: str) -> Reply:
    if not isinstance(reply, ChatResponse):
        return reply.model_copy(update={"text": text, "delta": delta, "additional_kwargs": {}})
    thoughts = [block for block in reply.message.blocks if isinstance(block, ThinkingBlock)]
    blocks = [*thoughts, TextBlock(text=text)]
    message = reply.message.model_copy(update={"blocks": blocks, "additional_kwargs": {}})
    return ChatResponse(message=message, delta=delta)


def _texts(reply: ChatResponse) -> int:
    return sum(isinstance(block, TextBlock) for block in reply.message.blocks)
