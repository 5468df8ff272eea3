"""Performs the cache's effects on a store, an index and an embedder, in sync and in async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_optimizers.caching.effects import Embed, Fetch, Forget, Nearest, Save, Touch, Wait
from llm_optimizers.caching.stores.entries import Store, Vector, VectorIndex
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.effects import Effect
from llm_optimizers.embeddings.embedders import Embedder
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["CacheShell"]

NEIGHBOURS = 5
_READS = (Fetch, Nearest)


class CacheShell:
    """One store, one index, one embedder.

    What fails is left alone for a while; a store that cannot be written may still be read.
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
        self._clock = clock
        self._wait_timeout = wait_timeout
        self._reading = CircuitBreaker(clock)
        self._writing = CircuitBreaker(clock)
        self._embedding = CircuitBreaker(clock)

    def perform(self, effect: Effect[Any]) -> Any:
        """Do what the effect asks for."""
        match effect:
            case Embed(text):
                embedder = self._willing_embedder()
                with self._embedding_failures():
                    return None if embedder is None else embedder.embed([text])[0]
            case Wait(flight):
                return flight.wait(self._wait_timeout)
            case _:
                return self._stored(effect)

    async def aperform(self, effect: Effect[Any]) -> Any:
        """Do what the effect asks for without blocking the event loop."""
        match effect:
            case Embed(text):
                embedder = self._willing_embedder()
                with self._embedding_failures():
                    return None if embedder is None else (await embedder.aembed([text]))[0]
            case Wait(flight):
                return await flight.await_(self._wait_timeout)
            case _ if self._store.blocking:
                return await asyncio.to_thread(self._stored, effect)
            case _:
                return self._stored(effect)

    def _willing_embedder(self) -> Embedder | None:
        if not self._embedding.allow():
            raise StoreError("the embedder failed a moment ago and is left alone for now")
        return self._embedder

    @contextmanager
    def _embedding_failures(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            # This text has no usable vector; the next one may.
            raise
        except Exception:
            self._embedding.failed()
            raise
        self._embedding.succeeded()

    def _stored(self, effect: Effect[Any]) -> Any:
        breaker = self._reading if isinstance(effect, _READS) else self._writing
        if not breaker.allow():
            raise StoreError("the store failed a moment ago and is left alone for now")
        try:
            result = self._perform_stored(effect)
        except PoisonedEntryError:
            raise
        except StoreError:
            breaker.failed()
            raise
        except Exception as error:
            # A store, or FAISS, that breaks its promise must not cost the caller an answer.
            raise StoreError(f"{type(error).__name__} in the cache's store: {error}") from error
        breaker.succeeded()
        return result

    def _perform_stored(self, effect: Effect[Any]) -> Any:
        match effect:
            case Fetch(key, normalised):
                return self._store.fetch(key, normalised)
            case Touch(key):
                return self._store.touch(key, self._clock())
            case Nearest(scope, vector):
                return self._nearest(scope, vector)
            case Save(entry):
                return self._store.save(entry)
            case Forget(key):
                if self._index is not None:
                    self._index.discard(key)
                return self._store.delete([key])
            case _:
                raise TypeError(f"the cache cannot perform {type(effect).__name__}")

    def _nearest(self, scope: str, vector: Vector) -> list[tuple[str, float]]:
        if self._index is None:
            return []
        return list(self._index.search(scope, vector, NEIGHBOURS))
