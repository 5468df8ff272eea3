"""Topics: a few directions of words that occur together, found without labels.

Latent semantic analysis (Deerwester et al. 1990) on the commonest word buckets, by a randomised
singular value decomposition (Halko, Martinsson and Tropp 2011). A linear model must have seen
every word of a subject to recognise it; trees on topics generalise from words that occur together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Topics"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VOCABULARY = 4096
COMMON = 0.2
_SPARE = 30
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Word buckets in ascending order, and the loading of each on every topic (words, topics)."""

    vocabulary: Ints
    axes: Floats

    def project(self, columns: Ints, values: Floats) -> Floats:
        """Return a text's topics as a unit vector; zeros where it has no known word."""
        if not len(self.vocabulary):
            return np.zeros(self.axes.shape[1])
        where = np.minimum(np.searchsorted(self.vocabulary, columns), len(self.vocabulary) - 1)
        known = self.vocabulary[where] == columns
        topics = values[known] @ self.axes[where[known]]
        return np.asarray(topics / (float(np.sqrt(topics @ topics)) or 1.0))

    @classmethod
    def of(
        cls, rows: Sequence[tuple[Ints, Floats]], *, buckets: int, count: int, seed: int = 0
    ) -> Topics:
        """Find `count` topics in texts given as word buckets and their values."""
        seen = np.bincount(np.concatenate([columns for columns, _ in rows]), minlength=buckets)
        seen[(seen > COMMON * len(rows)) | (seen < 2)] = 0
        commonest = np.argsort(-seen, kind="stable")[:VOCABULARY]
        vocabulary = np.sort(commonest[seen[commonest] > 0])
        count = min(count, len(vocabulary), len(rows))
        if not count:
            return cls(vocabulary=vocabulary[:0], axes=np.zeros((0, 0)))
        table = np.zeros((len(rows), len(vocabulary)), dtype=np.float32)
        for number, (columns, values) in enumerate(rows):
            where = np.minimum(np.searchsorted(vocabulary, columns), len(vocabulary) - 1)
            known = vocabulary[where] == columns
            table[number, where[known]] = values[known]
        return cls(vocabulary=vocabulary, axes=_directions(table, count, seed).astype(np.float64))


def _directions(table: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Return the `count` leading right singular vectors, one per column."""
    width = min(count + _SPARE, *table.shape)
    start = np.random.default_rng(seed).normal(size=(table.shape[1], width)).astype(np.float32)
    basis = np.linalg.qr(table @ start)[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(table @ (table.T @ basis))[0]
    rows: NDArray[np.float32] = np.linalg.svd(basis.T @ table, full_matrices=False)[2]
    return rows[:count].T
