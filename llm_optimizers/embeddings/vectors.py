"""Texts as unit vectors: the protocol of what makes them, and the check that they can be used.

One bad vector (of another length, not finite, all zero) would poison every search of an index
after it, so rows are checked where they come in.
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
"""Turns n texts into n unit rows."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors.

    `id` names the model: vectors of different ids are never compared. `dimension` is None until
    it is known.
    """

    @property
    def id(self) -> str:
        """A name that changes whenever the vectors would."""

    @property
    def dimension(self) -> int | None:
        """The length of a vector, None before the first."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit row a text. Raises StoreError when the model's output cannot be used."""

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """The asynchronous twin of `embed`."""

    def covers(self, text: str) -> bool:
        """Whether the model sees the whole of the text."""


def unit_rows(
    rows: object, count: int, dimension: int | None, source: str, *, zeros: bool = False
) -> Vectors:
    """The rows as unit vectors; with `zeros`, rows of zeros stay as they are.

    Raises:
        StoreError: they are not `count` rows of one length (`dimension`, if given) of finite
            numbers, or one is all zero where that is not allowed.
    """
    if count == 0:
        return np.zeros((0, dimension or 0), np.float32)
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{source} gave no table of numbers: {error}") from error
    if matrix.ndim != 2 or matrix.shape[0] != count or matrix.shape[1] == 0:
        raise StoreError(f"{source} gave shape {matrix.shape} for {count} texts, not ({count}, d)")
    if dimension is not None and matrix.shape[1] != dimension:
        raise StoreError(
            f"{source} gave vectors of length {matrix.shape[1]} after {dimension}: if the model "
            "behind it changed, make a new cache so that old and new vectors stay apart"
        )
    if not np.isfinite(matrix).all() or not (zeros or matrix.any(axis=1).all()):
        raise StoreError(f"{source} gave a vector that is zero or not finite")
    return np.asarray(normalise_rows(matrix), np.float32)


def normalise_rows(rows: npt.NDArray[F]) -> npt.NDArray[F]:
    """Rows (n, d) of unit length; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0), rows.dtype)
