"""A store in this process's memory: the default. Its entries end with the process."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from llm_optimizers.caching.stores.protocol import Entry, VectorRow, VectorRows
from llm_optimizers.forks import ProcessLock

__all__ = ["MemoryStore"]

_SLACK = 64


@dataclass(slots=True)
class _Slot:
    entry: Entry
    sequence: int
    priority: float
    used: float
    hits: int = 0


class MemoryStore:
    """A store in memory.

    Eviction is least frequently used with dynamic aging (Arlitt et al., 2000, "Evaluating content
    management techniques for Web proxy caches"): an entry's priority is its hits plus the priority
    of the last evicted entry, so that entries that were popular once are evicted in the end.

    Expired entries are removed when others are saved. `removed` is called with the key of every
    entry that is no longer stored.
    """

    blocking = False

    def __init__(
        self, max_entries: int = 10_000, removed: Callable[[str], None] | None = None
    ) -> None:
        self._max_entries = max_entries
        self._removed = removed
        self._slots: dict[str, _Slot] = {}
        self._keys: dict[int, str] = {}
        self._normalised: dict[str, dict[str, None]] = {}
        self._heap: list[tuple[float, float, str]] = []
        self._expiring: list[tuple[float, str]] = []
        self._age = 0.0
        self._sequence = 0
        self._lock = ProcessLock()

    def fetch(self, key: str, normalised: str | None = None) -> Entry | None:
        """See `Store.fetch`."""
        slot = self._slots.get(key)
        if slot is None and normalised is not None:
            slot = self._newest(normalised)
        return None if slot is None else slot.entry

    def save(self, entry: Entry) -> None:
        """See `Store.save`."""
        with self._lock:
            if entry.key in self._slots:
                self._remove(entry.key)
            while self._expiring and self._expiring[0][0] <= entry.created:
                self._remove_expired(*heapq.heappop(self._expiring))
            while len(self._slots) >= self._max_entries:
                self._evict()
            self._sequence += 1
            slot = _Slot(entry, self._sequence, self._age + 1.0, entry.created)
            self._slots[entry.key] = slot
            self._keys[slot.sequence] = entry.key
            if entry.normalised is not None:
                self._normalised.setdefault(entry.normalised, {})[entry.key] = None
            heapq.heappush(self._heap, (slot.priority, slot.used, entry.key))
            if entry.expires is not None:
                heapq.heappush(self._expiring, (entry.expires, entry.key))
            if len(self._expiring) > 2 * len(self._slots) + _SLACK:
                found = [(s.entry.expires, key) for key, s in self._slots.items()]
                self._expiring = [(at, key) for at, key in found if at is not None]
                heapq.heapify(self._expiring)
            if len(self._heap) > 2 * len(self._slots) + _SLACK:
                self._heap = [(s.priority, s.used, key) for key, s in self._slots.items()]
                heapq.heapify(self._heap)

    def touch(self, key: str, now: float) -> None:
        """See `Store.touch`."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None:
                slot.hits += 1
                slot.used = now
                slot.priority = self._age + 1.0 + slot.hits

    def delete(self, keys: Collection[str]) -> None:
        """See `Store.delete`."""
        with self._lock:
            for key in keys:
                self._remove(key)

    def clear(self, tenant: str | None = None) -> None:
        """See `Store.clear`."""
        with self._lock:
            for key in [
                key
                for key, slot in self._slots.items()
                if tenant is None or slot.entry.tenant == tenant
            ]:
                self._remove(key)

    def vectors(self, after: int, generation: int = 0) -> VectorRows:
        """See `Store.vectors`; memory is never replaced, so its generation stays the same."""
        rows: list[VectorRow] = []
        if generation != 0:
            after = 0
        if after >= self._sequence:
            return VectorRows(generation=0, rows=rows)
        with self._lock:
            # Slots are in order of their sequence, since a save always appends.
            for slot in reversed(self._slots.values()):
                if slot.sequence <= after:
                    break
                entry = slot.entry
                if entry.vector is not None:
                    rows.append(
                        VectorRow(
                            sequence=slot.sequence,
                            key=entry.key,
                            scope=entry.scope,
                            vector=entry.vector,
                        )
                    )
        return VectorRows(generation=0, rows=rows[::-1])

    def stored(self, sequences: Collection[int]) -> Mapping[int, str]:
        """See `Store.stored`."""
        with self._lock:
            return {
                sequence: key
                for sequence in sequences
                if (key := self._keys.get(sequence)) is not None
            }

    def __len__(self) -> int:
        return len(self._slots)

    def close(self) -> None:
        """Do nothing: memory has no pending writes."""

    def _remove(self, key: str) -> None:
        slot = self._slots.pop(key, None)
        if slot is None:
            return
        del self._keys[slot.sequence]
        normalised = slot.entry.normalised
        if normalised is not None:
            keys = self._normalised[normalised]
            del keys[key]
            if not keys:
                del self._normalised[normalised]
        if self._removed is not None:
            self._removed(key)

    def _remove_expired(self, expires: float, key: str) -> None:
        """Remove an entry, unless it was stored again and expires later."""
        slot = self._slots.get(key)
        if slot is not None and slot.entry.expires == expires:
            self._remove(key)

    def _newest(self, normalised: str) -> _Slot | None:
        """Return the last entry saved under a normalised key."""
        with self._lock:
            keys = self._normalised.get(normalised)
            return self._slots[next(reversed(keys))] if keys else None

    def _evict(self) -> None:
        """Remove the least used entry; heap rows of touched or removed entries are outdated."""
        while self._heap:
            priority, used, key = heapq.heappop(self._heap)
            slot = self._slots.get(key)
            if slot is None:
                continue
            if (priority, used) != (slot.priority, slot.used):
                heapq.heappush(self._heap, (slot.priority, slot.used, key))
                continue
            self._age = priority
            self._remove(key)
            return
