"""Rank passages and their sentences by the probability that they answer a question.

Two linear models over the features in `features`: the first gives each passage a probability, the
second each sentence within its passage. Both are softmax, so nothing depends on the size of a
collection. The height of the passages' scores gives the probability that any of them has the
answer. `scripts/fit_ranking.py` fits two sets of weights: for words alone, and for words with a
user's sentence embedder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import cast

import numpy as np

from llm_optimizers.embeddings import Embed
from llm_optimizers.errors import StoreError
from llm_optimizers.prompts.context.ranking.analysis import (
    Passage,
    PassageTerms,
    QuestionTerms,
    clause_terms,
    passage_terms,
    question_terms,
    term_matches,
)
from llm_optimizers.prompts.context.ranking.clauses import clauses
from llm_optimizers.prompts.context.ranking.features import (
    PASSAGE_FEATURES,
    SENTENCE_FEATURES,
    passage_features,
    sentence_features,
)
from llm_optimizers.prompts.context.ranking.rankings import Floats, Ranking, combined
from llm_optimizers.text.terms import language_of

__all__ = [
    "FeatureMatrices",
    "RankingWeights",
    "add_embedding_similarity",
    "compute_features",
    "log_mean_exp",
    "rank",
]

_RERANKED = 6
"""Maximum passages that are embedded, which takes longer than all other steps."""
_SAMPLED, _SAMPLE = 5, 300
"""Passages, and characters of each, by which the language is detected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMatrices:
    """Features of n passages, shape (n, f), and of each one's m sentences, shape (m, g)."""

    terms: tuple[PassageTerms, ...]
    passages: Floats
    sentences: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingWeights:
    """One weight per feature, in the features' order, for passages and for sentences.

    The second pair is for use with an embedder; its last entries weigh the similarities. An answer
    is in some passage with probability sigmoid(scale * (log-mean-exp of the scores + offset)); by
    default it always is.
    """

    passage: Floats
    sentence: Floats
    passage_meaning: Floats
    sentence_meaning: Floats
    found_scale: float = 1.0
    found_offset: float = math.inf

    @classmethod
    def from_json(cls, fitted: Mapping[str, Mapping[str, Mapping[str, float]]]) -> RankingWeights:
        """Read the weights that `scripts/fit_ranking.py` writes."""
        words, meaning = fitted["words"], fitted["meaning"]
        return cls(
            passage=_in_order(words["passage"], PASSAGE_FEATURES),
            sentence=_in_order(words["sentence"], SENTENCE_FEATURES),
            passage_meaning=_in_order(
                meaning["passage"], (*PASSAGE_FEATURES, "meaning", "best_meaning")
            ),
            sentence_meaning=_in_order(meaning["sentence"], (*SENTENCE_FEATURES, "meaning")),
            found_scale=words["found"]["scale"],
            found_offset=words["found"]["offset"],
        )


def rank(
    question: str,
    passages: Sequence[Passage],
    *,
    parts: Sequence[tuple[str, ...]] | None = None,
    embed: Embed | None = None,
    weights: RankingWeights | None = None,
) -> Ranking:
    """Rank passages and their sentences by how likely they contain the answer to `question`.

    The questions inside a question that asks for several things are ranked one by one and combined.
    With an embedder, the best passages by words are ranked again by words and similarity; their
    probabilities keep their sum, so the other passages' stay. An embedder that knows no word of a
    text (StoreError) is not used. `parts` are the passages' sentences where they are known.
    """
    weights = weights or _shipped()
    language, terms = _read(question, passages, parts)
    whole = question_terms(question, terms, language)
    inside = clauses(question, language, terms)
    features = [
        _features(each, terms) for each in (whole, *(clause_terms(whole, own) for own in inside))
    ]
    found = [_by_words(each, weights) for each in features]
    if embed is not None and terms:
        likely = combined(found[0], found[1:]).passages
        best = np.sort(np.argsort(-likely, kind="stable")[:_RERANKED])
        try:
            asked, own = _embedded([question, *inside], passages, terms, best, embed)
        except StoreError:
            return combined(found[0], found[1:])
        found = [
            _by_meaning(ranking, _with_similarity(each, best, vector, own), best, weights)
            for ranking, each, vector in zip(found, features, asked, strict=True)
        ]
    return combined(found[0], found[1:])


def compute_features(
    question: str,
    passages: Sequence[Passage],
    *,
    parts: Sequence[tuple[str, ...]] | None = None,
) -> FeatureMatrices:
    """Return the features by words; question and passages are read in one language."""
    language, terms = _read(question, passages, parts)
    return _features(question_terms(question, terms, language), terms)


def add_embedding_similarity(
    question: str,
    passages: Sequence[Passage],
    features: FeatureMatrices,
    chosen: Iterable[int],
    embed: Embed,
) -> FeatureMatrices:
    """Return the chosen passages' features with their cosines to the question appended.

    A sentence is embedded with its passage's title in front; a passage is its sentences' mean.
    """
    places = [int(at) for at in chosen]
    asked, own = _embedded([question], passages, features.terms, places, embed)
    return _with_similarity(features, places, asked[0], own)


def _read(
    question: str, passages: Sequence[Passage], parts: Sequence[tuple[str, ...]] | None
) -> tuple[str, tuple[PassageTerms, ...]]:
    """Return the language of question and passages, and the passages' terms."""
    language = language_of([question, *(p.text[:_SAMPLE] for p in passages[:_SAMPLED])])
    return language, tuple(
        passage_terms(p, language, parts[at] if parts else None) for at, p in enumerate(passages)
    )


def _features(asked: QuestionTerms, terms: tuple[PassageTerms, ...]) -> FeatureMatrices:
    pairs = [(each, term_matches(asked, each)) for each in terms]
    rows = [passage_features(asked, each, found) for each, found in pairs]
    return FeatureMatrices(
        terms=terms,
        passages=np.array(rows).reshape(len(terms), len(PASSAGE_FEATURES)),
        sentences=tuple(np.array(sentence_features(asked, each, found)) for each, found in pairs),
    )


def _by_words(features: FeatureMatrices, weights: RankingWeights) -> Ranking:
    scores = features.passages @ weights.passage
    return Ranking(
        passages=_softmax(scores) * _found(scores, weights),
        sentences=tuple(_softmax(rows @ weights.sentence) for rows in features.sentences),
    )


def _by_meaning(
    words: Ranking, chosen: FeatureMatrices, places: Iterable[int], weights: RankingWeights
) -> Ranking:
    """Rank the passages at some places again, by words and similarity."""
    at = np.array(list(places))
    passages, sentences = words.passages.copy(), list(words.sentences)
    passages[at] = passages[at].sum() * _softmax(chosen.passages @ weights.passage_meaning)
    for place, rows in zip(at, chosen.sentences, strict=True):
        sentences[place] = _softmax(rows @ weights.sentence_meaning)
    return Ranking(passages=passages, sentences=tuple(sentences))


def _embedded(
    questions: Sequence[str],
    passages: Sequence[Passage],
    terms: Sequence[PassageTerms],
    places: Iterable[int],
    embed: Embed,
) -> tuple[Floats, list[Floats]]:
    """Return the vectors of q questions, shape (q, d), and of each passage's m sentences."""
    texts = list(questions)
    edges = [len(texts)]
    for at in places:
        texts += [f"{passages[at].title} {sentence}" for sentence in terms[at].sentences]
        edges.append(len(texts))
    vectors = _embed_worded(texts, embed)
    return vectors[: edges[0]], [vectors[a:b] for a, b in pairwise(edges)]


def _with_similarity(
    features: FeatureMatrices, places: Iterable[int], asked: Floats, own: Sequence[Floats]
) -> FeatureMatrices:
    """Append the cosines of a question, shape (d,), and of the sentences of some passages."""
    kept = [int(at) for at in places]
    whole_rows, sentence_rows = [], []
    for at, vectors in zip(kept, own, strict=True):
        cosines = vectors @ asked
        mean = vectors.mean(axis=0)
        cosine = float(mean @ asked) / max(1e-9, float(np.linalg.norm(mean)))
        whole_rows.append([*features.passages[at], cosine, float(cosines.max())])
        sentence_rows.append(np.column_stack([features.sentences[at], cosines]))
    return FeatureMatrices(
        terms=tuple(features.terms[at] for at in kept),
        passages=np.array(whole_rows),
        sentences=tuple(sentence_rows),
    )


def _embed_worded(texts: Sequence[str], embed: Embed) -> Floats:
    """Return one vector per text; a text without a letter or digit gets zeros."""
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


def _found(scores: Floats, weights: RankingWeights) -> float:
    """Return the probability that any passage has the answer.

    It is about the mean of the odds, since each more passage is one more chance of words that
    match by accident.
    """
    if not scores.size or math.isinf(weights.found_offset):
        return 1.0
    height = log_mean_exp(scores) + weights.found_offset
    return 1 / (1 + math.exp(-min(700.0, max(-700.0, weights.found_scale * height))))


def log_mean_exp(scores: Floats) -> float:
    """Return the logarithm of the mean of exp(score), for scores of shape (n,) with n > 0."""
    highest = float(scores.max())
    return highest + math.log(float(np.exp(scores - highest).mean()))


def _in_order(named: Mapping[str, float], names: Sequence[str]) -> Floats:
    return np.array([named[name] for name in names])


@lru_cache(maxsize=1)
def _shipped() -> RankingWeights:
    packed = (
        resources.files("llm_optimizers.prompts.context.ranking")
        .joinpath("ranking.json")
        .read_text("utf-8")
    )
    return RankingWeights.from_json(json.loads(packed))
