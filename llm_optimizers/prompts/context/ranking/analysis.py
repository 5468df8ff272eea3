"""Split a question and its passages into terms, weigh them, and find where they match.

A question's word has more weight the fewer passages contain it, and the rarer it is in English. A
word in no passage is replaced by the passages' most similar word (Ratcliff and Obershelp's
measure). A question also asks for a type of answer: "who" for a name, "when" for a date, "how many"
for a number; a sentence without one cannot answer it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal, TypeAlias

from llm_optimizers.text import sentences, terms
from llm_optimizers.text.terms import commonness, is_pair, stop_terms

__all__ = [
    "NEAR",
    "AnswerType",
    "Passage",
    "PassageTerms",
    "QuestionTerms",
    "TermMatches",
    "answer_type",
    "corrections",
    "has_answer_of_type",
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

_ZIPF = 10.0
"""Times that the most common word of a language stands in a text of a hundred words."""
_UNLISTED = 0.001
"""Share of such texts with a word that is not among the common ones."""

AnswerType: TypeAlias = Literal["name", "date", "number", "open"]

_ANSWER_TYPES: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
    ("date", re.compile(r"\bwhen\b|\b(what|which) (year|date|month|day|century|decade)\b", re.I)),
    (
        "number",
        re.compile(
            r"\bhow (many|much|long|old|tall|far|big|large|high|fast|often|deep)\b"
            r"|\b(what|which) (percent\w*|number|population|age|amount|speed|proportion)\b",
            re.I,
        ),
    ),
    (
        "name",
        re.compile(
            r"\b(who|whose|whom|where)\b"
            r"|\b(what|which) (city|country|state|place|county|river|region|person|team)\b",
            re.I,
        ),
    ),
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d{2})s?\b|\bcentur(?:y|ies)\b|\b(?:January|February|March|April|May|June|July"
    r"|August|September|October|November|December)\b"
)
_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty"
    r"|fifty|hundred|thousand|million|billion|dozen|half|third|percent)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[\w,;)'\"] )[A-Z\u00c0-\u00de][\w'\u2019.-]+|\b[A-Z][\w'-]+ [A-Z][\w'-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved text and its title."""

    text: str
    title: str = ""


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
    `near` holds neighbouring topical words, `bigrams` all neighbouring words.
    """

    language: str
    words: tuple[str, ...]
    answer_type: AnswerType
    weight: Mapping[str, float]
    bits: Mapping[str, int]
    near: tuple[tuple[str, str], ...]
    bigrams: Set[tuple[str, str]]
    average_length: float

    def share(self, mask: int) -> float:
        """Return the sum of the weights of the words in a mask."""
        return sum(self.weight[term] for term, bit in self.bits.items() if mask & bit)


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
        answer_type=answer_type(question),
        weight={t: r / scale for t, r in rarity.items()},
        bits={t: 1 << at for at, t in enumerate(rarity)},
        near=tuple((a, b) for a, b in pairwise(weighted) if a != b),
        bigrams=set(pairwise(words)),
        average_length=max(1.0, lengths / max(1, len(passages))),
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


def answer_type(question: str) -> AnswerType:
    """Return the type of answer that the question's words ask for."""
    for kind, pattern in _ANSWER_TYPES:
        if pattern.search(question):
            return kind
    return "open"


def has_answer_of_type(
    kind: AnswerType, sentence: str, asked: Collection[str], language: str = "english"
) -> bool:
    """Return whether a sentence contains a possible answer of that type.

    A name must have a word that is not one of `asked`, the question's terms. Always False for an
    open question.
    """
    if kind == "date":
        return _DATE.search(sentence) is not None
    if kind == "number":
        return _NUMBER.search(sentence) is not None
    if kind == "name":
        return any(
            term not in asked
            for match in _NAME.finditer(sentence)
            for term in terms(match.group(), language)
        )
    return False


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
