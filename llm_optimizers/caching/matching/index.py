"""Find the nearest stored questions with FAISS: one exact index per scope, built from the store.

The index follows the store: before a search it adds the vectors that other threads or processes
have saved. The key of a deleted entry is discarded when a search finds it, or when so many are
deleted that the index is rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llm_optimizers.caching.stores.protocol import Store, Vector, VectorRow
from llm_optimizers.connections.forks import ProcessLock

if TYPE_CHECKING:
    import faiss

__all__ = ["FaissIndex"]

_UNIT_TOLERANCE = 1e-2
_SLACK = 1_000
"""Deleted keys that may stay in the index beside twice the store's entries."""


class FaissIndex:
    """Exact cosine search (`IndexIDMap2` over `IndexFlatIP`) inside each scope of a store.

    Vectors of another length than a scope's first come from another embedder and are left out. So
    is a vector that is not of unit length: it is damaged and would be near to everything.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = ProcessLock()
        self._seen = 0
        self._rebuild_above = _SLACK
        self._scopes: dict[str, faiss.IndexIDMap2] = {}
        self._keys: dict[int, tuple[str, str]] = {}
        self._sequences: dict[str, int] = {}

    def search(self, scope: str, vector: Vector, k: int) -> Sequence[tuple[str, float]]:
        """See `VectorIndex.search`. Raises StoreError when the store cannot be read."""
        with self._lock:
            if len(self._keys) > self._rebuild_above:
                self._rebuild_above = 2 * len(self._store) + _SLACK
                if len(self._keys) > self._rebuild_above:
                    self.clear()
            for row in self._store.vectors(self._seen):
                self._add(row)
            index = self._scopes.get(scope)
            if index is None or index.d != vector.shape[0]:
                return []
            return [
                (self._keys[sequence][0], score)
                for score, sequence in _nearest(index, vector, min(k, index.ntotal))
                if sequence != -1
            ]

    def discard(self, key: str) -> None:
        """See `VectorIndex.discard`."""
        with self._lock:
            sequence = self._sequences.pop(key, None)
            if sequence is not None:
                self._remove(sequence)

    def clear(self) -> None:
        """See `VectorIndex.clear`."""
        with self._lock:
            self._seen = 0
            self._rebuild_above = _SLACK
            self._scopes.clear()
            self._keys.clear()
            self._sequences.clear()

    def _add(self, row: VectorRow) -> None:
        self._seen = max(self._seen, row.sequence)
        old = self._sequences.pop(row.key, None)
        if old is not None:
            self._remove(old)
        if not abs(float(np.linalg.norm(row.vector)) - 1.0) < _UNIT_TOLERANCE:
            return
        index = self._scopes.get(row.scope)
        if index is None:
            # Imported here: a cache without semantic matching never needs it.
            import faiss

            index = faiss.IndexIDMap2(faiss.IndexFlatIP(row.vector.shape[0]))
            self._scopes[row.scope] = index
        if index.d != row.vector.shape[0]:
            return
        index.add_with_ids(row.vector.reshape(1, -1), np.array([row.sequence], np.int64))
        self._keys[row.sequence] = (row.key, row.scope)
        self._sequences[row.key] = row.sequence

    def _remove(self, sequence: int) -> None:
        import faiss

        _, scope = self._keys.pop(sequence)
        index = self._scopes[scope]
        index.remove_ids(faiss.IDSelectorBatch(np.array([sequence], np.int64)))
        if index.ntotal == 0:
            del self._scopes[scope]


def _nearest(index: faiss.IndexIDMap2, vector: Vector, k: int) -> Iterable[tuple[float, int]]:
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
    return zip(scores[0].tolist(), sequences[0].tolist(), strict=True)
