"""Whether a stored question asks the same as a new one: guards first, then a score.

A cosine alone serves lookalikes. Any guard vetoes the pair. What the guards let pass is scored:
for the bundled static model by a logistic regression over cosine and word matching, fitted by
scripts/fit_acceptance.py; for other embedders by a bound on the cosine and a check of the words.
"""

from __future__ import annotations

import functools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from llm_optimizers.caching.matching.guards import compare
from llm_optimizers.caching.matching.pair_features import FEATURES, features, overlap, partnered
from llm_optimizers.caching.matching.text_features import TextFeatures, extract_features
from llm_optimizers.embeddings import Embedder, StaticEmbedder, Vectors
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "CosineMatcher",
    "FittedMatcher",
    "MatchDecision",
    "Matcher",
    "MatcherWeights",
    "matcher_for",
]

STATIC_WEIGHTS = Path(__file__).parent / "matcher.json"
_REMEMBERED = 1_024
_BOUNDS = (
    # MiniLM: measured on question pairs. The other two crowd all texts into cosines above 0.7.
    ("minilm", 0.93),
    ("ada-002", 0.97),
    ("e5-", 0.97),
)
_BOUND = 0.95
_OVERLAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchDecision:
    """Whether a stored answer may be served, how sure that is (0 to 1), and why."""

    accept: bool
    score: float
    reason: str


class Matcher(Protocol):
    """Judges candidates."""

    @property
    def min_cosine(self) -> float:
        """The cosine below which no candidate is accepted, so that a search may stop there."""

    def decide(self, question: str, candidate: str, cosine: float) -> MatchDecision:
        """Decide on one candidate; never raises on any text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherWeights:
    """A logistic regression over `FEATURES`, and the probability from which it accepts."""

    embedder: str
    min_cosine: float
    bound: float
    intercept: float
    coefficients: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> MatcherWeights:
        """Read what scripts/fit_acceptance.py wrote.

        Raises:
            ConfigurationError: the file is for other features than this version computes.
        """
        raw = json.loads(path.read_text(encoding="utf-8"))
        coefficients: dict[str, float] = raw["coefficients"]
        if tuple(coefficients) != FEATURES:
            raise ConfigurationError(
                f"{path.name} was fitted for other features: run scripts/fit_acceptance.py again"
            )
        return cls(
            embedder=raw["embedder"],
            min_cosine=raw["floor"],
            bound=raw["bound"],
            intercept=raw["intercept"],
            coefficients=tuple(coefficients.values()),
        )

    def probability(self, values: Sequence[float]) -> float:
        """How likely the pair asks the same."""
        logit = self.intercept + sum(
            weight * value for weight, value in zip(self.coefficients, values, strict=True)
        )
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


class _GuardedMatcher(ABC):
    """Refuses below a cosine, texts that the embedder does not see whole, and what a guard vetoes.

    What is left is up to `weigh`.
    """

    def __init__(self, min_cosine: float, covers: Callable[[str], bool]) -> None:
        self.min_cosine = min_cosine
        self._covers = covers
        self._features = functools.lru_cache(_REMEMBERED)(extract_features)

    def decide(self, question: str, candidate: str, cosine: float) -> MatchDecision:
        """See `Matcher.decide`."""
        if not cosine >= self.min_cosine:
            return _refused("cosine", cosine)
        if not (self._covers(question) and self._covers(candidate)):
            return _refused("longer than the embedder sees")
        a, b = self._features(question), self._features(candidate)
        fired = compare(a, b)
        return _refused(", ".join(fired)) if fired else self.weigh(a, b, cosine)

    @abstractmethod
    def weigh(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """Decide on two texts that no guard keeps apart."""


class CosineMatcher(_GuardedMatcher):
    """Accepts from a cosine on, if no guard objects and the texts share content words.

    Args:
        floor: The least cosine.
        covers: Whether the embedder sees the whole of a text; longer texts are refused.
    """

    def weigh(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """See `_GuardedMatcher.weigh`."""
        if overlap(a, b) < _OVERLAP:
            return _refused("words", cosine)
        return MatchDecision(accept=True, score=min(1.0, cosine), reason="cosine")


class FittedMatcher(_GuardedMatcher):
    """Accepts from a fitted probability on, if no guard objects and every word has its partner.

    A static embedder is a bag of words: "return boots" and "return worn boots" lie as near to
    each other as any two phrasings of one question. So a word of weight that stands in one text
    only is never outweighed by a score. A user's own embeddings or `threshold` serve more.

    Args:
        weights: The fit.
        embedder: The static embedder that it was made for.
    """

    def __init__(self, weights: MatcherWeights, embedder: StaticEmbedder) -> None:
        super().__init__(weights.min_cosine, embedder.covers)
        self._weights = weights
        self._embedder = embedder

    def weigh(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """See `_GuardedMatcher.weigh`."""
        if not partnered(a, b):
            return _refused("a word without a partner")
        # A word that stands in both texts needs no vector to find its partner.
        words = _unread if set(a.concepts) == set(b.concepts) else self._word_vectors
        values = features(a, b, cosine, words(a), words(b))
        score = self._weights.probability(values)
        return MatchDecision(accept=score >= self._weights.bound, score=score, reason="score")

    def _word_vectors(self, found: TextFeatures) -> Vectors:
        return self._embedder.word_vectors(found.content_words)


def matcher_for(embedder: Embedder, threshold: float | None = None) -> Matcher:
    """The rule for an embedder; `threshold` is a cosine that replaces it, guards stay on.

    Raises:
        ConfigurationError: the threshold is no cosine above 0.
    """
    if threshold is not None:
        if not 0.0 < threshold <= 1.0:
            raise ConfigurationError(f"threshold is a cosine above 0 and up to 1, not {threshold}")
        return CosineMatcher(threshold, embedder.covers)
    if isinstance(embedder, StaticEmbedder):
        weights = MatcherWeights.read(STATIC_WEIGHTS)
        if weights.embedder == embedder.id:
            return FittedMatcher(weights, embedder)
    name = embedder.id.lower()
    bound = next((bound for family, bound in _BOUNDS if family in name), _BOUND)
    return CosineMatcher(bound, embedder.covers)


def _unread(found: TextFeatures) -> Vectors:
    """Rows for words that nobody will look at."""
    return np.zeros((len(found.content_words), 1), np.float32)


def _refused(reason: str, score: float = 0.0) -> MatchDecision:
    return MatchDecision(accept=False, score=min(1.0, max(0.0, score)), reason=reason)
