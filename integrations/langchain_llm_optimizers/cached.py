"""`CachedChatModel`: the cache for every way a chat model is called, streaming among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.codec import Generations
from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.hits import replay_of
from langchain_llm_optimizers.identity import identity_of_call
from langchain_llm_optimizers.messages import request_of_messages
from llm_optimizers.types import ChatRequest

__all__ = ["CachedChatModel"]


class CachedChatModel(DelegatingChatModel):
    """A chat model with a cache in front of it, for invoke, stream, batch and their async twins.

    Example:
        ```python
        model = CachedChatModel(model=ChatOpenAI(model="gpt-4o"), cache=HybridCache())
        ```

    Hits are replayed as chunks when streaming; a stream that is left midway stores nothing.
    Identical calls under way at once, from threads or event loops, are one call. Tools and
    structured output are the wrapped model's own, keyed by their JSON schemas.
    """

    model: BaseChatModel
    """The model that answers what the cache cannot."""
    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Shared freely between models: the model's own settings are part of every key."""

    @property
    def _child(self) -> BaseChatModel:
        return self.model

    @property
    def _llm_type(self) -> str:
        return f"cached-{self.model._llm_type}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model._identifying_params}

    def _answer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        def make() -> Generations:
            called.append(call.generate(self.model))
            return list(called[0].generations)

        answer = self.cache.responses.answer(self._request(call), make)
        if answer.hit is None:
            return called[0]
        return call.generate(replay_of(answer.hit, call, self.model, self.cache.ledger))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        async def make() -> Generations:
            called.append(await call.agenerate(self.model))
            return list(called[0].generations)

        answer = await self.cache.responses.aanswer(self._request(call), make)
        if answer.hit is None:
            return called[0]
        return await call.agenerate(replay_of(answer.hit, call, self.model, self.cache.ledger))

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return self.cache.responses.stream(
            self._request(call),
            lambda: call.stream(self.model),
            _merged,
            lambda hit: call.stream(replay_of(hit, call, self.model, self.cache.ledger)),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return self.cache.responses.astream(
            self._request(call),
            lambda: call.astream(self.model),
            _merged,
            lambda hit: call.astream(replay_of(hit, call, self.model, self.cache.ledger)),
        )

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """The call as the cache knows it, or None when it hides something that shapes answers."""
        try:
            identity = identity_of_call(self.model, call.stop, call.kwargs)
            return request_of_messages(call.messages, identity)
        except Exception as error:  # noqa: BLE001 - what cannot be keyed is called for, never lost
            self.cache.responses.bypassed(error)
            return None


def _merged(chunks: list[AIMessageChunk]) -> Generations:
    """The answer that the chunks of a finished stream make."""
    if not chunks:
        return []
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return [ChatGeneration(message=message_chunk_to_message(whole))]
