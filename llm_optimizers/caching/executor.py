"""Perform the steps of the cache's plans on the store, the index, the embedder, calls in flight.

Work in memory is done at once. Work that may block (a disk, an embedding service) becomes an
effect, so that it does not block an event loop, and goes through a circuit breaker: after a
failure it is skipped for a while, and the app's calls go on without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from llm_optimizers.caching.in_flight.single_flight import InFlightCall
from llm_optimizers.caching.stores.protocol import Entry, Store, Vector, VectorIndex
from llm_optimizers.caching.watching import Announced, watched
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.effects import Plan, RunFunction, awaits
from llm_optimizers.embeddings import Embedder, StaticEmbedder, Vectors
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.failures import store_outage, strategy_outage
from llm_optimizers.forks import ProcessLock
from llm_optimizers.types import Clock

__all__ = ["Executor"]

T = TypeVar("T")
_COMPONENT = "llm_optimizers.caching"
_COSINE_TOLERANCE = 1e-3
_NEIGHBOURS = 10


class Executor:
    """One store, index and embedder; without index and embedder, matching is exact only.

    Reading and writing have separate circuit breakers: a file that cannot be written may still
    be readable. `saves` counts the entries that were stored.
    """

    def __init__(
        self,
        *,
        store: Store,
        index: VectorIndex | None,
        embedder: Embedder | None,
        clock: Clock,
        wait_timeout: float,
    ) -> None:
        self._store = store
        self._index = index
        self._embedder = embedder
        self._aembeds = embedder is not None and awaits(embedder.aembed)
        self._wait_timeout = wait_timeout
        self._changing = ProcessLock()
        self.saves = 0
        self._reading = CircuitBreaker(clock)
        self._writing = CircuitBreaker(clock)
        self._embedding = CircuitBreaker(clock)
        self._store_outage = store_outage(
            _COMPONENT,
            "cache",
            failed="the cache's store failed, and calls go to the model",
            recovered="the cache's store works again",
        )
        self._semantic_outage = strategy_outage(
            _COMPONENT,
            "cache.semantic",
            failed="the embedder failed: exact matching only",
            recovered="the embedder works again: questions are matched by meaning",
        )

    def use_store(self, work: Callable[[Store], T], *, writing: bool = False) -> Plan[T]:
        """Call `work` with the store and return its result.

        Raises:
            StoreError: the store failed now, or a moment ago and is being skipped.
        """
        return (yield from self._use(work, "writing" if writing else "reading"))

    def _use(self, work: Callable[[Store], T], part: str) -> Plan[T]:
        with Announced(self._store_outage, part):
            if not self._store.blocking:
                return work(self._store)
            breaker = self._writing if part == "writing" else self._reading
            return (yield from RunFunction(lambda: self._guarded(breaker, work)))

    def nearest(self, scope: str, vector: Vector) -> Plan[Sequence[tuple[str, float]]]:
        """Return keys and cosines of the nearest stored questions of a scope, best first.

        Raises:
            StoreError: as `use_store`.
        """
        index = self._index
        if index is None:
            return ()

        def search(_: Store) -> Sequence[tuple[str, float]]:
            return index.search(scope, vector, _NEIGHBOURS)

        if self._store.blocking:
            return (yield from self._use(search, "index"))
        with Announced(self._store_outage, "index"):
            found = index.search_at_once(scope, vector, _NEIGHBOURS)
            if found is None:
                found = yield from RunFunction(lambda: search(self._store))
            return found

    def discard(self, key: str) -> Plan[None]:
        """Remove from the index a key whose entry is gone.

        Raises:
            StoreError: as `use_store`.
        """
        index = self._index
        if index is not None:
            yield from self._use(lambda _: index.discard(key), "index")

    def save(self, entry: Entry, asked: float | None = None) -> Plan[bool]:
        """Store an entry; return False if a newer one is stored.

        `asked` is when the model was asked for it. A stream that is read slowly may end after
        another call, a fresh one say, has brought a newer answer, which must not be lost.

        Raises:
            StoreError: as `use_store`.
        """

        def save(store: Store) -> bool:
            with self._changing:
                if asked is not None and _created(store, entry.key) > asked:
                    return False
                store.save(entry)
                self.saves += 1
                return True

        return (yield from self.use_store(save, writing=True))

    def remove(self, key: str, *, only_if: Callable[[Entry], bool] | None = None) -> Plan[None]:
        """Remove an entry from the store and the index.

        `only_if` sees the entry first; no other entry is saved in between by this process.

        Raises:
            StoreError: as `use_store`; PoisonedEntryError: `only_if` cannot be asked.
        """

        def both(store: Store) -> None:
            with self._changing:
                if only_if is not None:
                    entry = store.fetch(key)
                    if entry is None or not only_if(entry):
                        return
                if self._index is not None:
                    self._index.discard(key)
                store.delete([key])

        yield from self.use_store(both, writing=True)

    def embed(self, text: str) -> Plan[Vector | None]:
        """Return a text's unit vector, None if the text is longer than the embedder's window.

        Raises:
            StoreError: the vector cannot be used, or the embedder failed a moment ago.
            Whatever a user's embedder raises.
        """
        try:
            vector = yield from self._embed(text)
        except StoreError:
            raise
        except Exception as error:
            self._semantic_outage.failed(error)
            raise
        if vector is not None:
            self._semantic_outage.worked()
        return vector

    def _embed(self, text: str) -> Plan[Vector | None]:
        embedder = self._embedder
        if embedder is None:
            return None
        if isinstance(embedder, StaticEmbedder):
            # Some microseconds of arithmetic: it needs no thread and no circuit breaker.
            if not embedder.loaded:
                yield from RunFunction(embedder.warm_up)
            vector: Vector | None = embedder.embed([text])[0] if embedder.covers(text) else None
            return vector
        if not embedder.covers(text):
            return None

        def embed() -> Vectors:
            with self._embedding_watched():
                return embedder.embed([text])

        async def aembed() -> Vectors:
            with self._embedding_watched():
                return await embedder.aembed([text])

        rows = yield from RunFunction(embed, aembed if self._aembeds else None)
        vector = rows[0]
        return vector

    def warm_up(self, question: str) -> None:
        """Open the store and load the embedder and the index now, not in the first lookup.

        Raises:
            StoreError: the store cannot be read.
            Whatever a user's embedder raises.
        """
        embedder = self._embedder
        if isinstance(embedder, StaticEmbedder):
            embedder.warm_up()
        elif embedder is not None:
            embedder.embed([question])
        if self._index is None:
            len(self._store)
        else:
            self._index.warm_up()

    def confirms(self, cosine: float, vector: Vector, stored: str | None) -> bool:
        """Whether a cosine from the index can be that of this vector and the stored question.

        A stored vector may be another question's. Only the bundled model is quick enough to ask.
        """
        if stored is None or not isinstance(self._embedder, StaticEmbedder):
            return True
        (again,) = self._embedder.embed([stored])
        return bool(abs(float(vector @ again) - cosine) < _COSINE_TOLERANCE)

    def wait_for(self, call: InFlightCall[str]) -> Plan[str | None]:
        """Return the payload of another caller's call in flight; None if it brings none in time."""
        timeout = self._wait_timeout
        return (yield from RunFunction(lambda: call.result(timeout), lambda: call.aresult(timeout)))

    def _guarded(self, breaker: CircuitBreaker, work: Callable[[Store], T]) -> T:
        # A damaged entry does not mean that the store failed.
        with watched(breaker, "store", failures=StoreError, harmless=PoisonedEntryError):
            return work(self._store)

    def _embedding_watched(self) -> AbstractContextManager[None]:
        # A StoreError means that this text has no usable vector; the next text may have one.
        return watched(self._embedding, "embedder", failures=Exception, harmless=StoreError)


def _created(store: Store, key: str) -> float:
    """Return when the stored entry was created; minus infinity without a readable one."""
    try:
        stored = store.fetch(key)
    except PoisonedEntryError:
        stored = None
    return -math.inf if stored is None else stored.created
