"""`CachedChatModel`: the cache for every way to call a chat model, including streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.codec import Generations
from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.hits import served_model
from langchain_llm_optimizers.identity import identity_of_call
from langchain_llm_optimizers.messages import request_of_messages
from llm_optimizers.types import ChatRequest

__all__ = ["CachedChatModel"]


class CachedChatModel(DelegatingChatModel):
    """A chat model with a cache in front of it, for invoke, stream, batch and their async forms.

    Example:
        ```python
        model = CachedChatModel(model=ChatOpenAI(model="gpt-4o"), cache=HybridCache())
        ```

    A hit is streamed in chunks; an abandoned stream stores nothing. Identical concurrent calls,
    from any thread or event loop, become one call. Tools and structured output are those of the
    wrapped model; their JSON schemas are part of the key.
    """

    model: BaseChatModel
    """The model to call on a cache miss."""
    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Can be shared between models: a model's settings are part of every key."""

    @property
    def _child(self) -> BaseChatModel:
        return self.model

    @property
    def _llm_type(self) -> str:
        return f"cached-{self.model._llm_type}"

    def _answer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        def make() -> Generations:
            called.append(call.generate(self.model))
            return list(called[0].generations)

        answer = self.cache.responses.answer(self._request(call), make)
        if answer.hit is None:
            return called[0]
        return call.generate(served_model(answer.hit, call, self.model, self.cache.ledger))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        async def make() -> Generations:
            called.append(await call.agenerate(self.model))
            return list(called[0].generations)

        answer = await self.cache.responses.aanswer(self._request(call), make)
        if answer.hit is None:
            return called[0]
        return await call.agenerate(served_model(answer.hit, call, self.model, self.cache.ledger))

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return self.cache.responses.stream(
            self._request(call),
            lambda: call.stream(self.model),
            _merged,
            lambda hit: call.stream(served_model(hit, call, self.model, self.cache.ledger)),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return self.cache.responses.astream(
            self._request(call),
            lambda: call.astream(self.model),
            _merged,
            lambda hit: call.astream(served_model(hit, call, self.model, self.cache.ledger)),
        )

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """Return the request to cache, None if a setting that affects the answer is unreadable."""
        try:
            identity = identity_of_call(self.model, call.stop, call.kwargs)
            return request_of_messages(call.messages, identity)
        except Exception as error:  # noqa: BLE001 - a call without a key goes to the model
            self.cache.responses.bypassed(error)
            return None


def _merged(chunks: list[AIMessageChunk]) -> Generations:
    """Merge the chunks of a finished stream into one answer."""
    if not chunks:
        return []
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return [ChatGeneration(message=message_chunk_to_message(whole))]
