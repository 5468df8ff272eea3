"""Nearest questions by FAISS, one small exact index a scope, rebuilt from the store.

The store is the truth and FAISS only a view of it: vectors that other threads or processes
saved are taken in before a search, and a key whose entry is gone is dropped when it is met.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import faiss
import numpy as np

from llm_optimizers.caching.entries import Store, Vector, VectorRow

__all__ = ["FaissIndex"]


class FaissIndex:
    """Exact cosine search (`IndexIDMap2` over `IndexFlatIP`) inside each scope of a store.

    Vectors of another length than the one searched for are another embedder's; scopes differ by
    embedder, so that they never meet.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = 0
        self._scopes: dict[str, faiss.IndexIDMap2] = {}
        self._keys: dict[int, tuple[str, str]] = {}
        self._sequences: dict[str, int] = {}
        self._lock = threading.Lock()

    def search(self, scope: str, vector: Vector, k: int) -> Sequence[tuple[str, float]]:
        """See `VectorIndex.search`. Raises StoreError when the store cannot be read."""
        with self._lock:
            for row in self._store.vectors(self._seen):
                self._add(row)
            index = self._scopes.get(scope)
            if index is None or index.d != vector.shape[0]:
                return []
            scores, sequences = index.search(vector.reshape(1, -1), min(k, index.ntotal))
            return [
                (self._keys[sequence][0], float(score))
                for score, sequence in zip(scores[0].tolist(), sequences[0].tolist(), strict=True)
                if sequence != -1
            ]

    def discard(self, key: str) -> None:
        """See `VectorIndex.discard`."""
        with self._lock:
            sequence = self._sequences.pop(key, None)
            if sequence is None:
                return
            _, scope = self._keys.pop(sequence)
            index = self._scopes[scope]
            _remove(index, sequence)
            if index.ntotal == 0:
                del self._scopes[scope]

    def _add(self, row: VectorRow) -> None:
        self._seen = max(self._seen, row.sequence)
        old = self._sequences.pop(row.key, None)
        if old is not None:
            _, scope = self._keys.pop(old)
            _remove(self._scopes[scope], old)
        index = self._scopes.get(row.scope)
        if index is None:
            index = faiss.IndexIDMap2(faiss.IndexFlatIP(row.vector.shape[0]))
            self._scopes[row.scope] = index
        if index.d != row.vector.shape[0]:
            return
        index.add_with_ids(row.vector.reshape(1, -1), np.array([row.sequence], np.int64))
        self._keys[row.sequence] = (row.key, row.scope)
        self._sequences[row.key] = row.sequence


def _remove(index: faiss.IndexIDMap2, sequence: int) -> None:
    index.remove_ids(faiss.IDSelectorBatch(np.array([sequence], np.int64)))
