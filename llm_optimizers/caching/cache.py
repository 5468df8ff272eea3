"""`ResponseCache`: answers to repeated questions, served from memory or from a file."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from llm_optimizers.caching.answers import CacheResult, Codec, Hit, JSONCodec
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey, cache_key
from llm_optimizers.caching.matching.index import FaissIndex
from llm_optimizers.caching.matching.matcher import matcher_for
from llm_optimizers.caching.plan import CachePlans, MakeCall
from llm_optimizers.caching.single_flight import SingleFlight
from llm_optimizers.caching.stats import CacheStats, Counters
from llm_optimizers.caching.stores import MemoryStore, SQLiteStore
from llm_optimizers.effects import (
    Effect,
    adrive,
    adrive_stream,
    aperform,
    drive,
    drive_stream,
    perform,
)
from llm_optimizers.embeddings import as_embedder
from llm_optimizers.errors import ConfigurationError, LLMOptimizersError
from llm_optimizers.tenancy import Namespace, current_tenant, tenant_labels
from llm_optimizers.types import ChatRequest, Clock

__all__ = ["ResponseCache"]

R = TypeVar("R")
C = TypeVar("C")


class ResponseCache(Generic[R]):
    """Serves answers to questions that were asked before: the same ones, and the same in meaning.

    Args:
        codec: How answers are written and read; JSON values by default. Adapters bring their own.
        path: An SQLite file to keep entries in; None keeps them in memory.
        embeddings: What turns questions into vectors: None for the bundled static model, or any
            object with `embed_query`/`embed_documents` (LangChain) or `get_text_embedding`
            (LlamaIndex), or an `Embedder`.
        semantic: False for exact matching only.
        threshold: A cosine from 0 to 1 that replaces the embedder's own acceptance bound. Guards
            against lookalikes (numbers, dates, negation, names, …) stay on.
        ttl: Seconds an answer may be served; None for ever.
        max_entries: Capacity; the least used entry leaves first.
        namespace: The tenant, or a function that returns the running code's; see `tenancy`.
        wait_timeout: Seconds to wait for an identical call under way before calling as well.
        clock: Seconds since the epoch.

    Safe to share between threads, event loops, and (with `path`) processes. A broken file or
    embedder is warned of once and counted in `stats`; the calls then go to the model.

    Raises:
        ConfigurationError: a setting is out of its range.
    """

    def __init__(
        self,
        *,
        codec: Codec[R] | None = None,
        path: str | Path | None = None,
        embeddings: object | None = None,
        semantic: bool = True,
        threshold: float | None = None,
        ttl: float | None = None,
        max_entries: int = 10_000,
        namespace: Namespace = None,
        wait_timeout: float = 60.0,
        clock: Clock = time.time,
    ) -> None:
        _check(ttl=ttl, max_entries=max_entries, wait_timeout=wait_timeout)
        self._store = MemoryStore(max_entries) if path is None else SQLiteStore(path, max_entries)
        embedder = as_embedder(embeddings) if semantic else None
        self._embedder_id = "" if embedder is None else embedder.id
        self._index = None if embedder is None else FaissIndex(self._store)
        self._namespace = namespace
        self._counters = Counters()
        self._plans: CachePlans[R] = CachePlans(
            codec=codec if codec is not None else JSONCodec(),
            executor=Executor(
                store=self._store,
                index=self._index,
                embedder=embedder,
                clock=clock,
                wait_timeout=wait_timeout,
            ),
            matcher=None if embedder is None else matcher_for(embedder, threshold),
            single_flight=SingleFlight(),
            counters=self._counters,
            clock=clock,
            ttl=ttl,
        )

    def key(self, request: ChatRequest | CacheKey | None) -> CacheKey | None:
        """Where this request's answer is kept; None for a request without a key.

        It has none when its tenant is unknown or a setting has no stable written form, or where
        an adapter could not even read it: such a request is None. A key is its own.
        """
        if request is None or isinstance(request, CacheKey):
            return request
        tenant = self.tenant(request.tenant)
        if tenant is None:
            return None
        try:
            return cache_key(request, tenant=tenant, embedder=self._embedder_id)
        except ConfigurationError as error:
            self.bypassed(error)
            return None

    def tenant(self, request: str = "") -> str | None:
        """Whose request the running code's is; None when that is unknown.

        `request` is the tenant that the request itself names.
        """
        try:
            return current_tenant(self._namespace, request)
        except Exception as error:  # noqa: BLE001 - a user's function; without a tenant, no cache
            self._counters.trouble("namespace: the cache is bypassed", error)
            return None

    def key_within(self, tenant: str, request: ChatRequest) -> CacheKey:
        """The request's key for what `tenant()` gave, for callers that keep keys.

        Raises:
            ConfigurationError: a setting of the request has no stable written form.
        """
        return cache_key(request, tenant=tenant, embedder=self._embedder_id)

    def lookup(self, request: ChatRequest | CacheKey) -> Hit[R] | None:
        """An answer that may be served, or None."""
        key = self.key(request)
        return None if key is None else drive(self._plans.lookup(key), perform)

    async def alookup(self, request: ChatRequest | CacheKey) -> Hit[R] | None:
        """The asynchronous twin of `lookup`."""
        key = self.key(request)
        return None if key is None else await adrive(self._plans.lookup(key), aperform)

    def update(self, request: ChatRequest | CacheKey, value: R) -> None:
        """Keep an answer, unless it is an error, a refusal, cut off or empty."""
        key = self.key(request)
        if key is not None:
            drive(self._plans.keep(key, value), perform)

    async def aupdate(self, request: ChatRequest | CacheKey, value: R) -> None:
        """The asynchronous twin of `update`."""
        key = self.key(request)
        if key is not None:
            await adrive(self._plans.keep(key, value), aperform)

    def answer(self, request: ChatRequest | None, call: Callable[[], R]) -> CacheResult[R]:
        """Serve the request, calling only if nothing may be served; None is always called for.

        Raises:
            Whatever `call` raises; the cache adds no errors of its own.
        """
        key = self.key(request)
        if key is None:
            return CacheResult(value=call(), hit=None)

        def calling(effect: Effect[Any]) -> Any:
            return call() if isinstance(effect, MakeCall) else perform(effect)

        return drive(self._plans.answer(key), calling)

    async def aanswer(
        self, request: ChatRequest | None, call: Callable[[], Awaitable[R]]
    ) -> CacheResult[R]:
        """The asynchronous twin of `answer`."""
        key = self.key(request)
        if key is None:
            return CacheResult(value=await call(), hit=None)

        async def calling(effect: Effect[Any]) -> Any:
            return await (call() if isinstance(effect, MakeCall) else aperform(effect))

        return await adrive(self._plans.answer(key), calling)

    def stream(
        self,
        request: ChatRequest | None,
        call: Callable[[], Iterator[C]],
        merge: Callable[[list[C]], R],
        replay: Callable[[Hit[R]], Iterator[C]],
    ) -> Iterator[C]:
        """Serve the request as chunks: those of `call`, or a hit's by `replay`.

        `merge` makes the answer that is stored of all the chunks. A stream that its consumer
        leaves midway stores nothing. The tenant is that of the code that calls this.
        """
        key = self.key(request)
        return call() if key is None else self._stream(key, call, merge, replay)

    def _stream(
        self,
        key: CacheKey,
        call: Callable[[], Iterator[C]],
        merge: Callable[[list[C]], R],
        replay: Callable[[Hit[R]], Iterator[C]],
    ) -> Iterator[C]:
        answer = yield from drive_stream(
            self._plans.answer(key),
            perform,
            lambda effect: call() if isinstance(effect, MakeCall) else None,
            merge,
        )
        if answer.hit is not None:
            yield from replay(answer.hit)

    def astream(
        self,
        request: ChatRequest | None,
        call: Callable[[], AsyncIterator[C]],
        merge: Callable[[list[C]], R],
        replay: Callable[[Hit[R]], AsyncIterator[C]],
    ) -> AsyncIterator[C]:
        """The asynchronous twin of `stream`."""
        key = self.key(request)
        if key is None:
            return call()
        return adrive_stream(
            self._plans.answer(key),
            aperform,
            lambda effect: call() if isinstance(effect, MakeCall) else None,
            merge,
            lambda answer: _nothing() if answer.hit is None else replay(answer.hit),
        )

    def bypassed(self, reason: object) -> None:
        """Count a call that the cache must stay out of, and say the first time why.

        Of an error that is not ours only the name is said: its message may hold a prompt.
        """
        foreign = isinstance(reason, Exception) and not isinstance(reason, LLMOptimizersError)
        self._counters.trouble("bypassed", type(reason).__name__ if foreign else reason)

    def clear(self, tenant: str | None = None) -> None:
        """Remove every entry, or those of one tenant, however it was named.

        Raises:
            StoreError: the file cannot be written; what was not removed yet stays.
        """
        if tenant is None:
            self._store.clear()
        else:
            for label in tenant_labels(tenant, self._namespace):
                self._store.clear(label)
        if self._index is not None:
            self._index.clear()

    @property
    def stats(self) -> CacheStats:
        """What happened since this cache was made."""
        return self._counters.stats()

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return True  # `if cache` asks whether there is a cache, not whether it holds anything

    def close(self) -> None:
        """Write pending hit counts and close the file; a later call opens it again."""
        self._store.close()


async def _nothing() -> AsyncIterator[Any]:
    """An empty asynchronous stream."""
    chunks: tuple[Any, ...] = ()
    for chunk in chunks:
        yield chunk


def _check(*, ttl: float | None, max_entries: int, wait_timeout: float) -> None:
    if ttl is not None and not ttl > 0:
        raise ConfigurationError(f"ttl is in seconds and above 0, not {ttl}; None keeps for ever")
    if max_entries < 1:
        raise ConfigurationError(f"max_entries is at least 1, not {max_entries}")
    if not wait_timeout >= 0:
        raise ConfigurationError(f"wait_timeout is in seconds and not below 0, not {wait_timeout}")
