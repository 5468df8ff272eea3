"""Cache hits: emit their event, mark the response, and stream it in chunks.

A hit emits no LLM event, since other listeners would count tokens that were never billed. It has
its own event on the same dispatcher, and a mark in the response's `additional_kwargs`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context
from decimal import Decimal
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import (
    ChatResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict, PrivateAttr

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.replies import CachedReply
from llm_optimizers.caching import Hit
from llm_optimizers.caching.answers import CACHE_HIT, mark_of, split_for_streaming
from llm_optimizers.costs import Usage
from llm_optimizers.prompts import TokenCounter

__all__ = ["CACHE_HIT", "LLMCacheHitEvent", "achunks_of", "announce_hit", "chunks_of", "serve_hit"]

_dispatcher = get_dispatcher(__name__)


class LLMCacheHitEvent(BaseEvent):
    """An answer came from the cache; the event holds no text.

    `tier` is exact, normalised, semantic or shared. `score` is the cosine of a semantic hit, else
    1.0; `age` is in seconds. `model` and `usage` are those of the original call, `usage` None if
    unknown. `cost` is what the provider said it billed for it, in dollars; `estimated` usage was
    counted locally. `asked` is the model that would have been called. `hit_id` is the hit's id in
    the ledger.
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
    cost: Decimal | None = None
    estimated: bool = False
    _count: Callable[[TokenCounter], Usage | None] | None = PrivateAttr(default=None)

    def counting(self, counter: TokenCounter) -> Callable[[], Usage | None] | None:
        """Return a function that counts the call that was saved; to be asked for in a handler."""
        return None if self._count is None else partial(self._count, counter)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEvent.class_name`."""
        return "LLMCacheHitEvent"


def announce_hit(
    hit: Hit[Any],
    context: Context,
    *,
    asked: str,
    asked_class: str,
    count: Callable[[TokenCounter], Usage | None],
) -> dict[str, Any]:
    """Emit the event of a hit; return the mark for the response.

    The event gets the tags and the span of the caller's context. `count` counts the tokens of the
    call that was saved, if its provider reported none.
    """
    mark = mark_of(hit)

    def dispatch() -> None:
        event = LLMCacheHitEvent(
            hit_id=mark["id"],
            tier=hit.tier,
            score=hit.score,
            age=hit.age,
            model=hit.model,
            usage=hit.usage,
            asked=asked,
            asked_class=asked_class,
            cost=hit.cost,
            estimated=hit.estimated,
        )
        event._count = count
        try:
            _dispatcher.event(event)
        finally:
            event._count = None  # which holds the texts; others may keep the event

    context.copy().run(dispatch)
    return mark


def serve_hit(
    hit: Hit[CachedReply],
    context: Context,
    *,
    asked: str,
    asked_class: str,
    count: Callable[[TokenCounter], Usage | None],
) -> Reply:
    """Emit the hit's event; return its response with the mark in `additional_kwargs`.

    The message itself is not marked, so that chat histories stay the same.
    """
    reply = hit.value.reply
    mark = announce_hit(hit, context, asked=asked, asked_class=asked_class, count=count)
    additional = {**reply.additional_kwargs, CACHE_HIT: mark}
    return reply.model_copy(update={"additional_kwargs": additional})


def chunks_of(reply: Reply, *, calls_beside: bool = False) -> Iterator[Reply]:
    """Yield the response in chunks of a few words, each with all text before it.

    `calls_beside` gives the tool calls in the message's `additional_kwargs` too, where LlamaIndex's
    streaming programs look for them. Some LLMs would send those to the provider in a wrong form, so
    only a hit of an LLM that gives them there has them.
    """
    text = (reply.message.content or "") if isinstance(reply, ChatResponse) else reply.text
    # Joining several blocks would add newlines to the deltas that are in no block.
    single = not isinstance(reply, ChatResponse) or _texts(reply) <= 1
    pieces = split_for_streaming(text) if single else []
    so_far, thoughts = "", _thoughts_of(reply)
    for piece in pieces[:-1]:
        so_far += piece
        part = _part(reply, so_far, piece)
        yield part.model_copy(update={"additional_kwargs": thoughts})
        thoughts = {}
    additional = {**reply.additional_kwargs, **thoughts}
    delta = pieces[-1] if pieces else text
    whole = reply.model_copy(update={"delta": delta, "additional_kwargs": additional})
    yield _with_calls(whole) if calls_beside else whole


async def achunks_of(reply: Reply, *, calls_beside: bool = False) -> AsyncIterator[Reply]:
    """Async version of `chunks_of`."""
    for chunk in chunks_of(reply, calls_beside=calls_beside):
        yield chunk


def _thoughts_of(reply: Reply) -> dict[str, Any]:
    """Return the thoughts as the delta that LlamaIndex's agents read from a stream's chunk."""
    blocks = reply.message.blocks if isinstance(reply, ChatResponse) else []
    thoughts = [block.content for block in blocks if isinstance(block, ThinkingBlock)]
    text = "".join(thought or "" for thought in thoughts)
    return {"thinking_delta": text} if text else {}


def _part(reply: Reply, text: str, delta: str) -> Reply:
    if not isinstance(reply, ChatResponse):
        return reply.model_copy(update={"text": text, "delta": delta, "additional_kwargs": {}})
    thoughts = [block for block in reply.message.blocks if isinstance(block, ThinkingBlock)]
    blocks = [*thoughts, TextBlock(text=text)]
    message = reply.message.model_copy(update={"blocks": blocks, "additional_kwargs": {}})
    return ChatResponse(message=message, delta=delta)


def _with_calls(reply: Reply) -> Reply:
    """Return a stream's last chunk with its tool calls in `additional_kwargs` too."""
    if not isinstance(reply, ChatResponse):
        return reply
    calls = [
        {
            "id": block.tool_call_id,
            "type": "function",
            "function": {"name": block.tool_name, "arguments": _arguments(block.tool_kwargs)},
        }
        for block in reply.message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    if not calls:
        return reply
    additional = {**reply.message.additional_kwargs, "tool_calls": calls}
    message = reply.message.model_copy(update={"additional_kwargs": additional})
    return reply.model_copy(update={"message": message})


def _arguments(given: dict[str, Any] | str) -> str:
    """Return a tool call's arguments as JSON text."""
    return given if isinstance(given, str) else json.dumps(given)


def _texts(reply: ChatResponse) -> int:
    return sum(isinstance(block, TextBlock) for block in reply.message.blocks)
