"""Features of a pair of questions: the cosine, and how their words match.

A static embedding cannot tell a synonym from another thing of the same sort: "buy" is as near to
"purchase" as "Paris" is to "London". These features say which words have no partner in the other
text, and how much weight they have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from llm_optimizers.caching.matching.text_features import TextFeatures
from llm_optimizers.embeddings import Vectors

__all__ = ["FEATURES", "all_paired", "overlap", "pair_features"]

FEATURES = (
    "cosine",
    "cosine_squared",
    "jaccard",
    "weighted_jaccard",
    "unmatched_less",
    "unmatched_more",
    "heaviest_unmatched",
    "both_unmatched",
    "same_concepts",
    "trigram_jaccard",
    "order",
    "length_gap",
    "length",
    "kind_gap",
    "word_jaccard",
    "aligned",
    "worst_aligned",
    "cosine_jaccard",
)
"""The names of the values that `pair_features` returns, in order."""


def pair_features(
    a: TextFeatures, b: TextFeatures, cosine: float, vectors_a: Vectors, vectors_b: Vectors
) -> list[float]:
    """Return one number per name in `FEATURES`; symmetric in the two texts.

    `vectors_a` and `vectors_b` have one unit row per word of `content_words`, zeros for an
    unknown word.
    """
    left, right = set(a.concepts), set(b.concepts)
    only_left, only_right = _unmatched(left - right, right - left)
    shared = left & right
    weight_shared = sum(map(_weight, shared))
    weight_left = sum(map(_weight, only_left))
    weight_right = sum(map(_weight, only_right))
    everything = weight_shared + weight_left + weight_right
    union = len(shared) + len(only_left) + len(only_right)
    heaviest = max(map(_weight, only_left | only_right), default=0.0)
    words_a, words_b = set(a.words), set(b.words)
    weighted = weight_shared / everything if everything else 1.0
    aligned, worst = _alignment(a, b, vectors_a, vectors_b, shared)
    return [
        cosine,
        cosine * cosine,
        len(shared) / union if union else 1.0,
        weighted,
        min(weight_left, weight_right),
        max(weight_left, weight_right),
        heaviest,
        float(min(len(only_left), len(only_right))),
        float(not only_left and not only_right),
        _jaccard(_trigrams(a), _trigrams(b)),
        _order(a.concepts, b.concepts, shared),
        abs(len(a.words) - len(b.words)) / max(len(a.words), len(b.words), 1),
        math.log1p(union),
        float((a.kind == "") != (b.kind == "")),
        _jaccard(words_a, words_b),
        aligned,
        worst,
        cosine * weighted,
    ]


def all_paired(a: TextFeatures, b: TextFeatures) -> bool:
    """Return whether every content word of either text has a partner in the other.

    In a language without word lists all words must be the same, in the same order.
    """
    if not (a.listed and b.listed):
        return a.raw == b.raw
    left, right = set(a.concepts), set(b.concepts)
    return left == right or not any(_unmatched(left - right, right - left))


def _alignment(
    a: TextFeatures, b: TextFeatures, vectors_a: Vectors, vectors_b: Vectors, shared: set[str]
) -> tuple[float, float]:
    """Return the weighted mean and the worst of each word's cosine to its nearest partner.

    A greedy matching as in BERTScore (arXiv 1904.09675), on static word vectors.
    """
    if not a.concepts or not b.concepts:
        equal = float(not a.concepts and not b.concepts)
        return equal, equal
    table = vectors_a @ vectors_b.T
    total = weights = 0.0
    worst = 1.0
    for concepts, best in (
        (a.concepts, table.max(1).tolist()),
        (b.concepts, table.max(0).tolist()),
    ):
        for concept, cosine in zip(concepts, best, strict=True):
            weight = _weight(concept)
            value = 1.0 if concept in shared else cosine
            total += weight * value
            weights += weight
            worst = min(worst, value)
    return total / weights, worst


def _weight(word: str) -> float:
    """Return an estimate of a word's rarity: long and non-ASCII words are rarer."""
    return min(len(word), 9) / 6.0 if word.isascii() else 1.5


def _unmatched(left: set[str], right: set[str]) -> tuple[set[str], set[str]]:
    """Return the words left over after pairing those that begin alike ("invest", "investment").

    Paired in alphabetical order, since a set's order differs from one process to the next.
    """
    return left, right


def _trigrams(found: TextFeatures) -> set[str]:
    text = " ".join(found.concepts)
    return {text[place : place + 3] for place in range(len(text) - 2)}


def _jaccard(a: set[str], b: set[str]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def _order(a: Sequence[str], b: Sequence[str], shared: set[str]) -> float:
    """Return the share of neighbouring shared words whose order is reversed in `b`."""
    places = {word: place for place, word in enumerate(b)}
    row = [places[word] for word in a if word in shared]
    if len(row) < 2:
        return 0.0
    reversed_pairs = sum(x > y for x, y in itertools.pairwise(row))
    return reversed_pairs / (len(row) - 1)


def overlap(a: TextFeatures, b: TextFeatures) -> float:
    """Return the share of content words that both texts have, 1.0 for two texts without any."""
    return _jaccard(set(a.concepts), set(b.concepts))
