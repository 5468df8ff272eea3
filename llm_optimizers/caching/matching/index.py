"""Find the nearest stored questions with FAISS: one exact index per scope, built from the store.

The index follows the store: before a search it adds the vectors that other threads or processes
have saved, and it is built again if the store's content was replaced. A search leaves out what is
no longer stored.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llm_optimizers.caching.stores.protocol import Store, Vector, VectorRow
from llm_optimizers.forks import ProcessLock

if TYPE_CHECKING:
    import faiss

__all__ = ["FaissIndex"]

_UNIT_TOLERANCE = 1e-2
_SLACK = 1_000
"""Deleted keys that may stay in the index beside twice the store's entries."""
_AT_ONCE = 500  # rows looked up in the store at once: SQLite limits a statement's values
# In an event loop, a search compares at most so many numbers, and adds at most so many rows before.
_NUMBERS_AT_ONCE = 4_000_000
_ROWS_AT_ONCE = 200


class FaissIndex:
    """Exact cosine search (`IndexIDMap2` over `IndexFlatIP`) inside each scope of a store.

    A damaged vector only leaves out its own row: one that is not of unit length, which would be
    near to everything, or of another length than the question's. `damaged` gets the reason.
    """

    def __init__(self, store: Store, damaged: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._report = damaged
        self._lock = ProcessLock()
        self._generation = 0
        self._seen = 0
        self._rebuild_above = _SLACK
        self._scopes: defaultdict[str, dict[int, faiss.IndexIDMap2]] = defaultdict(dict)
        self._rows: dict[int, tuple[str, str, int]] = {}
        self._sequences: dict[str, int] = {}
        self._damaged: set[int] = set()

    def search(self, scope: str, vector: Vector, k: int) -> Sequence[tuple[str, float]]:
        """See `VectorIndex.search`. Raises StoreError when the store cannot be read."""
        with self._lock:
            if len(self._rows) > self._rebuild_above:
                self._rebuild_above = self._most_rows()
                if len(self._rows) > self._rebuild_above:
                    self.clear()
            self._follow_store()
            self._leave_out_other_lengths(scope, vector.shape[0])
            wanted = k
            while (index := self._scopes[scope].get(vector.shape[0])) is not None:
                nearest = _nearest(index, vector, min(wanted, index.ntotal))
                if not self._forget_missing([sequence for _, sequence in nearest]):
                    return [(self._rows[sequence][0], score) for score, sequence in nearest[:k]]
                wanted = min(2 * wanted, _AT_ONCE)
            del self._scopes[scope]
            return []

    def search_at_once(
        self, scope: str, vector: Vector, k: int
    ) -> Sequence[tuple[str, float]] | None:
        """See `VectorIndex.search_at_once`."""
        if not self._lock.acquire(timeout=0):
            return None
        try:
            return self.search(scope, vector, k) if self._is_quick(vector.shape[0]) else None
        finally:
            self._lock.release()

    def _is_quick(self, length: int) -> bool:
        """Whether a search takes no more than some milliseconds: little to add and to compare."""
        rows = len(self._rows)
        return (
            not self._store.blocking
            and "faiss" in sys.modules
            and rows * length <= _NUMBERS_AT_ONCE
            and rows <= max(self._rebuild_above, self._most_rows())
            and len(self._store.vectors(self._seen, self._generation).rows) <= _ROWS_AT_ONCE
        )

    def _most_rows(self) -> int:
        return 2 * len(self._store) + _SLACK

    def warm_up(self) -> None:
        """Load FAISS and read the store's vectors now. Raises StoreError as `search` does."""
        import faiss  # noqa: F401 - searches find it loaded

        with self._lock:
            self._follow_store()

    def discard(self, key: str) -> None:
        """See `VectorIndex.discard`."""
        with self._lock:
            sequence = self._sequences.get(key)
            if sequence is not None:
                self._forget([sequence])

    def clear(self) -> None:
        """See `VectorIndex.clear`."""
        with self._lock:
            self._seen = 0
            self._rebuild_above = _SLACK
            self._scopes.clear()
            self._rows.clear()
            self._sequences.clear()

    def _follow_store(self) -> None:
        """Add the vectors saved since the last search, or all if the content was replaced."""
        found = self._store.vectors(self._seen, self._generation)
        if found.generation != self._generation:
            self.clear()
            self._damaged.clear()
            self._generation = found.generation
        for row in found.rows:
            self._add(row)

    def _add(self, row: VectorRow) -> None:
        self._seen = max(self._seen, row.sequence)
        self.discard(row.key)
        vector = row.vector
        if vector is None or not _has_unit_length(vector):
            self._leave_out(row.sequence, "it is not of unit length")
            return
        # Imported here: a cache without semantic matching never needs it.
        import faiss

        length = vector.shape[0]
        index = self._scopes[row.scope].get(length)
        if index is None:
            index = faiss.IndexIDMap2(faiss.IndexFlatIP(length))
            self._scopes[row.scope][length] = index
        index.add_with_ids(vector.reshape(1, -1), np.array([row.sequence], np.int64))
        self._rows[row.sequence] = (row.key, row.scope, length)
        self._sequences[row.key] = row.sequence

    def _leave_out_other_lengths(self, scope: str, length: int) -> None:
        if self._scopes[scope].keys() <= {length}:
            return
        others = [s for s, row in self._rows.items() if row[1] == scope and row[2] != length]
        self._forget(others)
        for sequence in others:
            self._leave_out(sequence, "it is not as long as the question's")

    def _leave_out(self, sequence: int, reason: str) -> None:
        """Report a damaged vector, once even if the index is built again."""
        if sequence not in self._damaged:
            self._damaged.add(sequence)
            if self._report is not None:
                self._report(reason)

    def _forget_missing(self, sequences: Sequence[int]) -> bool:
        """Forget those rows that are no longer stored; return whether there were any."""
        stored = self._store.stored(sequences)
        missing = [s for s in sequences if stored.get(s) != self._rows[s][0]]
        if not missing:
            return False
        if stored.keys().isdisjoint(missing):
            self._forget(missing)
        else:
            # These sequences mean other entries now: another copy of the file was put in place.
            self.clear()
            self._follow_store()
        return True

    def _forget(self, sequences: Collection[int]) -> None:
        import faiss

        places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for sequence in sequences:
            key, scope, length = self._rows.pop(sequence)
            if self._sequences.get(key) == sequence:
                del self._sequences[key]
            places[scope, length].append(sequence)
        for (scope, length), gone in places.items():
            index = self._scopes[scope][length]
            index.remove_ids(faiss.IDSelectorBatch(np.array(gone, np.int64)))
            if index.ntotal == 0:
                del self._scopes[scope][length]
                if not self._scopes[scope]:
                    del self._scopes[scope]


def _has_unit_length(vector: Vector) -> bool:
    with np.errstate(all="ignore"):  # a damaged vector may hold any number
        return bool(abs(float(np.linalg.norm(vector)) - 1.0) < _UNIT_TOLERANCE)


def _nearest(index: faiss.IndexIDMap2, vector: Vector, k: int) -> Sequence[tuple[float, int]]:
    """Return cosines and sequences, best first.

    With one thread: for a single vector FAISS's threads would only wait for each other, for
    milliseconds on a busy machine. The setting belongs to the calling thread.
    """
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        scores, sequences = index.search(vector.reshape(1, -1), k)
    finally:
        faiss.omp_set_num_threads(threads)
    pairs = zip(scores[0].tolist(), sequences[0].tolist(), strict=True)
    return [(score, sequence) for score, sequence in pairs if sequence != -1]
