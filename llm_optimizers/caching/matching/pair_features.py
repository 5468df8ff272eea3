"""Features of a pair of questions that has the same content words: what the score weighs.

A static embedding cannot tell a synonym from another thing of the same sort: "buy" is as near to
"purchase" as "Paris" is to "London". So the words are compared first, and the cosine only weighs
what is left: order, length and small words.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from llm_optimizers.caching.matching.text_features import TextFeatures

__all__ = ["FEATURES", "overlap", "pair_features", "same_words"]

FEATURES = (
    "cosine",
    "cosine_squared",
    "order",
    "length_gap",
    "length",
    "kind_gap",
    "word_jaccard",
)
"""The names of the values that `pair_features` returns, in order."""


def pair_features(a: TextFeatures, b: TextFeatures, cosine: float) -> list[float]:
    """Return one number per name in `FEATURES`; symmetric in the two texts."""
    return [
        cosine,
        cosine * cosine,
        max(_order(a.concepts, b.concepts), _order(b.concepts, a.concepts)),
        abs(len(a.words) - len(b.words)) / max(len(a.words), len(b.words), 1),
        math.log1p(len(set(a.concepts) | set(b.concepts))),
        float((a.kind == "") != (b.kind == "")),
        _jaccard(set(a.words), set(b.words)),
    ]


def same_words(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether two texts have the same content words, synonyms counted as one.

    In a language without word lists all words must be the same, in the same order.
    """
    if not (a.listed and b.listed):
        return a.raw == b.raw
    return set(a.concepts) == set(b.concepts)


def overlap(a: TextFeatures, b: TextFeatures) -> float:
    """Return the share of content words that both texts have, 1.0 for two texts without any."""
    return _jaccard(set(a.concepts), set(b.concepts))


def _jaccard(a: set[str], b: set[str]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def _order(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the share of neighbouring words of `a` whose order is reversed in `b`."""
    places = {word: place for place, word in enumerate(b)}
    row = [places[word] for word in a if word in places]
    if len(row) < 2:
        return 0.0
    reversed_pairs = sum(x > y for x, y in itertools.pairwise(row))
    return reversed_pairs / (len(row) - 1)
