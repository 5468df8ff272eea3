"""The cache entry, and the protocols of a store and a vector index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_optimizers.costs import Usage

__all__ = ["Entry", "Store", "Vector", "VectorIndex", "VectorRow", "VectorRows"]

Vector = npt.NDArray[np.float32]
"""Shape (d,), unit length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored answer.

    `payload` is the answer as encoded by its codec. `model`, `usage` and `cost` are those of the
    call that produced it, so that a hit's savings can be priced; see `Hit`. Times are seconds since
    the epoch; an `expires` of None means never.
    """

    key: str
    normalised: str | None
    scope: str
    tenant: str
    question: str | None
    payload: str
    vector: Vector | None
    created: float
    expires: float | None
    model: str = ""
    usage: Usage | None = None
    cost: Decimal | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRow:
    """A stored vector, for an index to add; `sequence` grows with every save.

    `vector` is None if what is stored cannot be a vector.
    """

    sequence: int
    key: str
    scope: str
    vector: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRows:
    """Vectors in the order in which they were saved.

    `generation` changes when the store's content was replaced by another, whose sequences mean
    other entries: what is known of earlier rows no longer holds.
    """

    generation: int
    rows: Sequence[VectorRow]


class Store(Protocol):
    """Stores entries by key up to a capacity; the least used entry is evicted first.

    Methods raise `StoreError` if the disk or server fails, and no other error.
    """

    blocking: bool
    """Whether calls may wait for a disk or network; async callers then run them in a thread."""

    def fetch(self, key: str, normalised: str | None = None) -> Entry | None:
        """Return the entry of this key, else the newest of the normalised key, expired or not."""

    def save(self, entry: Entry) -> None:
        """Store the entry, replacing one of the same key; evict entries beyond the capacity."""

    def touch(self, key: str, now: float) -> None:
        """Count a hit at time `now`; entries with many hits are evicted last."""

    def delete(self, keys: Collection[str]) -> None:
        """Remove entries; unknown keys are ignored."""

    def clear(self, tenant: str | None = None) -> None:
        """Remove every entry, or one tenant's."""

    def vectors(self, after: int, generation: int = 0) -> VectorRows:
        """Return vectors saved after the row with this sequence, oldest first; 0 for all.

        If the store's generation is not `generation`, all its vectors are returned.
        """

    def stored(self, sequences: Collection[int]) -> Mapping[int, str]:
        """Return the keys of those rows that still exist, by their sequence."""

    def __len__(self) -> int:
        """Return the number of entries, including expired ones."""

    def close(self) -> None:
        """Write pending data and release the file or connection; a later call may reopen it."""


class VectorIndex(Protocol):
    """Finds the nearest stored questions within one scope."""

    def search(self, scope: str, vector: Vector, k: int) -> Sequence[tuple[str, float]]:
        """Return up to k pairs (key, cosine), best first."""

    def search_at_once(
        self, scope: str, vector: Vector, k: int
    ) -> Sequence[tuple[str, float]] | None:
        """Search as `search` does in an event loop; None if that could take long or wait."""

    def warm_up(self) -> None:
        """Do now what the first search would do: load the library, read the store."""

    def discard(self, key: str) -> None:
        """Remove a key whose entry is gone."""

    def clear(self) -> None:
        """Remove everything, and read the remaining vectors from the store again."""
