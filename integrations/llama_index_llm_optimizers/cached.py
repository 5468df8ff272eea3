"""`CachedLLM`: the cache for every way an LLM is called, streaming and tools among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from llama_index.core.llms.llm import LLM
from pydantic import Field, SerializeAsAny

from llama_index_llm_optimizers.cache import HybridCache
from llama_index_llm_optimizers.call import ModelCall, Reply
from llama_index_llm_optimizers.codec import CachedReply, reply_to_cache, stream_to_cache
from llama_index_llm_optimizers.delegating import DelegatingLLM, class_name_of
from llama_index_llm_optimizers.hits import achunks_of, chunks_of, serve_hit
from llama_index_llm_optimizers.identity import identity_of_call
from llama_index_llm_optimizers.messages import request_of
from llm_optimizers.caching import Hit
from llm_optimizers.types import ChatRequest

__all__ = ["CachedLLM"]


class CachedLLM(DelegatingLLM):
    """An LLM with a cache in front of it, for all eight ways to call one.

    Example:
        ```python
        Settings.llm = CachedLLM(llm=OpenAI(model="gpt-4o"))
        ```

    Hits are replayed as chunks when streaming; a stream that is left midway stores nothing.
    Identical calls under way at once, from threads or event loops, are one call. Tools and
    structured output are the wrapped LLM's own, keyed by their schemas. A served response has no
    `raw`, and says where it came from in `additional_kwargs["cache_hit"]`.
    """

    llm: SerializeAsAny[LLM]
    """The LLM that answers what the cache cannot."""
    cache: HybridCache = Field(default_factory=HybridCache, exclude=True)
    """Shared freely between LLMs: the LLM's own settings are part of every key."""

    def __init__(self, llm: LLM, cache: HybridCache | None = None, **data: Any) -> None:
        if cache is not None:
            data["cache"] = cache
        super().__init__(llm=llm, **data)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "CachedLLM"

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    def _answer(self, call: ModelCall) -> Reply:
        answer = self.cache.answer(self._request(call), lambda: reply_to_cache(call.ask(self.llm)))
        return answer.value.reply if answer.hit is None else self._served(answer.hit, call)

    async def _aanswer(self, call: ModelCall) -> Reply:
        async def make() -> CachedReply:
            return reply_to_cache(await call.aask(self.llm))

        answer = await self.cache.aanswer(self._request(call), make)
        return answer.value.reply if answer.hit is None else self._served(answer.hit, call)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        return self.cache.stream(
            self._request(call),
            lambda: call.stream(self.llm),
            stream_to_cache,
            lambda hit: chunks_of(self._served(hit, call)),
        )

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        return self.cache.astream(
            self._request(call),
            lambda: call.astream(self.llm),
            stream_to_cache,
            lambda hit: achunks_of(self._served(hit, call)),
        )

    def _request(self, call: ModelCall) -> ChatRequest | None:
        """The call as the cache knows it, or None when it hides something that shapes answers."""
        try:
            return request_of(call, identity_of_call(self.llm, call.kwargs))
        except Exception as error:  # noqa: BLE001 - what cannot be keyed is called for, never lost
            self.cache.bypassed(error)
            return None

    def _served(self, hit: Hit[CachedReply], call: ModelCall) -> Reply:
        asked = self.llm.metadata.model_name
        return serve_hit(hit, call.context, asked=asked, asked_class=class_name_of(self.llm))
