"""Split a question and its passages into terms, weigh them, and find where they match.

A question's word has more weight the fewer passages contain it, and the rarer it is in English. A
word in no passage is replaced by the passages' most similar word (Ratcliff and Obershelp's
measure).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import pairwise

from llm_optimizers.arguments import fields
from llm_optimizers.prompts.context.ranking.answers import (
    AnswerType,
    answer_type,
    has_answer_of_type,
)
from llm_optimizers.text import sentences, terms
from llm_optimizers.text.terms import commonness, is_pair, stop_terms

__all__ = [
    "NEAR",
    "Passage",
    "PassageTerms",
    "QuestionTerms",
    "TermMatches",
    "clause_terms",
    "corrections",
    "passage_terms",
    "question_terms",
    "term_matches",
]

NEAR = 4
"""The maximum number of positions between two words that count as near each other."""
_SHORTEST = 5
"""Letters from which a word may be a misspelling."""
_SIMILAR = 0.8
_UNSEEN_PAIR = 0.25
"""Share of its weight that a pair of syllables in no passage has: it is seldom a word, but the end
of one and the start of the next, and would weigh most of all."""

_OTHERS = 0.1
"""How much of its weight a word keeps in the clauses that it is not in."""
_ZIPF = 10.0
"""Times that the most common word of a language stands in a text of a hundred words."""
_UNLISTED = 0.001
"""Share of such texts with a word that is not among the common ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved text and its title."""

    text: str
    title: str = ""

    def __post_init__(self) -> None:
        fields(self, {"text": str, "title": str})


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageTerms:
    """A passage's sentences, the terms of each, and the terms of its title."""

    sentences: tuple[str, ...]
    words: tuple[list[str], ...]
    title: list[str]

    @property
    def length(self) -> int:
        """The number of words in the text."""
        return sum(map(len, self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionTerms:
    """A question's words and answer type, and the weights of its topical words.

    The weights sum to 1. Each topical word has one of the `bits`, so that a mask is a set of them.
    `near` holds neighbouring topical words, `bigrams` all neighbouring words. `corrected` maps
    misspelt words to those of the passages.
    """

    language: str
    words: tuple[str, ...]
    answer_type: AnswerType
    weight: Mapping[str, float]
    bits: Mapping[str, int]
    near: tuple[tuple[str, str], ...]
    bigrams: Set[tuple[str, str]]
    average_length: float
    corrected: Mapping[str, str]
    _shares: dict[int, float] = field(init=False, default_factory=dict, repr=False, compare=False)

    def share(self, mask: int) -> float:
        """Return the sum of the weights of the words in a mask."""
        known = self._shares.get(mask)
        if known is None:
            known = sum(self.weight[term] for term, bit in self.bits.items() if mask & bit)
            self._shares[mask] = known
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class TermMatches:
    """Where a passage contains the question's words.

    `title` and `sentences` are masks of the words found; `has_answer` and `phrases` (the bigrams
    found) have one entry a sentence, `phrases` also a first one for the title. `positions` count
    words from the title on, with `NEAR` empty positions between title and sentences.
    """

    title: int
    sentences: tuple[int, ...]
    positions: Mapping[str, list[int]]
    has_answer: tuple[bool, ...]
    phrases: tuple[Set[tuple[str, str]], ...]


def passage_terms(
    passage: Passage, language: str, parts: tuple[str, ...] | None = None
) -> PassageTerms:
    """Split a passage into sentences (or use the given `parts`) and terms."""
    parts = parts or tuple(sentences(passage.text)) or (passage.text,)
    return PassageTerms(
        sentences=parts,
        words=tuple(terms(sentence, language) for sentence in parts),
        title=terms(passage.title, language),
    )


def question_terms(question: str, passages: Sequence[PassageTerms], language: str) -> QuestionTerms:
    """Weigh the question's words: the rarer one is here and in its language, the more it weighs.

    A word in no passage is replaced by the passages' most similar word, if one is similar enough.
    """
    vocabularies = [set(p.title).union(*p.words) for p in passages]
    words, stops = terms(question, language), stop_terms(language)
    topical = [t for t in dict.fromkeys(words) if t not in stops] or list(dict.fromkeys(words))
    unseen = [t for t in topical if not any(t in v for v in vocabularies)]
    corrected = corrections(unseen, vocabularies)
    words = [corrected.get(t, t) for t in words]
    topical = list(dict.fromkeys(corrected.get(t, t) for t in topical))
    rarity: dict[str, float] = {}
    for term in topical:
        count = sum(term in v for v in vocabularies)
        here = math.log(1 + (len(passages) - count + 0.5) / (count + 0.5))
        if not count and is_pair(term):
            here *= _UNSEEN_PAIR
        rarity[term] = here * _rarity_in_language(term, language)
    scale = sum(rarity.values()) or 1.0
    weighted = [t for t in words if t in rarity]
    lengths = sum(p.length + 2 * len(p.title) for p in passages)
    return QuestionTerms(
        language=language,
        words=tuple(words),
        answer_type=answer_type(question, language),
        weight={t: r / scale for t, r in rarity.items()},
        bits={t: 1 << at for at, t in enumerate(rarity)},
        near=tuple((a, b) for a, b in pairwise(weighted) if a != b),
        bigrams=set(pairwise(words)),
        average_length=max(1.0, lengths / max(1, len(passages))),
        corrected=corrected,
    )


def clause_terms(question: QuestionTerms, clause: str) -> QuestionTerms:
    """Return the terms of a question with the weight on the words of one of its clauses.

    The other words keep a little of theirs: they say what the clause is about.
    """
    language = question.language
    words = [question.corrected.get(t, t) for t in terms(clause, language)]
    weight = {t: w * (1 if t in words else _OTHERS) for t, w in question.weight.items()}
    scale = sum(weight.values()) or 1.0
    weighted = [t for t in words if t in weight]
    return replace(
        question,
        answer_type=answer_type(clause, language),
        weight={t: w / scale for t, w in weight.items()},
        near=tuple((a, b) for a, b in pairwise(weighted) if a != b),
        bigrams=set(pairwise(words)),
    )


def term_matches(question: QuestionTerms, passage: PassageTerms) -> TermMatches:
    """Find the question's words in a passage."""
    wanted = set(question.words)
    positions: dict[str, list[int]] = {}
    masks: list[int] = []
    phrases: list[Set[tuple[str, str]]] = []
    start = 0
    for words in (passage.title, *passage.words):
        mask, pairs = 0, set()
        found = [(at, word) for at, word in enumerate(words) if word in wanted]
        for at, word in found:
            mask |= question.bits.get(word, 0)
            positions.setdefault(word, []).append(start + at)
        for (at, word), (then, following) in pairwise(found):
            if then == at + 1 and (word, following) in question.bigrams:
                pairs.add((word, following))
        masks.append(mask)
        phrases.append(pairs)
        start += len(words) + NEAR
    return TermMatches(
        title=masks[0],
        sentences=tuple(masks[1:]),
        positions=positions,
        has_answer=tuple(
            has_answer_of_type(question.answer_type, s, wanted, question.language)
            for s in passage.sentences
        ),
        phrases=tuple(phrases),
    )


def corrections(unseen: Iterable[str], vocabularies: Sequence[Set[str]]) -> Mapping[str, str]:
    """Map each unseen word to the passages' most similar word, if one is similar enough.

    Both must have the same first letter and a similarity of more than 0.8 (Ratcliff and
    Obershelp's measure), so that a rare word is not mistaken for a common one.
    """
    found: dict[str, str] = {}
    for term in unseen:
        if len(term) < _SHORTEST:
            continue
        likely = {
            word
            for vocabulary in vocabularies
            for word in vocabulary
            if word[0] == term[0] and abs(len(word) - len(term)) <= 2
        }
        closest = _closest(term, sorted(likely))
        if closest is not None:
            found[term] = closest
    return found


def _rarity_in_language(term: str, language: str) -> float:
    """Return the logarithm of how few texts of a hundred words contain a term, by Zipf's law.

    The passages are too few to show that "back" or "give" is common everywhere.
    """
    rank = commonness(language).get(term)
    share = 1 - math.exp(-_ZIPF / rank) if rank else 0.0
    return math.log(1 + 1 / (share + _UNLISTED))


def _closest(term: str, words: Iterable[str]) -> str | None:
    matcher = SequenceMatcher(b=term, autojunk=False)
    best, closest = _SIMILAR, None
    for word in words:
        matcher.set_seq1(word)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, closest = ratio, word
    return closest
