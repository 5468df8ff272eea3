"""`ResponseCache`: serve answers to repeated questions from memory or a file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from llm_optimizers.arguments import (
    flag,
    function,
    number,
    optional,
    whole,
    with_methods,
)
from llm_optimizers.caching import drivers
from llm_optimizers.caching.answers import CacheResult, Codec, Hit, JSONCodec, with_cacheability
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.in_flight.single_flight import SingleFlight
from llm_optimizers.caching.keys import CacheKey, cache_key
from llm_optimizers.caching.matching.index import FaissIndex
from llm_optimizers.caching.matching.matcher import matcher_for
from llm_optimizers.caching.memo import EntryMemo
from llm_optimizers.caching.options import CallOptions, in_context
from llm_optimizers.caching.plan import CachePlans
from llm_optimizers.caching.refusals import GivenAnswer, RefusedAnswers, collected_answers
from llm_optimizers.caching.stats import CacheStats, Counters
from llm_optimizers.caching.stores import MemoryStore, SQLiteStore
from llm_optimizers.connections.sqlite import database_path
from llm_optimizers.durations import Duration, in_seconds
from llm_optimizers.effects import adrive, aperform, drive, perform
from llm_optimizers.embeddings import as_embedder
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.holdout import is_held_out
from llm_optimizers.pickling import PickledAsArguments, check_function
from llm_optimizers.tenancy import (
    Namespace,
    checked_namespace,
    current_tenant,
    tenant_labels,
    tenant_name,
)
from llm_optimizers.types import ChatRequest, Clock, Message
from llm_optimizers.warming import WarmsUp

__all__ = ["ResponseCache"]

R = TypeVar("R")
C = TypeVar("C")
_EXAMPLE = "How do I return boots?"


class ResponseCache(WarmsUp, PickledAsArguments, Generic[R]):
    """Serves stored answers to questions asked before, word for word or with the same meaning.

    Args:
        codec: How answers are encoded; JSON values by default. Adapters pass their own.
        path: An SQLite file to store entries in; None stores them in memory. A new file is
            readable by its owner only, a file that exists keeps its mode.
        embeddings: The embedding model for questions: None for the bundled static model, an
            object with `embed_query`/`embed_documents` (LangChain) or `get_text_embedding`
            (LlamaIndex), or an `Embedder`.
        semantic: False for exact matching only.
        threshold: A cosine from 0 to 1 that replaces the matcher's own threshold. The guards
            against look-alike questions (numbers, dates, negation, names, …) stay on.
        ttl: How long an answer may be served: seconds, a `timedelta` or a text such as "1h"; None
            for no limit.
        max_entries: Capacity; the least used entry is evicted first.
        namespace: The tenant, or a function that returns the running code's; see `tenancy`.
        wait_timeout: Seconds to wait for an identical call in flight before calling as well.
        clock: Seconds since the epoch.

    Safe to share between threads, event loops and, with `path`, processes. If the file or the
    embedder fails, a warning is logged once, the failures are counted in `stats` and the calls go
    to the model.

    A pickled cache opens the same file; one in memory comes back empty, with the same settings. A
    namespace function travels if it is defined at the top of a module.

    Raises:
        ConfigurationError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        codec: Codec[R] | None = None,
        path: str | os.PathLike[str] | None = None,
        embeddings: object | None = None,
        semantic: bool = True,
        threshold: float | None = None,
        ttl: Duration | None = None,
        max_entries: int = 10_000,
        namespace: Namespace = None,
        wait_timeout: float = 60.0,
        clock: Clock = time.time,
    ) -> None:
        max_entries = whole("max_entries", max_entries, least=1)
        if wait_timeout != math.inf:  # to wait as long as it takes
            wait_timeout = number("wait_timeout", wait_timeout, least=0)
        ttl_s = in_seconds(ttl, "ttl")
        function("clock", clock)
        optional(number, "threshold", threshold, above=0, most=1)
        flag("semantic", semantic)
        if codec is not None:
            give = "a codec with `encode` and `decode`"
            with_methods("codec", codec, "encode", "decode", give=give)
        namespace = checked_namespace("namespace", namespace)
        self._path = database_path(path)
        self._memo = EntryMemo()
        self._store = (
            MemoryStore(max_entries, self._memo.forget)
            if path is None
            else SQLiteStore(path, max_entries, self._memo.forget)
        )
        embedder = as_embedder(embeddings) if semantic else None
        self._embedder_id = "" if embedder is None else embedder.id
        self._counters = Counters()
        self._index = (
            None if embedder is None else FaissIndex(self._store, self._counters.damaged_vector)
        )
        self._namespace = namespace
        self._refused = RefusedAnswers()
        self._plans: CachePlans[R] = CachePlans(
            codec=with_cacheability(codec) if codec is not None else JSONCodec(),
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
            ttl=ttl_s,
            refused=self._refused,
            memo=self._memo,
        )

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        check_function("namespace", self._namespace)
        return {"path": self._path, "namespace": self._namespace}

    def key(self, request: ChatRequest | CacheKey | None) -> CacheKey | None:
        """Return the key under which this request's answer is stored; None if there is none.

        There is none if the request is None (the adapter could not read it), its tenant is
        unknown, the call is held out (see `holdout`), or a setting cannot be written into a key.
        A `CacheKey` is returned as it is.
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
        """Return the running code's tenant; None if it is unknown, as a missing customer id is.

        Also None for calls that are held out: they must go untouched. `request` is the tenant that
        the request itself names.
        """
        if is_held_out():
            return None
        try:
            return current_tenant(self._namespace, request)
        except Exception as error:  # noqa: BLE001 - a user's function; without a tenant, no cache
            self._counters.bypassed(
                error, "namespace: the cache is bypassed", semantic=self._index is not None
            )
            return None

    def key_within(self, tenant: str, request: ChatRequest) -> CacheKey:
        """Return the request's key for a tenant from `tenant()`, for callers that reuse keys.

        Raises:
            ConfigurationError: a setting of the request cannot be written into a key.
        """
        return cache_key(request, tenant=tenant, embedder=self._embedder_id)

    def remembered_key(
        self, call: Hashable, make: Callable[[], CacheKey], *, characters: int
    ) -> CacheKey:
        """Return the key of a call as `make` made it before; it is forgotten with its entry.

        `call` is all that decides about the key, of so many `characters`.
        """
        return self._memo.get(
            ("key", call), make, owner=lambda key: key.exact, characters=characters
        )

    def lookup(
        self, request: ChatRequest | CacheKey, options: CallOptions[R] | None = None
    ) -> Hit[R] | None:
        """Return a stored answer that may be served for the request, or None."""
        key = self.key(request)
        return None if key is None else drive(self._planned(options).lookup(key), perform)

    async def alookup(
        self, request: ChatRequest | CacheKey, options: CallOptions[R] | None = None
    ) -> Hit[R] | None:
        """Look up as `lookup` does, asynchronously."""
        key = self.key(request)
        return None if key is None else await adrive(self._planned(options).lookup(key), aperform)

    def update(
        self, request: ChatRequest | CacheKey, value: R, options: CallOptions[R] | None = None
    ) -> None:
        """Store an answer, unless it is an error, a refusal, cut off or empty."""
        key = self.key(request)
        if key is not None:
            drive(self._planned(options).keep(key, value), perform)

    async def aupdate(
        self, request: ChatRequest | CacheKey, value: R, options: CallOptions[R] | None = None
    ) -> None:
        """Store as `update` does, asynchronously."""
        key = self.key(request)
        if key is not None:
            await adrive(self._planned(options).keep(key, value), aperform)

    def answer(
        self,
        request: ChatRequest | None,
        call: Callable[[], R],
        options: CallOptions[R] | None = None,
    ) -> CacheResult[R]:
        """Serve the request from the cache, else by `call`. A request of None is always called.

        Raises:
            Whatever `call` raises; the cache raises no errors itself.
        """
        key = self.key(request)
        if key is None:
            return CacheResult(value=call(), hit=None)
        return drivers.run(self._planned(options).answer(key), call)

    async def aanswer(
        self,
        request: ChatRequest | None,
        call: Callable[[], Awaitable[R]],
        options: CallOptions[R] | None = None,
    ) -> CacheResult[R]:
        """Serve as `answer` does, asynchronously."""
        key = self.key(request)
        if key is None:
            return CacheResult(value=await call(), hit=None)
        return await drivers.arun(self._planned(options).answer(key), call)

    def stream(
        self,
        request: ChatRequest | None,
        call: Callable[[], Iterator[C]],
        merge: Callable[[list[C]], R],
        replay: Callable[[Hit[R]], Iterator[C]],
        options: CallOptions[R] | None = None,
    ) -> Iterator[C]:
        """Serve the request as a stream: the chunks of `call`, or a hit's chunks from `replay`.

        `merge` joins all chunks into the answer that is stored. Nothing is stored if the consumer
        stops early. The tenant, and whether a fresh answer is wanted, are those of the code that
        calls this method. A stream of several choices goes to the model: its chunks are of one
        answer and then another, so there is no whole answer to store, and a stored one has no such
        order.
        """
        key = self._stream_key(request)
        if key is None:
            return call()
        return drivers.run_stream(self._planned(options).answer(key), call, merge, replay)

    def astream(
        self,
        request: ChatRequest | None,
        call: Callable[[], AsyncIterator[C]],
        merge: Callable[[list[C]], R],
        replay: Callable[[Hit[R]], AsyncIterator[C]],
        options: CallOptions[R] | None = None,
    ) -> AsyncIterator[C]:
        """Stream as `stream` does, asynchronously."""
        key = self._stream_key(request)
        if key is None:
            return call()
        return drivers.arun_stream(self._planned(options).answer(key), call, merge, replay)

    def _stream_key(self, request: ChatRequest | None) -> CacheKey | None:
        key = self.key(request)
        if key is not None and (key.choices or 1) > 1:
            self.bypassed(f"a stream of {key.choices} answers is neither stored nor served")
            return None
        return key

    def refuse(self, answer: GivenAnswer) -> None:
        """Never serve this answer again: its parser or schema did not accept it.

        Its entry is removed, and the next call of its key in this process goes to the model. In a
        running event loop a file is changed in a thread; memory forgets at once. If the model
        gives the same text again, that is a new answer.
        """
        self._refused.add(answer)
        drivers.run_aside(self._plans.remove_refused(answer), blocking=self._store.blocking)

    def _planned(self, options: CallOptions[R] | None) -> CachePlans[R]:
        """Return the plans for a call with these options, in the context of the running code."""
        options = in_context(options or CallOptions())
        if options.plain and collected_answers() is None:
            return self._plans
        return replace(self._plans, source=self, options=options)

    def bypassed(self, reason: object) -> None:
        """Count a call that the cache does not handle, and log the reason the first time."""
        self._counters.bypassed(reason, semantic=self._index is not None)

    def warm_up(self) -> None:
        """Open the file, and load the embedder, the index and the word lists now.

        Never raises: a failure is counted in `stats` and logged, as in a call.
        """
        request = ChatRequest(messages=(Message(role="user", content=_EXAMPLE),))
        cache_key(request, tenant="", embedder=self._embedder_id)
        self._plans.warm_up(_EXAMPLE)

    def clear(self, tenant: str | None = None) -> None:
        """Remove every entry, or those of one tenant, whether named by namespace or by block.

        A file gives their room back, and holds nothing of their text. While another process uses
        it, some may stay in it until the next entry is stored or removed.

        Raises:
            StoreError: the file cannot be written; entries not removed yet remain.
            ConfigurationError: the tenant's name is empty or no text; nothing was removed.
        """
        if tenant is None:
            self._store.clear()
        else:
            name = tenant_name(tenant, "tenant")
            for label in tenant_labels(name, self._namespace):
                self._store.clear(label)
        self._memo.clear()
        if self._index is not None:
            self._index.clear()

    @property
    def stats(self) -> CacheStats:
        """Counts since this cache was created."""
        return self._counters.stats()

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return True  # `if cache` asks whether there is a cache, not whether it holds anything

    def close(self) -> None:
        """Write pending hit counts and close the file; a later call reopens it."""
        self._store.close()
