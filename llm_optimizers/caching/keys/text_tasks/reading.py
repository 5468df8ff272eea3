"""The words of a text with their roles, as the word lists in data/ give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from llm_optimizers.text.stemming import ENGLISH, detect_language, stopwords
from llm_optimizers.text.word_lists import languages, read_fields

__all__ = [
    "DATA_PACKAGE",
    "FAR",
    "NEAR",
    "NEXT",
    "Place",
    "Reading",
    "in_no_listed_language",
    "is_english_stopword",
    "is_stopword",
    "may_begin",
    "read",
    "sentences",
    "shortened",
    "words",
]

DATA_PACKAGE = "llm_optimizers.caching.keys.text_tasks"
"""The package whose data/ holds the word lists."""

NEXT, NEAR, FAR = 1, 3, 9
"""Words that may stand between a word and what it refers to."""

Place: TypeAlias = tuple[int, int]
"""Where a phrase stands: the number of its first word, and of the word after its last."""

_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=\s|$)|[\u3002\uff01\uff1f\n]+")
_WORD = re.compile(
    r"[^\s\-\u2010-\u2015.,;:!?()\[\]{}<>\"`*#|/=\u201c-\u201f\u00ab\u00bb\u00bf\u00a1"
    r"\u3000-\u303f\uff00-\uff20]+"
)
_APOSTROPHES = str.maketrans("", "", "'\u2018\u2019")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The roles that one language gives to the `size` words of a text."""

    size: int
    roles: Mapping[str, list[Place]]

    def places(self, role: str) -> list[Place]:
        """Return where words of a role stand, in order."""
        return self.roles.get(role, [])

    def has(self, *roles: str) -> bool:
        """Return whether there is a word of any of the roles."""
        return any(role in self.roles for role in roles)

    def close(
        self, role: str, others: Iterable[str], reach: int, *, behind: bool = False
    ) -> list[Place]:
        """Return the places of a role with a word of the others in reach; `behind` it only."""
        there = [place for other in others for place in self.places(other)]
        return [
            here
            for here in self.places(role)
            if any(_apart(here, each) <= reach and (not behind or each > here) for each in there)
        ]

    def without_limit(self, places: Iterable[Place], *limits: str) -> list[Place]:
        """Return the places that no word of the roles `limits` ("if", "never") stands before."""
        starts = [start for limit in limits for start, _ in self.places(limit)]
        first = min(starts, default=self.size)
        return [place for place in places if place[0] <= first]


def _apart(one: Place, other: Place) -> int:
    """Return how many words lie between two places."""
    return max(other[0] - one[1], one[0] - other[1], 0)


def words(text: str) -> list[str]:
    """Return the lower-case words of a text, without apostrophes, parted at hyphens."""
    if "'" in text or "\u2018" in text or "\u2019" in text:
        text = text.translate(_APOSTROPHES)
    return _WORD.findall(text.lower())


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def shortened(text: str, head: int, tail: int) -> str:
    """Return a long text's start and end."""
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def read(text: str) -> list[Reading]:
    """Return a reading for each language that lists some of the text's words."""
    found, phrases = words(text), _phrases()
    roles: dict[str, dict[str, list[Place]]] = {}
    for start, word in enumerate(found):
        for phrase, language, role in phrases.get(word, ()):
            end = start + len(phrase)
            if found[start:end] == phrase:
                roles.setdefault(language, {}).setdefault(role, []).append((start, end))
    return [Reading(size=len(found), roles=each) for each in roles.values()]


def may_begin(text: str, *roles: str) -> bool:
    """Return whether a text's first word may begin a phrase of one of the roles."""
    first = words(" ".join(text.split(maxsplit=1)[:1]))
    return bool(first) and any(role in roles for _, _, role in _phrases().get(first[0], ()))


def in_no_listed_language(text: str, share: float = 0.0) -> bool:
    """Return whether a text with other letters than English ones is in no listed language.

    More than a `share` of its words must have such letters.
    """
    found = words(text)
    foreign = sum(not word.isascii() and any(map(_is_foreign, word)) for word in found)
    return (
        foreign > share * len(found)
        and 2 * sum(map(is_stopword, found)) < len(found)
        and detect_language(found) == ENGLISH
    )


def is_stopword(word: str) -> bool:
    """Return whether a word is a stopword of any listed language."""
    return word in _every_stopword()


def is_english_stopword(word: str) -> bool:
    """Return whether a word is an English stopword."""
    return word in stopwords(ENGLISH)


def _is_foreign(letter: str) -> bool:
    return letter.isalpha() and not letter.isascii()


@cache
def _every_stopword() -> frozenset[str]:
    return frozenset().union(*map(stopwords, languages()))


@cache
def _phrases() -> Mapping[str, list[tuple[list[str], str, str]]]:
    """Return, by first word, the listed words and phrases, each with its language and role."""
    table: dict[str, list[tuple[list[str], str, str]]] = {}
    for language in languages(DATA_PACKAGE):
        fields = read_fields("words", language, DATA_PACKAGE, separator=",")
        for role, phrases in fields.items():
            for phrase in map(words, phrases):
                table.setdefault(phrase[0], []).append((phrase, language, role))
    return table
