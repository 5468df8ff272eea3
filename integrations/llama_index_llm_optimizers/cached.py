"""`CachedLLM`: the cache for every way to call an LLM, including streams and tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llama_index.core.llms.llm import LLM
from pydantic import Field, SerializeAsAny

from llama_index_llm_optimizers.cache import A_CACHE, HybridCache
from llama_index_llm_optimizers.call import ChatCall, ModelCall, Reply
from llama_index_llm_optimizers.counting import count_usage
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.hits import achunks_of, chunks_of, serve_hit
from llama_index_llm_optimizers.identity import identity_of_call, sampled
from llama_index_llm_optimizers.messages import request_of
from llama_index_llm_optimizers.providers import PROVIDERS
from llama_index_llm_optimizers.refusals import (
    achecked_stream,
    checked_stream,
    options_of_context,
)
from llama_index_llm_optimizers.replies import CachedReply, reply_to_cache, stream_to_cache
from llama_index_llm_optimizers.wrappers import class_name_of, underlying_models
from llm_optimizers.arguments import instance
from llm_optimizers.caching import Hit
from llm_optimizers.caching.refusals import answers_held
from llm_optimizers.costs import Usage
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.settings.bookkeeping import delivery_of
from llm_optimizers.types import ChatRequest

__all__ = ["CachedLLM"]


class CachedLLM(DelegatingLLM):
    """An LLM with a cache in front of it, for all eight ways to call one.

    Example:
        ```python
        Settings.llm = CachedLLM(llm=OpenAI(model="gpt-4o"))
        ```

    A hit is streamed in chunks; an abandoned stream stores nothing. Identical concurrent calls,
    from any thread or event loop, become one call, unless a temperature above 0 was set: such calls
    are samples, and only what is stored before them is served (`fresh_answers()` asks the LLM in
    any case). Tools and structured output are those of the wrapped LLM; their schemas are part of
    the key. An answer that its schema or parser refuses is not served again.

    A cached response has no `raw`, no token counts, which belong to the original call, and its
    tool calls only as blocks. Its `additional_kwargs["cache_hit"]` says how it was matched. Values
    that JSON lacks may come back in a plain form (see `llm_optimizers.caching.answers.payloads`).
    Answers with images or files, and one of several choices (`n` above 1), are not stored.
    """

    llm: SerializeAsAny[LLM]
    """The LLM to call on a cache miss."""
    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Can be shared between LLMs: an LLM's settings are part of every key."""

    def __init__(self, llm: LLM, cache: HybridCache | None = None, **data: Any) -> None:
        if cache is not None:
            data["cache"] = instance("cache", cache, HybridCache, give=A_CACHE)
        super().__init__(llm=llm, **data)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "CachedLLM"

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    @property
    def _own_part(self) -> HybridCache:
        return self.cache

    def _answer(self, call: ModelCall) -> Reply:
        options = options_of_context(call.context)
        answer = self.cache.answer(
            self._request(call), lambda: reply_to_cache(call.ask(self.llm)), options
        )
        return answer.value.reply if answer.hit is None else self._served(answer.hit, call)

    async def _aanswer(self, call: ModelCall) -> Reply:
        async def make() -> CachedReply:
            return reply_to_cache(await call.aask(self.llm))

        options = options_of_context(call.context)
        answer = await self.cache.aanswer(self._request(call), make, options)
        return answer.value.reply if answer.hit is None else self._served(answer.hit, call)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        return self.cache.stream(
            self._request(call),
            lambda: call.stream(self.llm),
            partial(stream_to_cache, cut_from=partial(self._cut_from, call)),
            lambda hit: chunks_of(self._served(hit, call), calls_beside=hit.value.calls_beside),
            options_of_context(call.context),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        return self.cache.astream(
            self._request(call),
            lambda: call.astream(self.llm),
            partial(stream_to_cache, cut_from=partial(self._cut_from, call)),
            lambda hit: achunks_of(self._served(hit, call), calls_beside=hit.value.calls_beside),
            options_of_context(call.context),
        )

    def structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        """Structured output; its answer is stored once the class accepts it."""
        with answers_held() as held:
            output = super().structured_predict(*args, **kwargs)
        held.accept()
        return output

    async def astructured_predict(self, *args: Any, **kwargs: Any) -> Any:
        """Async version of `structured_predict`."""
        with answers_held() as held:
            output = await super().astructured_predict(*args, **kwargs)
        await held.aaccept()
        return output

    def stream_structured_predict(
        self, output_cls: type[Any], *args: Any, **kwargs: Any
    ) -> Generator[Any, None, None]:
        """Partial structured output; its answer is stored if the last object fits the class."""
        predict = super().stream_structured_predict
        return checked_stream(output_cls, lambda: predict(output_cls, *args, **kwargs))

    async def astream_structured_predict(
        self, output_cls: type[Any], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Async version of `stream_structured_predict`."""
        predict = super().astream_structured_predict
        return achecked_stream(output_cls, lambda: predict(output_cls, *args, **kwargs))

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """Return the request to cache, None if a setting that affects the answer is unreadable."""
        try:
            identity = identity_of_call(self.llm, call.kwargs)
            run = self._run_settings(call)
            llms = tuple(underlying_models(self.llm))
            params = {**identity, "run": run} if run else identity
            request = request_of(call, params, PROVIDERS.of_each(llms))
            return replace(
                request,
                sampled=sampled(self.llm, call.kwargs),
                delivery=delivery_of(call.kwargs, *llms),
            )
        except Exception as error:  # noqa: BLE001 - a call without a key goes to the LLM
            self.cache.bypassed(error)
            return None

    def _cut_from(self, call: ModelCall) -> int | None:
        """Return the output tokens from which on a stream without a reason may be cut off.

        A guardrail of Bedrock's may cut it off anywhere.
        """
        if any(getattr(llm, "guardrail_identifier", None) for llm in underlying_models(self.llm)):
            return 0
        limit = call.kwargs.get("max_tokens") or self.llm.metadata.num_output
        return limit if isinstance(limit, int) and limit > 0 else None

    def _served(self, hit: Hit[CachedReply], call: ModelCall) -> Reply:
        asked, reply = self.llm.metadata.model_name, hit.value.reply

        def count(counter: TokenCounter) -> Usage | None:
            messages = call.messages if isinstance(call, ChatCall) else getattr(call, "prompt", "")
            return count_usage(counter, asked, messages, call.kwargs, reply)

        return serve_hit(
            hit, call.context, asked=asked, asked_class=class_name_of(self.llm), count=count
        )
