"""Misspelt words of a question, read as the passages' word they most resemble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import SequenceMatcher

__all__ = ["mended"]

_SHORTEST = 5
_SIMILAR = 0.8


def mended(unseen: Iterable[str], vocabularies: Sequence[Set[str]]) -> Mapping[str, str]:
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
