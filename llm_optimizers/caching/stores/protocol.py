"""What a cache keeps, and what keeps it: the entry and the protocols of store and index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_optimizers.costs import Usage

__all__ = ["Entry", "Store", "Vector", "VectorIndex", "VectorRow"]

Vector = npt.NDArray[np.float32]
"""Shape (d,), unit length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored answer.

    `payload` is the answer as its codec wrote it. `model` and `usage` say what the call that
    made it consumed, so that a hit can state in dollars what it saved. Times are seconds since
    the epoch; `expires` None means never.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRow:
    """A stored vector as an index takes it in; `sequence` grows with every save."""

    sequence: int
    key: str
    scope: str
    vector: Vector


class Store(Protocol):
    """Keeps entries by key, up to a capacity; the least used one leaves first.

    Methods raise `StoreError` when the medium fails, and nothing else.
    """

    blocking: bool
    """Whether calls may wait for a disk or a network, so that async callers off-load them."""

    def fetch(self, key: str, normalised: str | None = None) -> Entry | None:
        """The entry under this key, else the newest under the normalised key, expired or not."""

    def save(self, entry: Entry) -> None:
        """Keep the entry, replacing one of the same key, evicting others beyond capacity."""

    def touch(self, key: str, now: float) -> None:
        """Count a hit at this moment, so that an entry which is asked for stays."""

    def delete(self, keys: Collection[str]) -> None:
        """Remove entries; unknown keys are ignored."""

    def clear(self, tenant: str | None = None) -> None:
        """Remove every entry, or one tenant's."""

    def vectors(self, after: int) -> Sequence[VectorRow]:
        """Vectors saved since the row with this sequence, oldest first; 0 for all."""

    def __len__(self) -> int:
        """How many entries are kept, the expired ones among them."""

    def close(self) -> None:
        """Write what is pending and release the medium; further calls may reopen it."""


class VectorIndex(Protocol):
    """Finds the nearest stored questions inside one scope."""

    def search(self, scope: str, vector: Vector, k: int) -> Sequence[tuple[str, float]]:
        """Up to k pairs (key, cosine), best first."""

    def discard(self, key: str) -> None:
        """Forget a key whose entry is gone."""

    def clear(self) -> None:
        """Forget all, and take in anew what the store still has."""
