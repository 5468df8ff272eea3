"""The questions inside a question that asks for several things.

Ranked as one bag of words, the half with the rarer words takes most of the weight, and the passage
that answers the other half is lost. So each is ranked alone: "Which port does Ado use, and who
wrote Bel?" asks two questions, and so does "Which ports do Ado and Bel use?". Words that say how
questions are joined are in data/<language>/questions.txt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

from llm_optimizers.prompts.context.ranking.analysis import PassageTerms
from llm_optimizers.prompts.context.ranking.words import (
    PUNCTUATION,
    WORD,
    QuestionWords,
    question_words,
)
from llm_optimizers.text import terms, topical_terms

__all__ = ["clauses"]

_LONGEST = 1_000
"""Characters up to which a question is read; a longer text is more than a question."""
_MOST = 4
"""Clauses up to which each is ranked alone."""
_FEWEST = 2
"""Topical words of a clause that can be ranked alone."""
_ENDS = (";", "?")


def clauses(question: str, language: str, passages: Sequence[PassageTerms] = ()) -> tuple[str, ...]:
    """Return the questions inside a question; none if it asks for one thing.

    Of two things that are asked about together, each clause leaves out one; they are one thing if
    a passage has them side by side ("rock and roll").
    """
    fields = question_words(language)
    if fields is None or len(question) > _LONGEST:
        return ()
    words = WORD.findall(question)
    plain = [word.strip(PUNCTUATION).lower() for word in words]
    parts = _merged(words, [*_starts(words, plain, fields), len(words)], language)
    if len(parts) > _MOST:
        return ()
    if len(parts) > 1:
        return tuple(_text(words, own) for own in parts)
    return next(_apart(words, plain, fields, language, passages), ())


def _starts(words: Sequence[str], plain: Sequence[str], fields: QuestionWords) -> Iterator[int]:
    """Yield the positions at which a new question begins."""
    yield 0
    for at, word in enumerate(words[:-1]):
        joins = at and plain[at] in fields["joins"] and _asks(plain[at + 1 : at + 3], fields)
        if joins or word.endswith(_ENDS):
            yield at + 1


def _asks(words: Sequence[str], fields: QuestionWords) -> bool:
    """Return whether words begin a question."""
    first, *others = words
    return (
        first in fields["asks"]
        or first in fields["verbs"]
        or (first in fields["before"] and not fields["asks"].isdisjoint(others))
    )


def _merged(words: Sequence[str], edges: Sequence[int], language: str) -> list[Set[int]]:
    """Return the positions of each clause's words; a clause of few words is part of another."""
    parts: list[set[int]] = [set()]
    for start, end in pairwise(edges):
        own = set(range(start, end))
        few = len(_topics(words, own, language)) < _FEWEST
        if few or len(_topics(words, parts[-1], language)) < _FEWEST:
            parts[-1] |= own
        else:
            parts.append(own)
    return list(parts)


def _apart(
    words: Sequence[str],
    plain: Sequence[str],
    fields: QuestionWords,
    language: str,
    passages: Sequence[PassageTerms],
) -> Iterator[tuple[str, ...]]:
    """Yield, for each pair of things that are asked about, the question for one and the other."""
    everything = set(range(len(words)))
    for at in range(1, len(words) - 1):
        if plain[at] not in fields["pairs"]:
            continue
        first, second = _pair(plain, at, fields)
        one, other = (set(_topics(words, own, language)) for own in (first, second))
        if not (one - other and other - one):
            continue
        phrase = terms(" ".join(words[at - 1 : at + 2]), language)
        if not any(_has(own, phrase) for each in passages for own in each.words):
            yield tuple(_text(words, everything - {at} - own) for own in (second, first))


def _pair(plain: Sequence[str], at: int, fields: QuestionWords) -> tuple[Set[int], Set[int]]:
    """Return the positions of the things before and after a joining word.

    Two that begin with the same word ("of … and of …") begin there, and the second ends with the
    question; of others it is one word each.
    """
    opening = plain[at + 1]
    if opening not in fields["opens"]:
        return {at - 1}, {at + 1}
    before = (place for place in range(at - 1, 0, -1) if plain[place] == opening)
    return set(range(next(before, at - 1), at)), set(range(at + 1, len(plain)))


def _has(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Return whether words contain a phrase; each place of its first word is tried."""
    at = -1
    for _ in range(words.count(phrase[0]) if phrase else 0):
        at = words.index(phrase[0], at + 1)
        if list(words[at : at + len(phrase)]) == list(phrase):
            return True
    return False


def _topics(words: Sequence[str], places: Set[int], language: str) -> Sequence[str]:
    return topical_terms(_text(words, places), language)


def _text(words: Sequence[str], places: Set[int]) -> str:
    return " ".join(words[at] for at in sorted(places))
