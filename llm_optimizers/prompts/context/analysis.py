"""A question and its passages read once: sentences, terms, weights, and where they meet.

A question's word is worth more the fewer of the passages hold it. A word that none holds is read
as the passages' word it most resembles (Ratcliff and Obershelp's measure). Questions also ask for
a shape of answer: "who" wants a name, "when" a date, "how many" a number, and a sentence without
one cannot answer.
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
from llm_optimizers.text.retrieval import STOPWORDS

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
"""Places within which two words count as near each other."""
_SHORTEST = 5
"""Letters of a word that may be a misspelling."""
_SIMILAR = 0.8

AnswerType: TypeAlias = Literal["name", "date", "number", "open"]

_ASKED: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
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
    """A retrieved text and the title it stands under."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageTerms:
    """A passage read once: its sentences and their terms."""

    sentences: tuple[str, ...]
    words: tuple[list[str], ...]
    title: list[str]

    @property
    def length(self) -> int:
        """Words of the text."""
        return sum(map(len, self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionTerms:
    """A question's words, the weight of each topical one among some passages, and its kind."""

    words: tuple[str, ...]
    kind: AnswerType
    weight: Mapping[str, float]
    bits: Mapping[str, int]
    near: tuple[tuple[str, str], ...]
    bigrams: Set[tuple[str, str]]
    average_length: float

    def share(self, mask: int) -> float:
        """The part of the question's weight that the words of a mask make up."""
        return sum(self.weight[term] for term, bit in self.bits.items() if mask & bit)


@dataclass(frozen=True, slots=True, kw_only=True)
class TermMatches:
    """Where a passage says the question's words: a mask a sentence, places in reading order.

    The title stands first, and `NEAR` empty places part it and the sentences from each other.
    """

    title: int
    sentences: tuple[int, ...]
    positions: Mapping[str, list[int]]
    has_answer: tuple[bool, ...]
    phrases: tuple[Set[tuple[str, str]], ...]


def passage_terms(passage: Passage, cut: tuple[str, ...] | None = None) -> PassageTerms:
    """Cut a passage into sentences (unless that is done) and terms."""
    cut = cut or tuple(sentences(passage.text)) or (passage.text,)
    return PassageTerms(
        sentences=cut,
        words=tuple(terms(sentence) for sentence in cut),
        title=terms(passage.title),
    )


def question_terms(question: str, passages: Sequence[PassageTerms]) -> QuestionTerms:
    """Weigh the question's words by how few of the passages hold them.

    A word that no passage holds is taken for its likeliest misspelling, if there is one.
    """
    vocabularies = [set(p.title).union(*p.words) for p in passages]
    said = terms(question)
    topical = [t for t in dict.fromkeys(said) if t not in STOPWORDS] or list(dict.fromkeys(said))
    unseen = [t for t in topical if not any(t in v for v in vocabularies)]
    meant = corrections(unseen, vocabularies)
    said = [meant.get(t, t) for t in said]
    topical = list(dict.fromkeys(meant.get(t, t) for t in topical))
    rarity: dict[str, float] = {}
    for term in topical:
        count = sum(term in v for v in vocabularies)
        rarity[term] = math.log(1 + (len(passages) - count + 0.5) / (count + 0.5))
    scale = sum(rarity.values()) or 1.0
    spoken = [t for t in said if t in rarity]
    lengths = sum(p.length + 2 * len(p.title) for p in passages)
    return QuestionTerms(
        words=tuple(said),
        kind=answer_type(question),
        weight={t: r / scale for t, r in rarity.items()},
        bits={t: 1 << at for at, t in enumerate(rarity)},
        near=tuple((a, b) for a, b in pairwise(spoken) if a != b),
        bigrams=set(pairwise(said)),
        average_length=max(1.0, lengths / max(1, len(passages))),
    )


def term_matches(asked: QuestionTerms, passage: PassageTerms) -> TermMatches:
    """Find the question's words in a passage."""
    said = set(asked.words)
    positions: dict[str, list[int]] = {}
    masks: list[int] = []
    phrases: list[Set[tuple[str, str]]] = []
    start = 0
    for words in (passage.title, *passage.words):
        mask, pairs = 0, set()
        hits = [(at, word) for at, word in enumerate(words) if word in said]
        for at, word in hits:
            mask |= asked.bits.get(word, 0)
            positions.setdefault(word, []).append(start + at)
        for (at, word), (then, following) in pairwise(hits):
            if then == at + 1 and (word, following) in asked.bigrams:
                pairs.add((word, following))
        masks.append(mask)
        phrases.append(pairs)
        start += len(words) + NEAR
    return TermMatches(
        title=masks[0],
        sentences=tuple(masks[1:]),
        positions=positions,
        has_answer=tuple(has_answer_of_type(asked.kind, s, said) for s in passage.sentences),
        phrases=tuple(phrases),
    )


def answer_type(question: str) -> AnswerType:
    """The shape of answer that the question's own words ask for."""
    for kind, pattern in _ASKED:
        if pattern.search(question):
            return kind
    return "open"


def has_answer_of_type(kind: AnswerType, sentence: str, asked: Collection[str]) -> bool:
    """Whether the sentence holds something of that shape which the question does not already say.

    Always False for an open question, which has no shape to look for.
    """
    if kind == "date":
        return _DATE.search(sentence) is not None
    if kind == "number":
        return _NUMBER.search(sentence) is not None
    if kind == "name":
        return any(
            term not in asked for match in _NAME.finditer(sentence) for term in terms(match.group())
        )
    return False


def corrections(unseen: Iterable[str], vocabularies: Sequence[Set[str]]) -> Mapping[str, str]:
    """For each unseen word that some passage's word resembles, that word.

    They must begin alike and share four fifths of their letters in order (Ratcliff and Obershelp's
    measure), so that a rare word is not taken for a common one.
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
