"""How the cache's plans reach a store, an index, an embedder and a call under way.

What lies in memory is called at once. What may block, a disk or somebody's embedding service,
becomes an effect, so that no event loop waits for it, and has a circuit breaker: after a failure
it is left alone for a while, and the calls of the app go on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from llm_optimizers.caching.single_flight import InFlightCall
from llm_optimizers.caching.stores.protocol import Store, Vector, VectorIndex
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.effects import Plan, RunFunction
from llm_optimizers.embeddings import Embedder, StaticEmbedder, Vectors
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["Executor"]

T = TypeVar("T")
_NEIGHBOURS = 5


class Executor:
    """One store, one index, one embedder; without index and embedder matching is exact only.

    Reading and writing have breakers of their own: a file that cannot be written may still be
    read.
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
        self._wait_timeout = wait_timeout
        self._reading = CircuitBreaker(clock)
        self._writing = CircuitBreaker(clock)
        self._embedding = CircuitBreaker(clock)

    def stored(self, work: Callable[[Store], T], *, writing: bool = False) -> Plan[T]:
        """What a function of the store gives.

        Raises:
            StoreError: the store failed, or failed a moment ago.
        """
        try:
            if not self._store.blocking:
                return work(self._store)
            breaker = self._writing if writing else self._reading
            return (yield from RunFunction(lambda: self._guarded(breaker, work)))
        except StoreError:
            raise
        except Exception as error:
            # A store, or FAISS, that breaks its promise must not cost the caller an answer.
            raise StoreError(f"{type(error).__name__} in the cache's store: {error}") from error

    def nearest(self, scope: str, vector: Vector) -> Plan[Sequence[tuple[str, float]]]:
        """Keys and cosines of the nearest stored questions of a scope, best first.

        Raises:
            StoreError: as `stored`.
        """
        index = self._index
        if index is None:
            return ()
        return (yield from self.stored(lambda _: index.search(scope, vector, _NEIGHBOURS)))

    def forget(self, key: str) -> Plan[None]:
        """Remove an entry from store and index.

        Raises:
            StoreError: as `stored`.
        """

        def both(store: Store) -> None:
            if self._index is not None:
                self._index.discard(key)
            store.delete([key])

        yield from self.stored(both, writing=True)

    def embedded(self, text: str) -> Plan[Vector | None]:
        """The unit vector of a text, None if the embedder does not see the whole of it.

        Raises:
            StoreError: there is no usable vector, or the embedder failed a moment ago.
            Whatever a user's embedder raises.
        """
        embedder = self._embedder
        if embedder is None or not embedder.covers(text):
            return None
        if isinstance(embedder, StaticEmbedder):
            # Microseconds of arithmetic: it neither blocks nor fails for a while.
            vector: Vector = embedder.embed([text])[0]
            return vector

        def embed() -> Vectors:
            with self._embedding_watched():
                return embedder.embed([text])

        async def aembed() -> Vectors:
            with self._embedding_watched():
                return await embedder.aembed([text])

        rows = yield from RunFunction(embed, aembed)
        vector = rows[0]
        return vector

    def waited(self, flight: InFlightCall[str]) -> Plan[str | None]:
        """The payload of a call that another caller makes; None if there is none in time."""
        timeout = self._wait_timeout
        return (
            yield from RunFunction(lambda: flight.wait(timeout), lambda: flight.aresult(timeout))
        )

    def _guarded(self, breaker: CircuitBreaker, work: Callable[[Store], T]) -> T:
        # A poisoned entry is an answer of the store; it is what it held that is no good.
        with _watched(breaker, "store", failures=StoreError, harmless=PoisonedEntryError):
            return work(self._store)

    def _embedding_watched(self) -> AbstractContextManager[None]:
        # A StoreError says that this text has no usable vector; the next one may.
        return _watched(self._embedding, "embedder", failures=Exception, harmless=StoreError)


@contextmanager
def _watched(
    breaker: CircuitBreaker,
    name: str,
    *,
    failures: type[Exception],
    harmless: type[Exception],
) -> Iterator[None]:
    """A call behind a breaker, which opens at `failures` but for the `harmless` among them."""
    if not breaker.allow():
        raise StoreError(f"the {name} failed a moment ago and is left alone for now")
    try:
        yield
    except harmless:
        breaker.succeeded()
        raise
    except failures:
        breaker.failed()
        raise
    breaker.succeeded()
