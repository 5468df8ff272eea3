"""A small in-memory cache of the values used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["LRUCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values by key; beyond `limit` the least recently used is dropped.

    Safe to share between threads. It needs no lock, which a fork could leave locked: each step is
    one dictionary operation, and a key that another thread removed meanwhile is ignored.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value, None if there is none."""
        value = self._values.get(key)
        with suppress(KeyError):
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Store a value."""
        with suppress(KeyError):
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
