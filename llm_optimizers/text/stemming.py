"""Stems and stopwords of a text's words, in the language it is written in.

The stems are Snowball's (https://snowballstem.org). Its classes in Python are used even where
PyStemmer is installed, which has its own version of the algorithms: fitted weights depend on the
stems, so the stems must not depend on what else is installed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from llm_optimizers.memos import of_word
from llm_optimizers.text.word_lists import languages, read_words

__all__ = ["ENGLISH", "detect_language", "inflection_stem", "lowercase", "stem", "stopwords"]

ENGLISH = "english"
_LATIN_END = "\u036f"
_SCRIPTS = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0531", "\u058f", "armenian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
)
"""The first and last letter of each other script, and the language it is stemmed as."""
_OTHER_SCRIPTS = frozenset(language for _, _, language in _SCRIPTS)
_LONGEST = 200
"""Characters of the longest word that has a stem."""
_EVIDENCE = 2
"""Different stopwords, none of them English, that a text needs to count as another language."""
_INFLECTIONS = frozenset(["", "s", "es", "e", "d", "ed", "ing", "y", "ies", "ied", "ying"])
_BASES = (("ies", "y"), ("es", ""), ("s", ""), ("ing", "e"), ("ed", "e"))
"""Endings, and what stands for them in the word without its inflection: "activating"."""


def lowercase(text: str) -> str:
    """Return the text in lower case, each letter on its own.

    `str.lower` writes a sigma by its neighbours, so a quoted word could differ from the same word
    in its sentence. `casefold` merges words: "Maße" (sizes) and "Masse" (mass).
    """
    return text.lower().replace("\u03c2", "\u03c3")


def stopwords(language: str) -> frozenset[str]:
    """Return the language's words that say nothing about a topic; none for an unlisted language."""
    return _all_stopwords().get(language, frozenset())


def detect_language(words: Iterable[str]) -> str:
    """Return the language that most of the lower-case words are stopwords of; English if unsure."""
    words, by_word = list(words), _languages_by_stopword()
    foreign = _foreign_stopwords().intersection(words)
    if len(foreign) < _EVIDENCE:
        return ENGLISH
    counts = Counter(language for word in words for language in by_word.get(word, ()))
    evidence = Counter(language for word in foreign for language in by_word[word])
    best = max(counts, key=lambda each: (counts[each], each))
    return best if counts[best] > counts[ENGLISH] and evidence[best] >= _EVIDENCE else ENGLISH


@of_word(32_768)
def stem(word: str, language: str = ENGLISH) -> str:
    """Return a lower-case word without its inflections and derivations.

    `language` decides for words in Latin letters; other scripts have one stemmer each, or none.
    What is too long for a word (a key, data) stays as it is: a stemmer takes minutes for it.
    """
    stemmer = None if len(word) > _LONGEST else _stemmer(_language_of(word, language))
    # A stemmer keeps the word it works on: each call makes its own, so threads need no lock.
    return str(stemmer().stemWord(word)) if stemmer else word


@of_word(16_384)
def inflection_stem(word: str) -> str:
    """Return an English word without its inflections: "payments" gives "payment", not "pay".

    For texts that must mean the same: "developer" and "development" have one stem but differ.
    Of a word whose stem lost more than an inflection, only that inflection is taken off.
    """
    if not word.isascii():
        return word
    stemmed = stem(word)
    ending = word[_shared_start(word, stemmed) :]
    if len(ending) > 2 and ending[0] == stemmed[-1:]:
        ending = ending[1:]  # "stopped": the doubled letter is part of the inflection
    if ending in _INFLECTIONS:
        return stemmed
    for ending, base in _BASES:
        shorter = word.removesuffix(ending) + base
        if shorter != word and word.endswith(ending) and stem(shorter) == stemmed:
            return inflection_stem(shorter)
    return word


def _shared_start(a: str, b: str) -> int:
    """Return how many characters two words have in common at their start."""
    pairs = zip(a, b, strict=False)
    return next((at for at, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def _language_of(word: str, language: str) -> str:
    """Return the language to stem a word as, or "" for none."""
    first = word[:1]
    if first <= _LATIN_END:
        return ENGLISH if language in _OTHER_SCRIPTS else language
    return next((name for start, end, name in _SCRIPTS if start <= first <= end), "")


@cache
def _stemmer(language: str) -> Any:
    """Return Snowball's class for a language, None for a language without one."""
    if not language:
        return None
    # Imported when first used: the package loads all its languages at once.
    module = import_module(f"snowballstemmer.{language}_stemmer")
    return getattr(module, f"{language.title()}Stemmer")


@cache
def _all_stopwords() -> Mapping[str, frozenset[str]]:
    return {language: read_words("stopwords", language) for language in languages()}


@cache
def _languages_by_stopword() -> Mapping[str, tuple[str, ...]]:
    by_word: dict[str, tuple[str, ...]] = {}
    for language, listed in _all_stopwords().items():
        for word in listed:
            by_word[word] = (*by_word.get(word, ()), language)
    return by_word


@cache
def _foreign_stopwords() -> frozenset[str]:
    return frozenset(_languages_by_stopword()) - stopwords(ENGLISH)
