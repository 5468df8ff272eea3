"""One request on its way to a model, whichever of LlamaIndex's eight doors it came in by."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.llm import LLM

from llm_optimizers.effects import closing_async

__all__ = ["ChatCall", "CompletionCall", "ModelCall", "Reply"]

Reply: TypeAlias = ChatResponse | CompletionResponse
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ModelCall(ABC):
    """What was asked, and how to hand it on to a model.

    A stream is asked for in one place and read in another, often on another thread. The model is
    therefore called in the context the call was made in, so that its tags, its parent span and
    its tenant are the caller's.
    """

    kwargs: dict[str, Any] = field(default_factory=dict)
    context: Context = field(default_factory=copy_context, repr=False, compare=False)

    @abstractmethod
    def ask(self, child: LLM) -> Reply:
        """Let the child answer."""

    @abstractmethod
    async def aask(self, child: LLM) -> Reply:
        """The asynchronous twin of `ask`."""

    @abstractmethod
    def stream(self, child: LLM) -> Iterator[Reply]:
        """Let the child stream."""

    @abstractmethod
    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """The asynchronous twin of `stream`."""

    async def _begun(self, begin: Coroutine[Any, Any, T]) -> T:
        """Await what begins a stream in the context of the call."""
        return await asyncio.get_running_loop().create_task(begin, context=self.context.copy())


@dataclass(frozen=True, kw_only=True)
class ChatCall(ModelCall):
    """A call of `chat` or one of its kin."""

    messages: Sequence[ChatMessage]

    def ask(self, child: LLM) -> Reply:
        """See `ModelCall.ask`."""
        return child.chat(self.messages, **self.kwargs)

    async def aask(self, child: LLM) -> Reply:
        """See `ModelCall.aask`."""
        return await child.achat(self.messages, **self.kwargs)

    def stream(self, child: LLM) -> Iterator[Reply]:
        """See `ModelCall.stream`."""
        return self.context.copy().run(child.stream_chat, self.messages, **self.kwargs)

    async def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        begin = cast("Coroutine[Any, Any, Any]", child.astream_chat(self.messages, **self.kwargs))
        async with closing_async(await self._begun(begin)) as chunks:
            async for chunk in chunks:
                yield chunk

    def with_messages(self, messages: Sequence[ChatMessage]) -> ChatCall:
        """The same call with other messages."""
        return replace(self, messages=messages)


@dataclass(frozen=True, kw_only=True)
class CompletionCall(ModelCall):
    """A call of `complete` or one of its kin."""

    prompt: str
    formatted: bool = False

    def ask(self, child: LLM) -> Reply:
        """See `ModelCall.ask`."""
        return child.complete(self.prompt, self.formatted, **self.kwargs)

    async def aask(self, child: LLM) -> Reply:
        """See `ModelCall.aask`."""
        return await child.acomplete(self.prompt, self.formatted, **self.kwargs)

    def stream(self, child: LLM) -> Iterator[Reply]:
        """See `ModelCall.stream`."""
        return self.context.copy().run(
            child.stream_complete, self.prompt, self.formatted, **self.kwargs
        )

    async def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        begin = cast(
            "Coroutine[Any, Any, Any]",
            child.astream_complete(self.prompt, self.formatted, **self.kwargs),
        )
        async with closing_async(await self._begun(begin)) as chunks:
            async for chunk in chunks:
                yield chunk
