"""`CachedChatModel`: the cache for every way to call a chat model, including streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any, ClassVar, Self, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.utils.uuid import uuid7
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.acceptance import acceptance_of
from langchain_llm_optimizers.attributes import SETTINGS_OF_MODELS
from langchain_llm_optimizers.binding import rebind
from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.call import CAPTURE, ModelCall
from langchain_llm_optimizers.children import WrapperOfOne
from langchain_llm_optimizers.codec import Generations, generation_of
from langchain_llm_optimizers.endings import whole_answers_of
from langchain_llm_optimizers.hits import SERVED_RUNS, ServedChatModel, served_model
from langchain_llm_optimizers.identity import identity_of_call, sampled
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.providers import sent_by
from langchain_llm_optimizers.refusals import options_of_config
from langchain_llm_optimizers.stand_in import called_model
from langchain_llm_optimizers.usage import counted_once
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.caching import CallOptions, Hit
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.options import one_batch
from llm_optimizers.effects import closing_async
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.settings.bookkeeping import delivery_of
from llm_optimizers.types import ChatRequest

__all__ = ["CachedChatModel"]


class CachedChatModel(WrapperOfOne):
    """A chat model with a cache in front of it, for invoke, stream, batch and their async forms.

    Example:
        ```python
        model = CachedChatModel(ChatOpenAI(model="gpt-4o"), HybridCache())
        ```

    A hit is streamed in chunks; an abandoned stream stores nothing. Identical concurrent calls,
    from any thread or event loop, become one call, unless a temperature above 0 was set: such calls
    are samples, and only what is stored before them is served (`fresh_answers()` asks the model in
    any case). Tools and structured output are those of the wrapped model; their JSON schemas are
    part of the key. An answer that its schema or parser refuses is not served again.

    A hit is a run of the wrapped model, with its name, tags, metadata and callbacks. Its message
    has the original usage with `total_cost` 0, `response_metadata["cache_hit"]`, and new ids. It
    has no HTTP headers; values that JSON lacks may come back in a plain form (see
    `llm_optimizers.caching.answers.payloads`). An answer is stored only with as many generations
    as were asked for, so a stream with `n` above 1 goes to the model.
    """

    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Can be shared between models: a model's settings are part of every key."""
    settings_of_models: ClassVar[frozenset[str]] = SETTINGS_OF_MODELS - {"cache"}
    _accepts: Callable[[Generations], bool] | None = PrivateAttr(default=None)
    """Whether an answer fits the schema that this copy was made for."""
    _copied_from: BaseChatModel | None = PrivateAttr(default=None)

    def __init__(
        self, model: BaseChatModel | str, cache: HybridCache | None = None, **settings: Any
    ) -> None:
        if cache is not None:
            _check_cache(cache)
            settings["cache"] = cache
        super().__init__(model, **settings)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "cache":
            _check_cache(value)
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; see `ModelAttributes.model_copy`."""
        if update and "cache" in update:
            _check_cache(update["cache"])
        return super().model_copy(update=update, deep=deep)

    @property
    def _own_part(self) -> HybridCache:
        return self.cache

    def _answer(self, call: ModelCall) -> ChatResult:
        if CAPTURE.get() is not None:
            return self._looked_up(call)
        called: list[ChatResult] = []

        def make() -> Generations:
            called.append(call.generate(self.model))
            return list(called[0].generations)

        answer = self.cache.responses.answer(self._request(call), make, self._options(call))
        if answer.hit is None:
            return called[0]
        served, call = self._served(answer.hit, call)
        return call.generate(served)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        called: list[ChatResult] = []

        async def make() -> Generations:
            called.append(await call.agenerate(self.model))
            return list(called[0].generations)

        answer = await self.cache.responses.aanswer(self._request(call), make, self._options(call))
        if answer.hit is None:
            return called[0]
        served, call = self._served(answer.hit, call)
        return await call.agenerate(served)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        def replay(hit: Hit[Generations]) -> Iterator[AIMessageChunk]:
            served, call_of_child = self._served(hit, call)
            return call_of_child.stream(served)

        return self.cache.responses.stream(
            self._request(call),
            lambda: call.stream(self.model),
            _merged,
            replay,
            self._options(call),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        def replay(hit: Hit[Generations]) -> AsyncIterator[AIMessageChunk]:
            served, call_of_child = self._served(hit, call)
            return call_of_child.astream(served)

        return self.cache.responses.astream(
            self._request(call),
            lambda: call.astream(self.model),
            _merged,
            replay,
            self._options(call),
        )

    def _looked_up(self, call: ModelCall) -> ChatResult:
        """Return a stored answer, else pass the call on without sharing or storing its answer."""
        request = self._request(call)
        options = self._options(call)
        hit = None if request is None else self.cache.responses.lookup(request, options)
        if hit is None:
            return call.generate(self.model)
        served, call = self._served(hit, call)
        return call.generate(served)

    def key_of(self, call: ModelCall) -> CacheKey | None:
        """Return the key under which a call's answer is stored; None if it is not stored."""
        return self.cache.responses.key(self._request(call))

    def keep(self, key: CacheKey, call: ModelCall, result: ChatResult) -> None:
        """Store an answer that came later, under the key of its call."""
        self.cache.responses.update(key, list(result.generations), self._options(call))

    def _served(self, hit: Hit[Generations], call: ModelCall) -> tuple[ServedChatModel, ModelCall]:
        """Return a model that answers with the hit, and the call to make of it."""
        answer = cast("AIMessage | None", getattr(hit.value[0], "message", None))
        called, call = called_model(self.model, call, answer)
        served = served_model(hit, call, called, self.cache.ledger)
        run_id = call.config.get("run_id") or uuid7()
        SERVED_RUNS[str(run_id)] = served
        return served, replace(call, config={**call.config, "run_id": run_id})

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

    def batch_as_completed(  # type: ignore[override]  # LangChain overloads it
        self, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[int, AIMessage | Exception]]:
        """See `Runnable.batch_as_completed`; samples of one batch are separate calls."""
        answers = iter(super().batch_as_completed(*args, **kwargs))
        # All calls are submitted before the first answer; the code that reads the others is not
        # part of the batch.
        with one_batch():
            first = list(islice(answers, 1))
        yield from chain(first, answers)

    async def abatch_as_completed(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[tuple[int, AIMessage | Exception]]:
        """Async version of `batch_as_completed`."""
        async with closing_async(super().abatch_as_completed(*args, **kwargs)) as answers:
            try:
                with one_batch():
                    first = await anext(answers)
            except StopAsyncIteration:
                return
            yield first
            async for answer in answers:
                yield answer

    def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """See `BaseChatModel.generate`; samples among the prompts are separate calls."""
        with one_batch():
            return super().generate(*args, **kwargs)

    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """Async version of `generate`."""
        with one_batch():
            return await super().agenerate(*args, **kwargs)

    def _options(self, call: ModelCall) -> CallOptions[Generations]:
        return options_of_config(call.config, whole_answers_of(self.model, self._accepts))

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """Return the request to cache, None if a setting that affects the answer is unreadable."""
        try:
            identity = identity_of_call(self.model, call.stop, call.kwargs)
            run = self._run_settings(call)
            if run:
                identity["run"] = run
            models = tuple(underlying_models(self.model))
            request = request_of_messages(call.messages, identity, sent=sent_by(models))
            return replace(
                request,
                sampled=sampled(self.model, call.kwargs),
                delivery=delivery_of(call.kwargs, *models),
            )
        except Exception as error:  # noqa: BLE001 - a call without a key goes to the model
            self.cache.responses.bypassed(error)
            return None


def _check_cache(value: object) -> None:
    """Check what takes the place of the cache, also where a wrapper around it was given `cache=`.

    Raises:
        ConfigurationError: it is no `HybridCache`.
    """
    if not isinstance(value, HybridCache):
        raise ConfigurationError(
            f"`cache`: CachedChatModel's own cache is a HybridCache, not a {type(value).__name__}: "
            "give HybridCache(path=…) of langchain_llm_optimizers, set LangChain's `cache` on the "
            "model in it, or leave CachedChatModel out"
        )


def _merged(chunks: list[AIMessageChunk]) -> Generations:
    """Merge the chunks of a finished stream into one answer."""
    if not chunks:
        return []
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return [generation_of(message_chunk_to_message(counted_once(whole, chunks)))]
