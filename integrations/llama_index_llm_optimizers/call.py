"""`ModelCall`: one request to an LLM, made by any of LlamaIndex's eight methods.

A stream may be started in one place and read in another, often on another thread, and LlamaIndex
calls the model only when the first token is read. Its tags, parent span and tenant must be those of
the code that started it, so every step of a stream runs in that code's context.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
)
from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.left_streams import aclose_stream, close_stream
from llm_optimizers.effects import closing_async
from llm_optimizers.settings.copies import copied

__all__ = [
    "ChatCall",
    "CompletionCall",
    "ModelCall",
    "Reply",
    "as_async_generator",
    "as_generator",
    "astream_in_context",
    "stream_in_context",
]

T = TypeVar("T")
Reply: TypeAlias = ChatResponse | CompletionResponse
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class ModelCall(ABC):
    """One request to an LLM, with its settings and the context it was made in."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    context: Context = field(default_factory=copy_context, repr=False, compare=False)

    @abstractmethod
    def ask(self, child: LLM) -> Reply:
        """Call the child."""

    @abstractmethod
    async def aask(self, child: LLM) -> Reply:
        """Async version of `ask`."""

    @abstractmethod
    def stream(self, child: LLM) -> Iterator[Reply]:
        """Stream from the child."""

    @abstractmethod
    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """Async version of `stream`."""


@dataclass(frozen=True, kw_only=True)
class ChatCall(ModelCall):
    """A call of `chat` or one of its streaming and async forms."""

    messages: Sequence[ChatMessage]

    def ask(self, child: LLM) -> Reply:
        """See `ModelCall.ask`."""
        return child.chat(self._given(), **copied(self.kwargs))

    async def aask(self, child: LLM) -> Reply:
        """See `ModelCall.aask`."""
        return await child.achat(self._given(), **copied(self.kwargs))

    def stream(self, child: LLM) -> Iterator[Reply]:
        """See `ModelCall.stream`."""
        return stream_in_context(
            self.context, lambda: child.stream_chat(self._given(), **copied(self.kwargs))
        )

    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        return astream_in_context(
            self.context, lambda: child.astream_chat(self._given(), **copied(self.kwargs))
        )

    def _given(self) -> list[ChatMessage]:
        """Return copies of the messages for one child.

        LlamaIndex's Gemini joins messages of one role into the first of them, in place; Bedrock
        changes cache points. A fallback to another LLM, and the caller's next call, need them as
        they were.
        """
        return [
            message.model_copy(
                update={
                    "blocks": [_for_one_call(block) for block in message.blocks],
                    "additional_kwargs": dict(message.additional_kwargs),
                }
            )
            for message in self.messages
        ]


def _for_one_call(block: ContentBlock) -> ContentBlock:
    return block.model_copy(deep=True) if isinstance(block, CachePoint) else block


@dataclass(frozen=True, kw_only=True)
class CompletionCall(ModelCall):
    """A call of `complete` or one of its streaming and async forms."""

    prompt: str
    formatted: bool = False

    @property
    def _settings(self) -> dict[str, Any]:
        """The settings as LlamaIndex passes them on itself, so that events show the same."""
        return {"formatted": True, **self.kwargs} if self.formatted else self.kwargs

    def ask(self, child: LLM) -> Reply:
        """See `ModelCall.ask`."""
        return child.complete(self.prompt, **copied(self._settings))

    async def aask(self, child: LLM) -> Reply:
        """See `ModelCall.aask`."""
        return await child.acomplete(self.prompt, **copied(self._settings))

    def stream(self, child: LLM) -> Iterator[Reply]:
        """See `ModelCall.stream`."""
        return stream_in_context(
            self.context,
            lambda: child.stream_complete(self.prompt, **copied(self._settings)),
        )

    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        return astream_in_context(
            self.context,
            lambda: child.astream_complete(self.prompt, **copied(self._settings)),
        )


def as_generator(chunks: Iterator[T]) -> Generator[T, None, None]:
    """Yield the chunks; closing the generator closes their iterator."""
    try:
        yield from chunks
    finally:
        _close(chunks)


async def as_async_generator(chunks: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Async version of `as_generator`."""
    async with closing_async(chunks):
        async for chunk in chunks:
            yield chunk


def stream_in_context(
    context: Context, begin: Callable[[], Iterator[T]]
) -> Generator[T, None, None]:
    """Yield a stream's chunks; the stream starts, runs and ends in a copy of this context."""
    own = context.copy()
    chunks = own.run(begin)
    try:
        while (chunk := own.run(next, chunks, _MISSING)) is not _MISSING:
            yield chunk  # type: ignore[misc]  # never the sentinel
    finally:
        own.run(close_stream, chunks)


async def astream_in_context(
    context: Context, begin: Callable[[], Awaitable[AsyncIterator[T]]]
) -> AsyncGenerator[T, None]:
    """Async version of `stream_in_context`.

    A task cannot change its context, so the variables are set for each step and then reset.
    """
    with _entered(context):
        chunks = await begin()
    try:
        while True:
            with _entered(context):
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        await aclose_stream(chunks)


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
