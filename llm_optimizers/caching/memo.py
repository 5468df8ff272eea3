"""What a cache has computed from texts, kept as long as the entries that it was computed for."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

from llm_optimizers.connections.lru import LRUCache

__all__ = ["EntryMemo"]

T = TypeVar("T")
_LIMIT = 65_536
_MAX_BYTES = 2**25
_OVERHEAD = 1_500
"""Bytes of what is computed from the shortest text."""
_BYTES_A_CHARACTER = 4


class _Kept(NamedTuple):
    value: Any
    owner: str
    size: int


class EntryMemo:
    """Values of one cache by key; each belongs to an entry and is dropped when the entry is.

    So no text stays in memory after its entry was evicted, has expired or was cleared. It holds at
    most `max_bytes`, by an estimate from the lengths of the texts. A value may be kept for a
    request that got no entry: it goes with the next `clear`, or when newer ones need its place.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._owned: dict[str, set[Hashable]] = {}
        self._values: LRUCache[Hashable, _Kept] = LRUCache(
            _LIMIT,
            max_bytes=max_bytes,
            size=lambda _, kept: kept.size,
            dropped=self._disown,
        )

    def get(
        self,
        key: Hashable,
        make: Callable[[], T],
        *,
        owner: str | Callable[[T], str],
        characters: int,
    ) -> T:
        """Return the value kept under `key`, else what `make` returns, and keep that.

        `owner` is the key of its entry, or returns it for the value; `characters` is how long the
        texts are of which it is made.
        """
        kept = self._values.get(key)
        if kept is not None:
            value: T = kept.value
            return value
        value = make()
        of = owner if isinstance(owner, str) else owner(value)
        size = _OVERHEAD + _BYTES_A_CHARACTER * characters
        with self._values.lock:
            self._values.put(key, _Kept(value, of, size))
            if self._values.get(key) is not None:
                self._owned.setdefault(of, set()).add(key)
        return value

    def forget(self, owner: str) -> None:
        """Drop what belongs to an entry."""
        if owner in self._owned:
            with self._values.lock:
                for key in self._owned.pop(owner, ()):
                    self._values.discard(key)

    def clear(self) -> None:
        """Drop everything."""
        self._values.clear()

    def _disown(self, key: Hashable, kept: _Kept) -> None:
        keys = self._owned.get(kept.owner)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._owned[kept.owner]
