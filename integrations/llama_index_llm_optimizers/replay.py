"""A whole response as the chunks of a stream."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock

from llama_index_llm_optimizers.calls import Reply

__all__ = ["achunks_of", "chunks_of"]

_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*")


def chunks_of(reply: Reply) -> Iterator[Reply]:
    """The response in chunks of a few words; each holds all so far, the last one everything."""
    text = (reply.message.content or "") if isinstance(reply, ChatResponse) else reply.text
    # Blocks joined by newlines would put characters into the deltas that no block has.
    single = not isinstance(reply, ChatResponse) or _texts(reply) <= 1
    pieces = _PIECE.findall(text) if single else []
    so_far = ""
    for piece in pieces[:-1]:
        so_far += piece
        yield _part(reply, so_far, piece)
    yield reply.model_copy(update={"delta": pieces[-1] if pieces else text})


async def achunks_of(reply: Reply) -> AsyncIterator[Reply]:
    """The asynchronous twin of `chunks_of`."""
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
