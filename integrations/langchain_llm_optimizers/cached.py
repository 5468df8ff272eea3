"""`CachedChatModel`: the cache for every way to call a chat model, including streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.binding import rebind
from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.codec import Generations
from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.hits import served_model
from langchain_llm_optimizers.identity import identity_of_call, sampled
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.refusals import acceptance_of, options_of_config
from llm_optimizers.caching import CallOptions
from llm_optimizers.caching.options import one_batch
from llm_optimizers.types import ChatRequest

__all__ = ["CachedChatModel"]


class CachedChatModel(DelegatingChatModel):
    """A chat model with a cache in front of it, for invoke, stream, batch and their async forms.

    Example:
        ```python
        model = CachedChatModel(model=ChatOpenAI(model="gpt-4o"), cache=HybridCache())
        ```

    A hit is streamed in chunks; an abandoned stream stores nothing. Identical concurrent calls,
    from any thread or event loop, become one call, unless a temperature above 0 was set: such calls
    are samples, and only what is stored before them is served (`fresh_answers()` asks the model in
    any case). Tools and structured output are those of the wrapped model; their JSON schemas are
    part of the key. An answer that its schema or parser refuses is not served again.
    """

    model: BaseChatModel
    """The model to call on a cache miss."""
    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Can be shared between models: a model's settings are part of every key."""
    _accepts: Callable[[Generations], bool] | None = PrivateAttr(default=None)
    """Whether an answer fits the schema that this copy was made for."""
    _copied_from: BaseChatModel | None = PrivateAttr(default=None)

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

        answer = self.cache.responses.answer(self._request(call), make, self._options(call))
        if answer.hit is None:
            return called[0]
        return call.generate(served_model(answer.hit, call, self.model, self.cache.ledger))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        async def make() -> Generations:
            called.append(await call.agenerate(self.model))
            return list(called[0].generations)

        answer = await self.cache.responses.aanswer(self._request(call), make, self._options(call))
        if answer.hit is None:
            return called[0]
        return await call.agenerate(served_model(answer.hit, call, self.model, self.cache.ledger))

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return self.cache.responses.stream(
            self._request(call),
            lambda: call.stream(self.model),
            _merged,
            lambda hit: call.stream(served_model(hit, call, self.model, self.cache.ledger)),
            self._options(call),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return self.cache.responses.astream(
            self._request(call),
            lambda: call.astream(self.model),
            _merged,
            lambda hit: call.astream(served_model(hit, call, self.model, self.cache.ledger)),
            self._options(call),
        )

    def with_structured_output(
        self, schema: dict[str, Any] | type, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return the model's structured output; an answer is stored once its schema accepts it."""
        pipeline = self.model.with_structured_output(schema, **kwargs)
        checked = self.model_copy()
        checked._accepts = acceptance_of(pipeline, self.model)
        checked._copied_from = self
        return rebind(pipeline, self.model, checked)

    def batch(self, *args: Any, **kwargs: Any) -> list[AIMessage]:
        """See `Runnable.batch`; samples of one batch are separate calls."""
        with one_batch():
            return super().batch(*args, **kwargs)

    async def abatch(self, *args: Any, **kwargs: Any) -> list[AIMessage]:
        """Async version of `batch`."""
        with one_batch():
            return await super().abatch(*args, **kwargs)

    def _options(self, call: ModelCall) -> CallOptions[Generations]:
        return options_of_config(call.config, self._accepts)

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """Return the request to cache, None if a setting that affects the answer is unreadable."""
        try:
            identity = identity_of_call(self.model, call.stop, call.kwargs)
            request = request_of_messages(call.messages, identity)
            return replace(request, sampled=sampled(self.model, call.kwargs))
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
