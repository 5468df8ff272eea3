"""Features of a passage and of a sentence for a question, by their words.

Most are shares of the question's weight or other ratios near [0, 1], so that they mean the same
in any collection and domain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llm_optimizers.prompts.context.ranking.analysis import (
    NEAR,
    PassageTerms,
    QuestionTerms,
    TermMatches,
)
from llm_optimizers.text.terms import stop_terms

__all__ = [
    "PASSAGE_FEATURES",
    "SENTENCE_FEATURES",
    "passage_features",
    "sentence_features",
]

PASSAGE_FEATURES = (
    "bm25",  # with the title counted twice
    "coverage",  # share of the question's weight found in title or text
    "title_coverage",
    "title_named",  # share of the title's words that are in the question
    "proximity",  # question's neighbouring words found near one another, in order
    "phrases",  # share of the question's word pairs, stopwords too, found side by side
    "best_sentence",  # coverage of the best sentence with the title
    "best_pair",  # coverage of the best two sentences in a row
    "best_answering",  # coverage of the best sentence, less without the type of answer asked for
    "has_answer_shape",
    "density",  # weighted occurrences, at most four per word
    "words_found",  # unweighted share of the question's words
    "log_length",
)
SENTENCE_FEATURES = (
    "coverage",
    "coverage_with_title",
    "coverage_before",
    "coverage_after",
    "has_answer_shape",
    "shape_and_coverage",
    "first",
    "last",
    "log_length",
    "behind_best",  # how much less it covers than the best sentence of its passage
    "best",
    "after_best",
    "before_best",
    "phrases",
)

_K1, _B = 1.2, 0.75


def passage_features(
    question: QuestionTerms, passage: PassageTerms, found: TermMatches
) -> list[float]:
    """Return one value for each of `PASSAGE_FEATURES`."""
    everywhere = found.title
    for mask in found.sentences:
        everywhere |= mask
    best = [question.share(mask | found.title) for mask in found.sentences]
    nexts = found.sentences[1:] or found.sentences
    stops = stop_terms(question.language)
    named = [t for t in passage.title if t not in stops]
    length = passage.length
    counts = {t: len(found.positions.get(t, ())) for t in question.weight}
    pairs = question.bigrams and len(set().union(*found.phrases)) / len(question.bigrams)
    return [
        _bm25(question, passage, counts, found.title),
        question.share(everywhere),
        question.share(found.title),
        sum(t in question.words for t in named) / len(named) if named else 0.0,
        _proximity(question, found, everywhere),
        float(pairs or 0.0),
        max(best),
        max(question.share(a | b) for a, b in zip(found.sentences, nexts, strict=False)),
        max(b * (1.0 if s else 0.3) for b, s in zip(best, found.has_answer, strict=True)),
        float(any(found.has_answer)),
        sum(w * min(counts[t], 4) for t, w in question.weight.items()),
        everywhere.bit_count() / max(1, len(question.weight)),
        math.log(20 + length),
    ]


def sentence_features(
    question: QuestionTerms, passage: PassageTerms, found: TermMatches
) -> list[list[float]]:
    """Return, for each sentence of the passage, one value for each of `SENTENCE_FEATURES`."""
    covers = [question.share(mask) for mask in found.sentences]
    best, last = max(covers), len(covers) - 1
    rows = []
    for at, cover in enumerate(covers):
        titled = question.share(found.sentences[at] | found.title)
        before = covers[at - 1] if at else 0.0
        after = covers[at + 1] if at < last else 0.0
        phrases = len(found.phrases[at + 1]) / len(question.bigrams) if question.bigrams else 0.0
        rows.append(
            [
                cover,
                titled,
                before,
                after,
                float(found.has_answer[at]),
                titled * found.has_answer[at],
                float(at == 0),
                float(at == last),
                math.log(5 + len(passage.words[at])),
                best - cover,
                float(cover == best),
                float(at > 0 and before == best),
                float(at < last and after == best),
                phrases,
            ]
        )
    return rows


def _bm25(
    question: QuestionTerms, passage: PassageTerms, counts: Mapping[str, int], title: int
) -> float:
    norm = 1 - _B + _B * (passage.length + 2 * len(passage.title)) / question.average_length
    score = 0.0
    for term, weight in question.weight.items():
        count = counts[term] + bool(title & question.bits[term])
        score += weight * count / (count + _K1 * norm)
    return score


def _proximity(question: QuestionTerms, found: TermMatches, everywhere: int) -> float:
    total = sum(question.weight[a] + question.weight[b] for a, b in question.near)
    if not total:
        return question.share(everywhere)
    weight = 0.0
    for a, b in question.near:
        behind = found.positions.get(b)
        if behind and _follows(found.positions.get(a, ()), behind):
            weight += question.weight[a] + question.weight[b]
    return weight / total


def _follows(first: Sequence[int], then: Sequence[int]) -> bool:
    """Return whether a position of `then` is at most `NEAR` after one of `first`; both ascend."""
    at = 0
    for place in first:
        while at < len(then) and then[at] <= place:
            at += 1
        if at < len(then) and then[at] - place <= NEAR:
            return True
    return False
