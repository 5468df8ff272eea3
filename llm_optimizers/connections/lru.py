"""A memory for what is costly to make again: the values used last, up to a number of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["LRUCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values by key; beyond `limit` the least recently used leaves.

    Safe between threads, and without a lock that a fork could leave locked: each step is one
    operation of a dictionary, and what another thread took away meanwhile is not missed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, None if it is not remembered."""
        value = self._values.get(key)
        with suppress(KeyError):
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        with suppress(KeyError):
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
