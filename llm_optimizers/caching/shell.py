"""Performs the cache's effects on a store, an index and an embedder, in sync and in async."""

from __future__ import annotations

import asyncio
from typing import Any

from llm_optimizers.caching.effects import Embed, Fetch, Forget, Nearest, Save, Touch, Wait
from llm_optimizers.caching.embedders import Embedder
from llm_optimizers.caching.entries import Store, Vector, VectorIndex
from llm_optimizers.effects import Effect
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["CacheShell"]

NEIGHBOURS = 5
_PAUSE_S = (1.0, 60.0)


class CacheShell:
    """One store, one index, one embedder.

    A store that fails is left alone for a second, then for longer up to a minute: calls that go
    to the model anyway should not wait for a dead disk each time.
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
        self._pause = 0.0
        self._resume_at = 0.0

    def perform(self, effect: Effect[Any]) -> Any:
        """Do what the effect asks for."""
        match effect:
            case Embed(text):
                if self._embedder is None:
                    return None
                return self._embedder.embed([text])[0]
            case Wait(flight):
                return flight.wait(self._wait_timeout)
            case _:
                return self._stored(effect)

    async def aperform(self, effect: Effect[Any]) -> Any:
        """Do what the effect asks for without blocking the event loop."""
        match effect:
            case Embed(text):
                if self._embedder is None:
                    return None
                return (await self._embedder.aembed([text]))[0]
            case Wait(flight):
                return await flight.await_(self._wait_timeout)
            case _ if self._store.blocking:
                return await asyncio.to_thread(self._stored, effect)
            case _:
                return self._stored(effect)

    def _stored(self, effect: Effect[Any]) -> Any:
        if self._clock() < self._resume_at:
            raise StoreError("the store failed a moment ago and is left alone for now")
        try:
            result = self._perform_stored(effect)
        except PoisonedEntryError:
            raise
        except StoreError:
            self._pause = min(max(self._pause * 2, _PAUSE_S[0]), _PAUSE_S[1])
            self._resume_at = self._clock() + self._pause
            raise
        self._pause = 0.0
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
