"""What a score is made of: the cosine, and how the words of two questions match.

A static embedding is a bag of words and cannot tell a synonym from a rival ("buy" and "purchase",
"Paris" and "London" are equally near). These features say which words found no partner and how
much they weigh.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from llm_optimizers.caching.matching.text_features import TextFeatures
from llm_optimizers.embeddings import Vectors

__all__ = ["FEATURES", "features", "overlap", "partnered"]

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
"""The names of what `features` returns, in order."""


def features(
    a: TextFeatures, b: TextFeatures, cosine: float, vectors_a: Vectors, vectors_b: Vectors
) -> list[float]:
    """One number per name in `FEATURES`; symmetric in the two texts.

    `vectors_a` and `vectors_b` hold one unit row for each word of `content_words`, zeros for unknown
    words.
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
    longest = max(len(a.words), len(b.words), 1)
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
        abs(len(a.words) - len(b.words)) / longest,
        math.log1p(union),
        float((a.kind == "") != (b.kind == "")),
        _jaccard(words_a, words_b),
        aligned,
        worst,
        cosine * weighted,
    ]


def partnered(a: TextFeatures, b: TextFeatures) -> bool:
    """Whether every content word of either text has its partner in the other."""
    left, right = set(a.concepts), set(b.concepts)
    return left == right or not any(_unmatched(left - right, right - left))


def _alignment(
    a: TextFeatures, b: TextFeatures, vectors_a: Vectors, vectors_b: Vectors, shared: set[str]
) -> tuple[float, float]:
    """How near each word's nearest one in the other text is: weighted mean and worst.

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
        for concept, nearness in zip(concepts, best, strict=True):
            weight = _weight(concept)
            value = 1.0 if concept in shared else nearness
            total += weight * value
            weights += weight
            worst = min(worst, value)
    return total / weights, worst


def _weight(word: str) -> float:
    """A stand-in for rarity: long words and those with odd characters are rarer."""
    return min(len(word), 9) / 6.0 if word.isascii() else 1.5


def _unmatched(left: set[str], right: set[str]) -> tuple[set[str], set[str]]:
    """What remains after pairing words with a long common beginning ("invest", "investment").

    In alphabetical order, since a set's own differs from one process to the next.
    """
    for word in sorted(left):
        likely = (other for other in right if other[:5] == word[:5])
        partner = min(likely, default="") if len(word) >= 5 else ""
        if partner:
            left.discard(word)
            right.discard(partner)
    return left, right


def _trigrams(found: TextFeatures) -> set[str]:
    text = " ".join(found.concepts)
    return {text[place : place + 3] for place in range(len(text) - 2)}


def _jaccard(a: set[str], b: set[str]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def _order(a: Sequence[str], b: Sequence[str], shared: set[str]) -> float:
    """The share of neighbouring shared words that stand the other way round in `b`."""
    places = {word: place for place, word in enumerate(b)}
    row = [places[word] for word in a if word in shared]
    if len(row) < 2:
        return 0.0
    turned = sum(x > y for x, y in itertools.pairwise(row))
    return turned / (len(row) - 1)


def overlap(a: TextFeatures, b: TextFeatures) -> float:
    """The share of content words that both texts have, 1.0 for two texts without any."""
    return _jaccard(set(a.concepts), set(b.concepts))
