"""An answer of an LLM as the cache keeps it: the response, and what the call behind it consumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
)

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.messages import ROUTING, SHORTENED
from llama_index_llm_optimizers.usage import (
    finish_reason_of,
    model_of,
    usage_of,
    usage_of_stream,
)
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import Removed

__all__ = ["Answered", "answered", "answered_by_stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole response; `usage` None and the texts "" where the provider told nothing.

    `model` and `usage` are those of the call that would have been made without any strategy: a
    hit saves that one.
    """

    reply: Reply
    model: str = ""
    usage: Usage | None = None
    finish_reason: str = ""


def answered(reply: Reply) -> Answered:
    """What a call gave."""
    return Answered(
        reply=reply,
        model=_asked_bare(reply) or model_of(reply),
        usage=_used_bare(reply, usage_of(reply)),
        finish_reason=finish_reason_of(reply),
    )


def answered_by_stream(chunks: Sequence[Reply]) -> Answered:
    """What the chunks of a finished stream make; each holds all that came before it."""
    if not chunks:
        return Answered(reply=CompletionResponse(text=""))
    reasons = [reason for reason in map(finish_reason_of, chunks) if reason]
    models = [name for name in map(model_of, chunks) if name]
    return Answered(
        reply=_whole(chunks),
        model=_asked_bare(chunks[-1]) or (models[-1] if models else ""),
        usage=_used_bare(chunks[-1], usage_of_stream(chunks)),
        finish_reason=reasons[-1] if reasons else "",
    )


def _asked_bare(reply: Reply) -> str:
    """The model that a router would have asked if it were not one, "" without a router."""
    return str((reply.additional_kwargs.get(ROUTING) or {}).get("baseline_model") or "")


def _used_bare(reply: Reply, usage: Usage | None) -> Usage | None:
    """The usage with what a prompt optimiser took away."""
    removed = Removed(**(reply.additional_kwargs.get(SHORTENED) or {}))
    return None if usage is None else removed.restored(usage)


def _whole(chunks: Sequence[Reply]) -> Reply:
    """The last chunk as a response of its own; some LLMs' last text lags behind their deltas."""
    last = chunks[-1]
    read = "".join(chunk.delta or "" for chunk in chunks)
    if not isinstance(last, ChatResponse):
        text = read if len(read) > len(last.text) else last.text
        return last.model_copy(update={"delta": None, "text": text})
    message = last.message
    if len(read) > len(message.content or ""):
        others = [block for block in message.blocks if not isinstance(block, TextBlock)]
        message = message.model_copy(update={"blocks": [TextBlock(text=read), *others]})
    kept = {k: v for k, v in last.additional_kwargs.items() if k != "thinking_delta"}
    update = {"delta": None, "message": _settled(message), "additional_kwargs": kept}
    return last.model_copy(update=update)


def _settled(message: ChatMessage) -> ChatMessage:
    """The message without the delta of a thought that some LLMs leave in it."""
    kept = {k: v for k, v in message.additional_kwargs.items() if k != "thinking_delta"}
    return message.model_copy(update={"additional_kwargs": kept})
