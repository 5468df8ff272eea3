"""Whole replies: what a cache keeps of a response, or of a finished stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import takewhile

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    TextBlock,
    ThinkingBlock,
)

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.usage import (
    ENDED,
    finish_reason_of,
    gives_reasons,
    hit_mark,
    reported_by,
    share_of,
)
from llm_optimizers.caching.answers import reported_by_mark
from llm_optimizers.costs import Usage
from llm_optimizers.costs.answers import Reported, baseline_call

__all__ = ["CachedReply", "reply_to_cache", "stream_to_cache"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedReply:
    """A whole response with what the cache needs; `usage` None or "" where the provider gave none.

    `model`, `usage` and `cost` (in dollars, as the provider reported it) are those of the baseline
    call, made without any strategy, which a hit saves; `estimated` usage was counted locally.
    `gives_reasons` says whether a stream's provider reports why it ended. `calls_beside` says
    whether the LLM also gives its tool calls in the message's `additional_kwargs`.
    """

    reply: Reply
    model: str = ""
    usage: Usage | None = None
    finish_reason: str = ""
    gives_reasons: bool = False
    calls_beside: bool = False
    cost: Decimal | None = None
    estimated: bool = False


def reply_to_cache(reply: Reply) -> CachedReply:
    """Return a call's reply as the cache's value."""
    return _cached_reply(reply, reported_by(reply), finish_reason_of(reply))


def stream_to_cache(
    chunks: Sequence[Reply], *, cut_from: Callable[[], int | None] = lambda: None
) -> CachedReply:
    """Return a finished stream as the cache's value; each chunk contains all text before it.

    `cut_from` returns from how many output tokens on an answer may have been cut off, None if that
    is not known; it is asked if the stream does not say why it ended.
    """
    if not chunks:
        return CachedReply(reply=CompletionResponse(text=""))
    reasons = [reason for reason in map(finish_reason_of, chunks) if reason]
    reported = reported_by(*chunks)
    reason = reasons[-1] if reasons else ""
    if reason == ENDED and reported.usage is not None:
        limit = cut_from()
        cut = limit is not None and reported.usage.output_tokens >= limit
        reason = "length" if cut else reason
    whole = _cached_reply(_whole(chunks), reported, reason)
    return replace(
        whole,
        gives_reasons=any(map(gives_reasons, chunks)),
        calls_beside=any(map(_has_calls_beside, chunks)),
    )


def _cached_reply(reply: Reply, reported: Reported, finish_reason: str) -> CachedReply:
    mark = hit_mark(reply)
    answered = reported if mark is None else reported_by_mark(mark)
    baseline = baseline_call(answered, share=share_of(reply))
    return CachedReply(
        reply=reply,
        model=baseline.model,
        usage=baseline.usage,
        finish_reason=finish_reason,
        calls_beside=_has_calls_beside(reply),
        cost=baseline.cost,
        estimated=baseline.estimated,
    )


def _has_calls_beside(reply: Reply) -> bool:
    return isinstance(reply, ChatResponse) and bool(
        reply.message.additional_kwargs.get("tool_calls")
    )


def _whole(chunks: Sequence[Reply]) -> Reply:
    """Return the last chunk as a whole response, with the joined deltas if its text is shorter."""
    last = chunks[-1]
    read = "".join(chunk.delta or "" for chunk in chunks)
    if not isinstance(last, ChatResponse):
        text = read if len(read) > len(last.text) else last.text
        return last.model_copy(update={"delta": None, "text": text})
    message = last.message
    if len(read) > len(message.content or ""):
        message = message.model_copy(update={"blocks": _with_text(message.blocks, read)})
    kept = {k: v for k, v in last.additional_kwargs.items() if k != "thinking_delta"}
    update = {"delta": None, "message": _without_delta(message), "additional_kwargs": kept}
    return last.model_copy(update=update)


def _with_text(blocks: Sequence[ContentBlock], text: str) -> list[ContentBlock]:
    """Return the blocks with this text for theirs, in its place or else after the thoughts."""
    texts = [place for place, block in enumerate(blocks) if isinstance(block, TextBlock)]
    thoughts = list(takewhile(lambda block: isinstance(block, ThinkingBlock), blocks))
    place = texts[0] if texts else len(thoughts)
    after = [block for block in blocks[place:] if not isinstance(block, TextBlock)]
    return [*blocks[:place], TextBlock(text=text), *after]


def _without_delta(message: ChatMessage) -> ChatMessage:
    """Return the message without the last delta of its thoughts, which some LLMs leave in it."""
    kept = {k: v for k, v in message.additional_kwargs.items() if k != "thinking_delta"}
    return message.model_copy(update={"additional_kwargs": kept})
