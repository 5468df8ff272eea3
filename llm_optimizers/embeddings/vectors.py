"""Vectors as an index takes them: unit rows of finite numbers, and nothing else.

One bad vector (of another length, not finite, all zero) would poison every search after it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_optimizers.errors import StoreError

__all__ = ["Vectors", "unit_rows"]

Vectors = npt.NDArray[np.float32]
"""Shape (n, d), every row of unit length."""


def unit_rows(rows: object, count: int, dimension: int | None, source: str) -> Vectors:
    """The rows as unit vectors.

    Raises:
        StoreError: they are not `count` rows of one length (`dimension`, if given) of finite
            numbers, or one is all zero.
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
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise StoreError(f"{source} gave a vector that is zero or not finite")
    return np.asarray(matrix / norms, np.float32)
