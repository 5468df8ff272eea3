"""Decide whether a stored question asks the same as a new one: guards first, then a score.

A cosine alone would serve lookalikes, so any guard can veto a pair. A pair that passes is scored:
for the bundled static model by a logistic regression over cosine and word matching, fitted by
scripts/fit_matcher.py; for other embedders by a minimum cosine and a check of the words.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llm_optimizers.arguments import number
from llm_optimizers.caching.keys.questions import only_characters_differ
from llm_optimizers.caching.matching.guards import fired_guards
from llm_optimizers.caching.matching.pair_features import (
    FEATURES,
    overlap,
    pair_features,
    same_words,
)
from llm_optimizers.caching.matching.text_features import TextFeatures, extract_features
from llm_optimizers.embeddings import Embedder, StaticEmbedder
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
_MIN_COSINES = (
    # MiniLM: measured on question pairs. The other two give all pairs of texts cosines above 0.7.
    ("minilm", 0.93),
    ("ada-002", 0.97),
    ("e5-", 0.97),
)
_MIN_COSINE = 0.95
_MIN_OVERLAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchDecision:
    """Whether a stored answer may be served, how sure that is (0 to 1), and why."""

    accept: bool
    score: float
    reason: str


class Matcher(Protocol):
    """Decides which stored questions match."""

    @property
    def min_cosine(self) -> float:
        """The lowest cosine that can be accepted, so that a search may stop there."""

    def decide(
        self,
        question: str,
        candidate: str,
        cosine: float,
        features: Callable[[str], TextFeatures] = extract_features,
    ) -> MatchDecision:
        """Decide on one candidate; never raises on any text. `features` reads both texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherWeights:
    """A logistic regression over `FEATURES`, and the lowest probability that it accepts."""

    embedder: str
    min_cosine: float
    min_probability: float
    intercept: float
    coefficients: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> MatcherWeights:
        """Read the weights that scripts/fit_matcher.py writes.

        Raises:
            ConfigurationError: the file is for other features than this version computes.
        """
        raw = json.loads(path.read_text(encoding="utf-8"))
        coefficients: dict[str, float] = raw["coefficients"]
        if tuple(coefficients) != FEATURES:
            raise ConfigurationError(
                f"{path.name} was fitted for other features: run scripts/fit_matcher.py again"
            )
        return cls(
            embedder=raw["embedder"],
            min_cosine=raw["floor"],
            min_probability=raw["bound"],
            intercept=raw["intercept"],
            coefficients=tuple(coefficients.values()),
        )

    def probability(self, values: Sequence[float]) -> float:
        """Return the probability that a pair with these feature values asks the same."""
        logit = self.intercept + sum(
            weight * value for weight, value in zip(self.coefficients, values, strict=True)
        )
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


class _GuardedMatcher(ABC):
    """Refuses low cosines, texts that the embedder cuts, and what a guard vetoes.

    Other pairs are decided by `score`.
    """

    def __init__(self, min_cosine: float, covers: Callable[[str], bool]) -> None:
        self.min_cosine = min_cosine
        self._covers = covers

    def decide(
        self,
        question: str,
        candidate: str,
        cosine: float,
        features: Callable[[str], TextFeatures] = extract_features,
    ) -> MatchDecision:
        """See `Matcher.decide`."""
        if not cosine >= self.min_cosine:
            return _refused("cosine", cosine)
        if not (self._covers(question) and self._covers(candidate)):
            return _refused("longer than the embedder reads")
        if only_characters_differ(question, candidate):
            return _refused("characters")
        a, b = features(question), features(candidate)
        fired = fired_guards(a, b)
        return _refused(", ".join(fired)) if fired else self.score(a, b, cosine)

    @abstractmethod
    def score(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """Decide on two texts that no guard vetoes."""


class CosineMatcher(_GuardedMatcher):
    """Accepts pairs with a minimum cosine that share content words and pass the guards.

    Args:
        min_cosine: The lowest cosine that is accepted.
        covers: Whether the embedder reads the whole of a text; longer texts are refused.
    """

    def score(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """See `_GuardedMatcher.score`."""
        if overlap(a, b) < _MIN_OVERLAP:
            return _refused("words", cosine)
        return MatchDecision(accept=True, score=min(1.0, cosine), reason="cosine")


class FittedMatcher(_GuardedMatcher):
    """Accepts pairs with a minimum fitted probability, the same content words, and no veto.

    For a static embedder "return boots" and "return worn boots" are as near to each other as two
    phrasings of one question. So a content word that is in one text only always refuses the pair,
    whatever the score. A user's own embeddings or `threshold` serve more.

    Args:
        weights: The fitted weights.
        embedder: The static embedder that they were fitted for.
    """

    def __init__(self, weights: MatcherWeights, embedder: StaticEmbedder) -> None:
        super().__init__(weights.min_cosine, embedder.covers)
        self._weights = weights

    def score(self, a: TextFeatures, b: TextFeatures, cosine: float) -> MatchDecision:
        """See `_GuardedMatcher.score`."""
        if not same_words(a, b):
            return _refused("a word without a partner")
        score = self._weights.probability(pair_features(a, b, cosine))
        return MatchDecision(
            accept=score >= self._weights.min_probability, score=score, reason="score"
        )


def matcher_for(embedder: Embedder, threshold: float | None = None) -> Matcher:
    """Return the matcher for an embedder; a `threshold` replaces its minimum cosine.

    The guards stay on with any threshold.

    Raises:
        ConfigurationError: the threshold is not above 0 and up to 1.
    """
    if threshold is not None:
        number("threshold", threshold, above=0, most=1)
        return CosineMatcher(threshold, embedder.covers)
    if isinstance(embedder, StaticEmbedder):
        weights = MatcherWeights.read(STATIC_WEIGHTS)
        if weights.embedder == embedder.id:
            return FittedMatcher(weights, embedder)
    name = embedder.id.lower()
    lowest = next((cosine for family, cosine in _MIN_COSINES if family in name), _MIN_COSINE)
    return CosineMatcher(lowest, embedder.covers)


def _refused(reason: str, score: float = 0.0) -> MatchDecision:
    return MatchDecision(accept=False, score=min(1.0, max(0.0, score)), reason=reason)
