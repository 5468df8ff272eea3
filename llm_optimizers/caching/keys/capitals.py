"""Capitals that may make another word: US, kB, 5 Mb, dQw4w9WgXcQ, x.com/Ab."""

from __future__ import annotations

from collections.abc import Sequence

from llm_optimizers.caching.keys.characters import END_MARKS

__all__ = ["in_small_letters", "may_differ_in_case"]

_ENDS_SENTENCE = (*END_MARKS, "\u3002", ":", ";")
_ABBREVIATION = 5
"""Letters of the longest abbreviation that keeps its capitals."""

_TIMES = ("AM", "PM")
"""Two letters behind a number that mean the same in small ones."""
_NO_UNIT = "eyr"
"""Second letters of common words after an M: "Me", "My", "Mr"."""


def in_small_letters(words: Sequence[str]) -> str | None:
    """Return a text's words in small letters, apart from capitals that may matter.

    None if two of its words differ in case only, so that it may be about that; the first word of a
    sentence has a capital anyway.
    """
    kept, inner = [], set()
    before = END_MARKS
    for word in words:
        is_kept = _is_abbreviation(word) or _has_own_case(word, before)
        kept.append(word if is_kept else word.lower())
        if not before.endswith(_ENDS_SENTENCE):
            inner.add((word, kept[-1]))
        before = word
    return None if len({same for _, same in inner}) < len(inner) else " ".join(kept)


def may_differ_in_case(word: str, other: str, before: str) -> bool:
    """Return whether two forms of one word, behind the same one, may be the same word.

    As abbreviations and names may be: "api" is "API", but "Co" is not "CO".
    """
    if word.lower() != other.lower() or word.startswith(("-", "+")):
        return False
    if _has_own_case(word, before) or _has_own_case(other, before):
        return False
    return len(word) > 3 or word.islower() or other.islower()


def _is_abbreviation(word: str) -> bool:
    return word.isupper() and 1 < len(word) <= _ABBREVIATION


def _has_own_case(word: str, before: str) -> bool:
    """Return whether a word is written as units, symbols, ids and addresses are."""
    if word.islower() or not word[:1]:
        return False
    if len(word) == 1:
        return before[-1:].isdigit() or not (word.isascii() or before.endswith(_ENDS_SENTENCE))
    if len(word) == 2 and before[-1:].isdigit():
        return word not in _TIMES
    if word.isupper():
        return False
    if len(word) == 2:
        return word[0].islower() or (_may_be_mega(word) and not _begins_sentence(before))
    inner = not word[1:].islower() and not word.isdigit()
    return inner and any(each.isdigit() or each == "/" for each in word)


def _may_be_mega(word: str) -> bool:
    """Return whether two letters may be a unit that is another one in small letters: "Mm"."""
    return word[0] == "M" and word[1] not in _NO_UNIT


def _begins_sentence(before: str) -> bool:
    return not before or before.endswith(_ENDS_SENTENCE)
