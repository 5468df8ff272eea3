"""Extremely randomised trees in plain numpy (Geurts, Ernst and Wehenkel 2006).

They model interactions that a linear model cannot: that long questions are hard in one subject
and easy in another. Thresholds are drawn at random instead of searched for, so that a level of a
tree is fitted with a few array operations, and trees differ enough for their mean to be smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest", "fit_forest"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROWS_AT_ONCE = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """All trees in one set of arrays: `roots` has one entry per tree, the others one per node.

    A node sends rows with `row[feature] <= cut` to node `left` and others to `left + 1`. A leaf
    has a `feature` of -1, itself as `left`, and its mean in `value`.
    """

    roots: Ints
    feature: Ints
    cut: Floats
    left: Ints
    value: Floats
    depth: int

    def predict(self, row: Floats) -> float:
        """Return the trees' mean for one row of features; all trees descend together."""
        nodes = self.roots
        for _ in range(self.depth):
            feature = self.feature[nodes]
            inner = feature >= 0
            if not inner.any():
                break
            right = row[feature] > self.cut[nodes]
            nodes = np.where(inner, self.left[nodes] + right, nodes)
        return float(self.value[nodes].mean())


def fit_forest(
    rows: Floats,
    target: Floats,
    *,
    trees: int,
    leaf: int,
    tries: int,
    depth: int,
    seed: int,
) -> Forest:
    """Grow `trees` trees of at most `depth` levels on `rows` (n, features).

    Every node draws `tries` features with a threshold each and keeps the split that explains
    most of the target's variance; no side of a split has fewer than `leaf` rows.
    """
    rng = np.random.default_rng(seed)
    columns = np.ascontiguousarray(rows.T, dtype=np.float32)
    # Small trees are grown together, since numpy's overhead per call would outweigh their rows.
    together = max(1, min(trees, _ROWS_AT_ONCE // len(target)))
    grown: list[Forest] = []
    for start in range(0, trees, together):
        count = min(together, trees - start)
        grown.append(_grow(columns, target, count, _Limits(leaf, tries, depth), rng))
    offsets = np.cumsum([0, *(len(part.value) for part in grown[:-1])])
    return Forest(
        roots=np.concatenate([p.roots + o for p, o in zip(grown, offsets, strict=True)]),
        feature=np.concatenate([part.feature for part in grown]),
        cut=np.concatenate([part.cut for part in grown]),
        left=np.concatenate([p.left + o for p, o in zip(grown, offsets, strict=True)]),
        value=np.concatenate([part.value for part in grown]),
        depth=depth,
    )


class _Limits(NamedTuple):
    """Limits of a tree: rows per leaf, splits tried per node, levels."""

    leaf: int
    tries: int
    depth: int


def _grow(
    columns: NDArray[np.float32],
    target: Floats,
    count: int,
    limits: _Limits,
    rng: np.random.Generator,
) -> Forest:
    """Grow `count` trees level by level; `places` is the open node of every row in every tree."""
    size = len(target)
    feature, cut = [np.full(count, -1)], [np.zeros(count)]
    left, value = [np.arange(count)], [np.full(count, float(target.mean()))]
    rows = np.tile(np.arange(size), count)
    places = np.repeat(np.arange(count), size)
    names = np.arange(count)
    nodes = count
    for _ in range(limits.depth):
        best = _split(columns, target, rows, places, len(names), limits, rng)
        parents = np.flatnonzero(best.score > 0.0)
        if not len(parents):
            break
        first = nodes + 2 * np.arange(len(parents))
        nodes += 2 * len(parents)
        flat = [np.concatenate(part) for part in (feature, cut, left)]
        flat[0][names[parents]] = best.feature[parents]
        flat[1][names[parents]] = best.cut[parents]
        flat[2][names[parents]] = first
        children = np.stack([first, first + 1], axis=1).ravel()
        feature, cut = [flat[0], np.full(len(children), -1)], [flat[1], np.zeros(len(children))]
        left = [flat[2], children]
        value.append(np.stack([best.low[parents], best.high[parents]], axis=1).ravel())
        rank = np.full(len(names), -1)
        rank[parents] = np.arange(len(parents))
        stays = rank[places] >= 0
        rows, old = rows[stays], places[stays]
        places = 2 * rank[old] + (columns[best.feature[old], rows] > best.cut[old])
        rows, places, names = _divisible(rows, places, children, 2 * limits.leaf)
        if not len(names):
            break
    return Forest(
        roots=np.arange(count),
        feature=np.concatenate(feature),
        cut=np.concatenate(cut),
        left=np.concatenate(left),
        value=np.concatenate(value),
        depth=limits.depth,
    )


def _divisible(rows: Ints, places: Ints, names: Ints, least: int) -> tuple[Ints, Ints, Ints]:
    """Leave out nodes that are too small to be split again, and renumber the others."""
    large = np.bincount(places, minlength=len(names)) >= least
    number = np.cumsum(large) - 1
    stays = large[places]
    return rows[stays], number[places[stays]], names[large]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Splits:
    """The best split of each node: its score (0 for none), and the means on both sides."""

    score: Floats
    feature: Ints
    cut: NDArray[np.float32]
    low: Floats
    high: Floats


def _split(
    columns: NDArray[np.float32],
    target: Floats,
    rows: Ints,
    places: Ints,
    count: int,
    limits: _Limits,
    rng: np.random.Generator,
) -> _Splits:
    """Try random splits of all `count` open nodes at once and keep each node's best."""
    order = np.argsort(places, kind="stable")
    rows, places = rows[order], places[order]
    sizes = np.bincount(places, minlength=count)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    wanted = target[rows]
    sums = np.add.reduceat(wanted, starts)
    best = _Splits(
        score=np.zeros(count),
        feature=np.zeros(count, dtype=np.int64),
        cut=np.zeros(count, dtype=np.float32),
        low=np.zeros(count),
        high=np.zeros(count),
    )
    mean_square = sums * sums / sizes
    for _ in range(limits.tries):
        feature = rng.integers(0, len(columns), count)
        values = columns[feature[places], rows]
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        cut = low + (high - low) * rng.random(count, dtype=np.float32)
        below = values <= cut[places]
        n_low = np.add.reduceat(below, starts, dtype=np.int64)
        s_low = np.add.reduceat(wanted * below, starts)
        n_high, s_high = sizes - n_low, sums - s_low
        fits = (n_low >= limits.leaf) & (n_high >= limits.leaf)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = s_low * s_low / n_low + s_high * s_high / n_high - mean_square
            means = s_low / n_low, s_high / n_high
        better = fits & (score > best.score)
        best.score[better] = score[better]
        best.feature[better] = feature[better]
        best.cut[better] = cut[better]
        best.low[better], best.high[better] = means[0][better], means[1][better]
    return best
