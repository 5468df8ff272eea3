"""`CachedQueryEngine`: a cache for questions about retrieved documents.

A RAG prompt is long and ends with a template's text, so two wordings of one question are hard to
match. Here the question is matched by meaning before the prompt is built. The retrieved nodes are
part of the key, so an answer is served only for the same documents.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import copy_context
from copy import copy, deepcopy
from typing import Any, Self, cast

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index_llm_optimizers.cache import A_CACHE, HybridCache
from llama_index_llm_optimizers.call import (
    as_async_generator,
    as_generator,
    astream_in_context,
    stream_in_context,
)
from llama_index_llm_optimizers.counting import count_usage
from llama_index_llm_optimizers.hits import CACHE_HIT, announce_hit, chunks_of
from llama_index_llm_optimizers.metering import UsageMeter, UsageTotal
from llama_index_llm_optimizers.query_request import request_of_query, text_asked
from llama_index_llm_optimizers.refusals import options_of_context
from llama_index_llm_optimizers.replies import CachedReply
from llama_index_llm_optimizers.wrappers import class_name_of
from llm_optimizers.arguments import instance, optional, refuse
from llm_optimizers.caching import Hit
from llm_optimizers.costs import Usage
from llm_optimizers.pickling import check_fields
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.types import ChatRequest
from llm_optimizers.warming import WarmsUp

__all__ = ["CachedQueryEngine", "answer_to_cache"]

_NO_ANSWERS = frozenset({"", "None", "Empty Response"})
"""LlamaIndex's responses where there is no answer; they are not cached."""


def answer_to_cache(text: str, total: UsageTotal) -> CachedReply:
    """Return an answer as the cache's value, with the total usage of its calls."""
    kept = "" if text.strip() in _NO_ANSWERS else text
    return CachedReply(reply=CompletionResponse(text=kept), model=total.model, usage=total.usage)


class CachedQueryEngine(WarmsUp, BaseQueryEngine):
    """A query engine that caches answers to questions about the same retrieved documents.

    Example:
        ```python
        engine = CachedQueryEngine(index.as_query_engine(), HybridCache(path="answers.sqlite"))
        ```

    Every question is retrieved for, and an answer is served only for the same nodes. A cached
    response has the nodes just retrieved and `metadata["cache_hit"]`. Answers that are pydantic
    objects are not cached. Inside `fresh_answers()` the engine answers again, and a `CachedLLM` in
    it as well.

    Args:
        query_engine: A `RetrieverQueryEngine`, as `index.as_query_engine()` returns it.
        cache: By default a new one in memory; a `CachedLLM` may use the same.

    Raises:
        ConfigurationError: the engine is not a `RetrieverQueryEngine`; use a `CachedLLM` for it.
    """

    def __init__(self, query_engine: BaseQueryEngine, cache: HybridCache | None = None) -> None:
        if not isinstance(query_engine, RetrieverQueryEngine):
            # Of another engine the documents of an answer are not known.
            give = "a RetrieverQueryEngine, or put a CachedLLM around the LLM of the engine"
            refuse("query_engine", query_engine, give)
        super().__init__(query_engine.callback_manager)
        self._engine = query_engine
        self._synthesizer = query_engine._response_synthesizer
        own = optional(instance, "cache", cache, HybridCache, give=A_CACHE)
        self.cache = HybridCache() if own is None else own
        self._start_meter()

    def __reduce_ex__(self, protocol: Any) -> Any:
        check_fields(type(self).__name__, self.__getstate__())
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_meter"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_meter()

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__setstate__(self.__getstate__())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = copy(self)
        vars(copied).update(deepcopy(self.__getstate__(), memo))
        return copied

    def _start_meter(self) -> None:
        self._meter = UsageMeter()
        self._meter.attach()
        weakref.finalize(self, self._meter.detach)

    def warm_up(self) -> None:
        """See `ResponseCache.warm_up`."""
        self.cache.warm_up()

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """See `RetrieverQueryEngine.retrieve`."""
        return self._engine.retrieve(query_bundle)

    async def aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """See `RetrieverQueryEngine.aretrieve`."""
        return await self._engine.aretrieve(query_bundle)

    def synthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Answer from these nodes, or serve a cached answer for them."""
        request = self._request(query_bundle, nodes)
        if request is None or additional_source_nodes:
            return self._engine.synthesize(query_bundle, nodes, additional_source_nodes)
        if self._synthesizer._streaming:
            return self._stream(request, query_bundle, nodes)
        responses: list[RESPONSE_TYPE] = []

        def make() -> CachedReply:
            with self._meter.measure() as total:
                responses.append(self._engine.synthesize(query_bundle, nodes))
            return answer_to_cache(str(responses[0]), total)

        answer = self.cache.answer(request, make, options_of_context(copy_context()))
        return (
            responses[0]
            if answer.hit is None
            else self._hit_handler(query_bundle, nodes)(answer.hit)
        )

    async def asynthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Async version of `synthesize`."""
        request = self._request(query_bundle, nodes)
        if request is None or additional_source_nodes:
            return await self._engine.asynthesize(query_bundle, nodes, additional_source_nodes)
        if self._synthesizer._streaming:
            return self._astream(request, query_bundle, nodes)
        responses: list[RESPONSE_TYPE] = []

        async def make() -> CachedReply:
            with self._meter.measure() as total:
                responses.append(await self._engine.asynthesize(query_bundle, nodes))
            return answer_to_cache(str(responses[0]), total)

        answer = await self.cache.aanswer(request, make, options_of_context(copy_context()))
        return (
            responses[0]
            if answer.hit is None
            else self._hit_handler(query_bundle, nodes)(answer.hit)
        )

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            response = self.synthesize(query_bundle, self.retrieve(query_bundle))
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            nodes = await self.aretrieve(query_bundle)
            response = await self.asynthesize(query_bundle, nodes)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    def _get_prompt_modules(self) -> PromptMixinType:
        return {"response_synthesizer": self._synthesizer}

    def _stream(
        self, request: ChatRequest, query: QueryBundle, nodes: list[NodeWithScore]
    ) -> StreamingResponse:
        def begin() -> Iterator[str]:
            made = self._engine.synthesize(query, nodes)
            metadata.update(made.metadata or {})
            return cast("StreamingResponse", made).response_gen

        with self._meter.measure() as total:
            context = copy_context()
        metadata: dict[str, Any] = {}
        respond = self._hit_handler(query, nodes, metadata)
        texts = self.cache.stream(
            request,
            lambda: stream_in_context(context, begin),
            lambda passed: answer_to_cache("".join(passed), total),
            lambda hit: _pieces(respond(hit)),
            options_of_context(copy_context()),
        )
        return StreamingResponse(as_generator(texts), source_nodes=list(nodes), metadata=metadata)

    def _astream(
        self, request: ChatRequest, query: QueryBundle, nodes: list[NodeWithScore]
    ) -> AsyncStreamingResponse:
        async def begin() -> AsyncIterator[str]:
            made = await self._engine.asynthesize(query, nodes)
            metadata.update(made.metadata or {})
            return cast("AsyncStreamingResponse", made).response_gen

        async def stream_hit(hit: Hit[CachedReply]) -> AsyncIterator[str]:
            for piece in _pieces(respond(hit)):
                yield piece

        with self._meter.measure() as total:
            context = copy_context()
        metadata: dict[str, Any] = {}
        respond = self._hit_handler(query, nodes, metadata)
        texts = self.cache.astream(
            request,
            lambda: astream_in_context(context, begin),
            lambda passed: answer_to_cache("".join(passed), total),
            stream_hit,
            options_of_context(copy_context()),
        )
        return AsyncStreamingResponse(
            as_async_generator(texts), source_nodes=list(nodes), metadata=metadata
        )

    def _request(self, query: QueryBundle, nodes: Sequence[NodeWithScore]) -> ChatRequest | None:
        """Return the request to cache, or None if its answer cannot be cached."""
        try:
            return request_of_query(self._engine, self._synthesizer, query, nodes)
        except Exception as error:  # noqa: BLE001 - a question without a key goes to the engine
            self.cache.bypassed(error)
            return None

    def _hit_handler(
        self,
        query: QueryBundle,
        nodes: Sequence[NodeWithScore],
        metadata: dict[str, Any] | None = None,
    ) -> Callable[[Hit[CachedReply]], Response]:
        """Return a function that makes a hit a response and emits its event in this context."""
        context, llm = copy_context(), self._synthesizer._llm
        shown = metadata if metadata is not None else {}

        def respond(hit: Hit[CachedReply]) -> Response:
            asked = llm.metadata.model_name

            def count(counter: TokenCounter) -> Usage | None:
                text = text_asked(self._synthesizer, query, nodes)
                return count_usage(counter, asked, [ChatMessage(text)], {}, hit.value.reply)

            shown[CACHE_HIT] = announce_hit(
                hit, context, asked=asked, asked_class=class_name_of(llm), count=count
            )
            return Response(str(hit.value.reply), source_nodes=list(nodes), metadata=shown)

        return respond


def _pieces(response: Response) -> Iterator[str]:
    """Return the text of a response, a few words at a time."""
    reply = CompletionResponse(text=response.response or "")
    return (chunk.delta or "" for chunk in chunks_of(reply))
