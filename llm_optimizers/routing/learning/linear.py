"""Ridge regression on sparse rows in plain numpy: conjugate gradients on compressed rows.

A general solver would do as well; this one keeps fitting free of any dependency beyond numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["SparseRows", "ridge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRows:
    """A matrix of n rows: a sparse part in compressed rows beside a dense part.

    `starts` has n + 1 entries; row i's entries are `columns[starts[i]:starts[i + 1]]`.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    width: int
    dense: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        rows: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
        dense: NDArray[np.float64],
        *,
        width: int,
    ) -> SparseRows:
        """Stack rows given as pairs of column indices and values."""
        sizes = [len(columns) for columns, _ in rows]
        return cls(
            starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
            columns=np.concatenate([columns for columns, _ in rows]),
            values=np.concatenate([values for _, values in rows]),
            width=width,
            dense=dense,
        )

    def scaled(self, factors: NDArray[np.float64]) -> SparseRows:
        """The rows with every sparse column multiplied by its factor."""
        return replace(self, values=self.values * factors[self.columns])

    def times(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product with a vector of `width` + dense columns: one number a row."""
        products = self.values * weights[self.columns]
        running = np.concatenate(([0.0], np.cumsum(products)))
        sparse = running[self.starts[1:]] - running[self.starts[:-1]]
        return np.asarray(sparse + self.dense @ weights[self.width :])

    def transposed_times(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product of the transpose with one number a row."""
        spread = np.repeat(amounts, np.diff(self.starts))
        sparse = np.bincount(self.columns, weights=self.values * spread, minlength=self.width)
        return np.concatenate((sparse, self.dense.T @ amounts))


def ridge(
    rows: SparseRows,
    target: NDArray[np.float64],
    *,
    penalty: float,
    steps: int = 60,
    tolerance: float = 1e-3,
) -> NDArray[np.float64]:
    """Weights that minimise ‖rows·w - target‖² + penalty·‖w‖², without an intercept.

    Conjugate gradients on the normal equations (Hestenes and Stiefel 1952), stopped when the
    residual has shrunk by `tolerance`; stopping early only regularises a little more.
    """
    residual = rows.transposed_times(target)
    weights = np.zeros_like(residual)
    direction = residual.copy()
    size = first = float(residual @ residual)
    for _ in range(steps):
        if size <= first * tolerance**2:
            break
        image = rows.transposed_times(rows.times(direction)) + penalty * direction
        step = size / float(direction @ image)
        weights += step * direction
        residual -= step * image
        before, size = size, float(residual @ residual)
        direction = residual + (size / before) * direction
    return weights
