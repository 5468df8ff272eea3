"""What is measured of a passage and of a sentence against a question: lexical features.

All are shares of the question's weight or other ratios near [0, 1], so that they mean the same
in any collection and any domain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llm_optimizers.prompts.context.analysis import NEAR, PassageTerms, QuestionTerms, TermMatches
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
    "title_named",  # share of the title's words that the question says
    "proximity",  # question's neighbouring words found near one another, in order
    "phrases",  # question's word pairs, stopwords too, found side by side
    "best_sentence",  # coverage of the best sentence with the title
    "best_pair",  # coverage of the best two sentences in a row
    "best_answering",  # coverage of the best sentence that has the asked shape of answer
    "has_answer_shape",
    "density",  # occurrences, at most four a word
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


def passage_features(asked: QuestionTerms, passage: PassageTerms, seen: TermMatches) -> list[float]:
    """One value for each of `PASSAGE_FEATURES`."""
    everywhere = seen.title
    for mask in seen.sentences:
        everywhere |= mask
    best = [asked.share(mask | seen.title) for mask in seen.sentences]
    nexts = seen.sentences[1:] or seen.sentences
    stops = stop_terms(asked.language)
    named = [t for t in passage.title if t not in stops]
    length = passage.length
    counts = {t: len(seen.positions.get(t, ())) for t in asked.weight}
    pairs = asked.bigrams and len(set().union(*seen.phrases)) / len(asked.bigrams)
    return [
        _bm25(asked, passage, counts, seen.title),
        asked.share(everywhere),
        asked.share(seen.title),
        sum(t in asked.words for t in named) / len(named) if named else 0.0,
        _proximity(asked, seen, everywhere),
        float(pairs or 0.0),
        max(best),
        max(asked.share(a | b) for a, b in zip(seen.sentences, nexts, strict=False)),
        max(b * (1.0 if s else 0.3) for b, s in zip(best, seen.has_answer, strict=True)),
        float(any(seen.has_answer)),
        sum(w * min(counts[t], 4) for t, w in asked.weight.items()),
        everywhere.bit_count() / max(1, len(asked.weight)),
        math.log(20 + length),
    ]


def sentence_features(
    asked: QuestionTerms, passage: PassageTerms, seen: TermMatches
) -> list[list[float]]:
    """For each sentence of the passage, one value for each of `SENTENCE_FEATURES`."""
    covers = [asked.share(mask) for mask in seen.sentences]
    best, last = max(covers), len(covers) - 1
    rows = []
    for at, cover in enumerate(covers):
        titled = asked.share(seen.sentences[at] | seen.title)
        before = covers[at - 1] if at else 0.0
        after = covers[at + 1] if at < last else 0.0
        phrases = len(seen.phrases[at + 1]) / len(asked.bigrams) if asked.bigrams else 0.0
        rows.append(
            [
                cover,
                titled,
                before,
                after,
                float(seen.has_answer[at]),
                titled * seen.has_answer[at],
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
    asked: QuestionTerms, passage: PassageTerms, counts: Mapping[str, int], title: int
) -> float:
    norm = 1 - _B + _B * (passage.length + 2 * len(passage.title)) / asked.average_length
    score = 0.0
    for term, weight in asked.weight.items():
        count = counts[term] + bool(title & asked.bits[term])
        score += weight * count / (count + _K1 * norm)
    return score


def _proximity(asked: QuestionTerms, seen: TermMatches, everywhere: int) -> float:
    total = sum(asked.weight[a] + asked.weight[b] for a, b in asked.near)
    if not total:
        return asked.share(everywhere)
    found = 0.0
    for a, b in asked.near:
        behind = seen.positions.get(b)
        if behind and _follows(seen.positions.get(a, ()), behind):
            found += asked.weight[a] + asked.weight[b]
    return found / total


def _follows(first: Sequence[int], then: Sequence[int]) -> bool:
    """Whether any place of `then` comes within reach after a place of `first`; both ascend."""
    at = 0
    for place in first:
        while at < len(then) and then[at] <= place:
            at += 1
        if at < len(then) and then[at] - place <= NEAR:
            return True
    return False
