"""A small in-memory cache of the values used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from llm_optimizers.forks import ProcessLock

__all__ = ["LRUCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values by key; beyond `limit` of them or `max_bytes` the least recently used is dropped.

    `size` returns the bytes of a key with its value; one larger than an eighth of `max_bytes` is
    not kept, since it would drop many others. `dropped` is called with what is no longer kept,
    inside the lock. Safe to share between threads; reading takes no lock.
    """

    def __init__(
        self,
        limit: int,
        *,
        max_bytes: int | None = None,
        size: Callable[[K, V], int] | None = None,
        dropped: Callable[[K, V], None] | None = None,
    ) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._size = size
        self._dropped = dropped
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self.lock = ProcessLock()

    def get(self, key: K) -> V | None:
        """Return the value, None if there is none."""
        found = self._values.get(key)
        if found is None:
            return None
        with suppress(KeyError):  # another thread has removed it meanwhile
            self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value in the place of the key's former one."""
        size = 0 if self._size is None else self._size(key, value)
        with self.lock:
            self.discard(key)
            if self._max_bytes is not None and size > self._max_bytes // 8:
                return
            self._values[key] = (value, size)
            self._bytes += size
            while self._is_full():
                # In one step: an iterator fails if another thread's `get` moves a key meanwhile.
                oldest, found = self._values.popitem(last=False)
                self._let_go(oldest, found)

    def discard(self, key: K) -> None:
        """Drop the key's value, if there is one."""
        with self.lock:
            found = self._values.pop(key, None)
            if found is not None:
                self._let_go(key, found)

    def clear(self) -> None:
        """Drop all values."""
        with self.lock:
            for key in list(self._values):
                self.discard(key)

    def _let_go(self, key: K, found: tuple[V, int]) -> None:
        self._bytes -= found[1]
        if self._dropped is not None:
            self._dropped(key, found[0])

    def _is_full(self) -> bool:
        too_large = self._max_bytes is not None and self._bytes > self._max_bytes
        return too_large or len(self._values) > self._limit

    def __len__(self) -> int:
        return len(self._values)
