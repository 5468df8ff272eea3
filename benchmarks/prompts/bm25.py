"""BM25 over a fixed set of texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BM25", "Split", "best_first", "character_pairs", "words"]

Split: TypeAlias = Callable[[str], Sequence[str]]
"""Cuts a text into terms."""

SATURATION, LENGTH = 1.2, 0.75


class BM25:
    """Scores texts by the terms of a question (Robertson's form, with Lucene's weights)."""

    def __init__(self, texts: Sequence[str], split: Split) -> None:
        bags = [Counter(split(text)) for text in texts]
        sizes = np.array([sum(bag.values()) for bag in bags], dtype=float)
        self._norms = 1 - LENGTH + LENGTH * sizes / max(1.0, float(sizes.mean()))
        self._found: dict[str, list[tuple[int, int]]] = {}
        for at, bag in enumerate(bags):
            for term, count in bag.items():
                self._found.setdefault(term, []).append((at, count))

    def scores(self, asked: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return one score per text, shape (n,)."""
        total = np.zeros(len(self._norms))
        for term in sorted(set(asked) & self._found.keys()):
            places, counts = np.array(self._found[term]).T
            rarity = math.log(1 + (len(total) - len(places) + 0.5) / (len(places) + 0.5))
            grown = counts * (SATURATION + 1) / (counts + SATURATION * self._norms[places])
            total[places] += rarity * grown
        return total


def best_first(scores: npt.NDArray[np.float64]) -> list[int]:
    """Return the indexes of scores, shape (n,), from the highest; equal ones in order."""
    return [int(at) for at in np.argsort(-scores, kind="stable")]


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def character_pairs(text: str) -> list[str]:
    """Return the pairs of neighbouring characters of a text, blanks left out."""
    joined = "".join(text.lower().split())
    return [joined[at : at + 2] for at in range(max(1, len(joined) - 1))]
