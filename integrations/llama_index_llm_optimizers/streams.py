"""Streams as the framework wants them, read in the context they were asked for in.

A stream is asked for in one place and read in another, often on another thread, and LlamaIndex
calls the model when the first token is read. Its tags, its parent span and its tenant are those of
whoever asked, so every step of a stream runs in the asker's context.
"""

from __future__ import annotations

import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
)
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock

from llm_optimizers.effects import closing_async

if TYPE_CHECKING:
    from llama_index_llm_optimizers.call import Reply

__all__ = ["achunks_of", "agenerated", "astreamed_in", "chunks_of", "generated", "streamed_in"]

T = TypeVar("T")
_MISSING = object()


def generated(chunks: Iterator[T]) -> Generator[T, None, None]:
    """The chunks as a generator; an iterator that can be closed is closed with it."""
    try:
        yield from chunks
    finally:
        _close(chunks)


async def agenerated(chunks: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The asynchronous twin of `generated`."""
    async with closing_async(chunks):
        async for chunk in chunks:
            yield chunk


def streamed_in(context: Context, begin: Callable[[], Iterator[T]]) -> Generator[T, None, None]:
    """The chunks of a stream that begins, goes on and ends in a copy of this context."""
    own = context.copy()
    chunks = own.run(begin)
    try:
        while (chunk := own.run(next, chunks, _MISSING)) is not _MISSING:
            yield chunk  # type: ignore[misc]  # the sentinel is told apart by identity
    finally:
        own.run(_close, chunks)


async def astreamed_in(
    context: Context, begin: Callable[[], Awaitable[AsyncIterator[T]]]
) -> AsyncGenerator[T, None]:
    """The asynchronous twin of `streamed_in`.

    A task cannot change its context, so the variables are set for each step and put back.
    """
    with _entered(context):
        chunks = await begin()
    async with closing_async(chunks):
        while True:
            with _entered(context):
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk


@contextmanager
def _entered(context: Context) -> Iterator[None]:
    tokens: list[tuple[ContextVar[Any], Any]] = [
        (var, var.set(value)) for var, value in context.items() if var.get(_MISSING) is not value
    ]
    try:
        yield
    finally:
        for var, token in reversed(tokens):
            var.reset(token)


def _close(chunks: object) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


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
