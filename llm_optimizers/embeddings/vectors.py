"""The `Embedder` protocol, and the check that a model's vectors can be used.

One bad vector (of another length, not finite, all zeros) would spoil every later search of an
index, so vectors are checked as soon as the model returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from llm_optimizers.errors import StoreError

__all__ = ["Embed", "Embedder", "Vectors", "normalise_rows", "unit_rows"]

F = TypeVar("F", np.float32, np.float64)

Vectors = npt.NDArray[np.float32]
"""Shape (n, d), every row of unit length."""

Embed: TypeAlias = Callable[[Sequence[str]], Vectors]
"""Embeds n texts as n unit rows."""


@runtime_checkable
class Embedder(Protocol):
    """Embeds texts as unit vectors. Vectors of different `id`s are never compared."""

    @property
    def id(self) -> str:
        """The model's name; it changes whenever the vectors would."""

    @property
    def dimension(self) -> int | None:
        """The length of a vector, None until the first text is embedded."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a unit row for each text. Raises StoreError if the output cannot be used."""

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Embed as `embed` does, asynchronously."""

    def covers(self, text: str) -> bool:
        """Whether the whole text fits into the model's window."""


def unit_rows(
    rows: object, count: int, dimension: int | None, source: str, *, zeros: bool = False
) -> Vectors:
    """Check the rows and return them as unit vectors; with `zeros`, rows of zeros are allowed.

    Raises:
        StoreError: they are not `count` rows of finite numbers and of one length (`dimension`, if
            given), or a row is all zeros and `zeros` is False.
    """
    if count == 0:
        return np.zeros((0, dimension or 0), np.float32)
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{source} returned no table of numbers: {error}") from error
    if matrix.ndim != 2 or matrix.shape[0] != count or matrix.shape[1] == 0:
        raise StoreError(
            f"{source} returned shape {matrix.shape} for {count} texts, not ({count}, d)"
        )
    if dimension is not None and matrix.shape[1] != dimension:
        raise StoreError(
            f"{source} returned vectors of length {matrix.shape[1]} after {dimension}: if its"
            " model has changed, make a new cache so that old and new vectors are not compared"
        )
    if not np.isfinite(matrix).all() or not (zeros or matrix.any(axis=1).all()):
        raise StoreError(f"{source} returned a vector that is zero or not finite")
    return np.asarray(normalise_rows(matrix), np.float32)


def normalise_rows(rows: npt.NDArray[F]) -> npt.NDArray[F]:
    """Scale rows (n, d) to unit length; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0), rows.dtype)
