"""Which passages, and which of their sentences, are likely to answer a question.

Two small linear models over the features of `features`: the first spreads one unit of
probability over the passages, the second spreads each passage's share over its sentences (both
softmax, so nothing depends on the scale of a collection). `scripts/fit_ranking.py` fits the
weights; one set is for words alone and one for words with a user's sentence embedder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import Embed
from llm_optimizers.prompts.context.analysis import (
    Passage,
    PassageTerms,
    passage_terms,
    question_terms,
    term_matches,
)
from llm_optimizers.prompts.context.features import (
    PASSAGE_FEATURES,
    SENTENCE_FEATURES,
    passage_features,
    sentence_features,
)
from llm_optimizers.text.terms import language_of

__all__ = [
    "FeatureMatrices",
    "Ranking",
    "RankingWeights",
    "add_embedding_similarity",
    "compute_features",
    "rank",
]

_SECOND_LOOK = 6
"""Passages ranked again by meaning: embedding takes longer than all the rest."""
_SAMPLED, _SAMPLE = 5, 300
"""Passages, and characters of each, by which the language is detected."""

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMatrices:
    """Features of n passages: shape (n, f), and for each passage of its m sentences, (m, g)."""

    reads: tuple[PassageTerms, ...]
    passages: Floats
    sentences: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The probability that the answer is in each passage, shape (n,), and in each sentence.

    A passage's sentence probabilities sum to one; `cut` holds the sentences themselves.
    """

    passages: Floats
    sentences: tuple[Floats, ...]
    cut: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingWeights:
    """One weight a feature, in the features' order, for passages and for sentences.

    The second pair also weighs likeness in meaning, its last entries.
    """

    passage: Floats
    sentence: Floats
    passage_meaning: Floats
    sentence_meaning: Floats

    @classmethod
    def from_json(cls, fitted: Mapping[str, Mapping[str, Mapping[str, float]]]) -> RankingWeights:
        """Read what `scripts/fit_ranking.py` writes."""
        words, meaning = fitted["words"], fitted["meaning"]
        return cls(
            passage=_in_order(words["passage"], PASSAGE_FEATURES),
            sentence=_in_order(words["sentence"], SENTENCE_FEATURES),
            passage_meaning=_in_order(
                meaning["passage"], (*PASSAGE_FEATURES, "meaning", "best_meaning")
            ),
            sentence_meaning=_in_order(meaning["sentence"], (*SENTENCE_FEATURES, "meaning")),
        )


def rank(
    question: str,
    passages: Sequence[Passage],
    *,
    cut: Sequence[tuple[str, ...]] | None = None,
    embed: Embed | None = None,
    weights: RankingWeights | None = None,
) -> Ranking:
    """Rank passages and their sentences by how likely they hold the answer to `question`.

    With an embedder, the passages that rank best by words are ranked again by words and meaning;
    together they keep the probability they had, so the others' need no second look. `cut` gives
    the passages' sentences where they are known.
    """
    measured = compute_features(question, passages, cut=cut)
    weights = weights or _shipped()
    whole = _softmax(measured.passages @ weights.passage)
    within = [_softmax(m @ weights.sentence) for m in measured.sentences]
    if embed is not None and len(whole):
        best = np.sort(np.argsort(-whole, kind="stable")[:_SECOND_LOOK])
        closer = add_embedding_similarity(question, passages, measured, best, embed)
        whole[best] = whole[best].sum() * _softmax(closer.passages @ weights.passage_meaning)
        for at, features in zip(best, closer.sentences, strict=True):
            within[at] = _softmax(features @ weights.sentence_meaning)
    return Ranking(
        passages=whole,
        sentences=tuple(within),
        cut=tuple(r.sentences for r in measured.reads),
    )


def compute_features(
    question: str,
    passages: Sequence[Passage],
    *,
    cut: Sequence[tuple[str, ...]] | None = None,
) -> FeatureMatrices:
    """The features of words that `rank` weighs."""
    language = language_of([question, *(p.text[:_SAMPLE] for p in passages[:_SAMPLED])])
    reads = tuple(
        passage_terms(p, cut[at] if cut else None, language) for at, p in enumerate(passages)
    )
    asked = question_terms(question, reads, language)
    seen = [term_matches(asked, r) for r in reads]
    rows = [passage_features(asked, r, s) for r, s in zip(reads, seen, strict=True)]
    return FeatureMatrices(
        reads=reads,
        passages=np.array(rows).reshape(len(reads), len(PASSAGE_FEATURES)),
        sentences=tuple(
            np.array(sentence_features(asked, r, s)) for r, s in zip(reads, seen, strict=True)
        ),
    )


def add_embedding_similarity(
    question: str,
    passages: Sequence[Passage],
    measured: FeatureMatrices,
    chosen: Iterable[int],
    embed: Embed,
) -> FeatureMatrices:
    """The chosen passages' features and, after them, their likeness to the question in meaning.

    A sentence is embedded under its passage's title; a passage is its sentences' mean.
    """
    places = [int(at) for at in chosen]
    reads = tuple(measured.reads[at] for at in places)
    texts = [question]
    for at, each in zip(places, reads, strict=True):
        texts += [f"{passages[at].title} {sentence}" for sentence in each.sentences]
    vectors = _embedded(texts, embed)
    wholes, nested, start = [], [], 1
    for at, each in zip(places, reads, strict=True):
        own = vectors[start : start + len(each.sentences)]
        start += len(each.sentences)
        alike = own @ vectors[0]
        mean = own.mean(axis=0)
        likeness = float(mean @ vectors[0]) / max(1e-9, float(np.linalg.norm(mean)))
        wholes.append([*measured.passages[at], likeness, float(alike.max())])
        nested.append(np.column_stack([measured.sentences[at], alike]))
    return FeatureMatrices(reads=reads, passages=np.array(wholes), sentences=tuple(nested))


def _embedded(texts: Sequence[str], embed: Embed) -> Floats:
    """One vector a text; a text without a word, which no model can place, gets zeros."""
    worded = [at for at, text in enumerate(texts) if any(map(str.isalnum, text))]
    if not worded:
        return np.zeros((len(texts), 1))
    found = np.asarray(embed([texts[at] for at in worded]), dtype=np.float64)
    vectors = np.zeros((len(texts), found.shape[1]))
    vectors[worded] = found
    return vectors


def _softmax(scores: Floats) -> Floats:
    if not scores.size:
        return scores
    raised = np.exp(scores - scores.max())
    return cast("Floats", raised / raised.sum())


def _in_order(named: Mapping[str, float], names: Sequence[str]) -> Floats:
    return np.array([named[name] for name in names])


@lru_cache(maxsize=1)
def _shipped() -> RankingWeights:
    packed = (
        resources.files("llm_optimizers.prompts.context")
        .joinpath("ranking.json")
        .read_text("utf-8")
    )
    return RankingWeights.from_json(json.loads(packed))
