"""One request on its way to a model, whichever of LlamaIndex's eight doors it came in by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.streams import astreamed_in, streamed_in

__all__ = ["ChatCall", "CompletionCall", "ModelCall", "Reply"]

Reply: TypeAlias = ChatResponse | CompletionResponse


@dataclass(frozen=True, kw_only=True)
class ModelCall(ABC):
    """What was asked, in which context, and how to hand it on to a model."""

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
        return streamed_in(self.context, lambda: child.stream_chat(self.messages, **self.kwargs))

    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        return astreamed_in(self.context, lambda: child.astream_chat(self.messages, **self.kwargs))


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
        return streamed_in(
            self.context,
            lambda: child.stream_complete(self.prompt, self.formatted, **self.kwargs),
        )

    def astream(self, child: LLM) -> AsyncIterator[Reply]:
        """See `ModelCall.astream`."""
        return astreamed_in(
            self.context,
            lambda: child.astream_complete(self.prompt, self.formatted, **self.kwargs),
        )
