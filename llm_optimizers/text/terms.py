"""Terms of a text for finding a topic in it: case, accents and word forms merged.

Used to rank passages, sentences and examples, where a missed match costs more than a wrong one.
Scripts written without spaces are split into overlapping parts, the usual units for searching them:
two characters where a character is a syllable, three where it is a letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import chain

from llm_optimizers.memos import of_word
from llm_optimizers.text.stemming import ENGLISH, detect_language, stem, stopwords
from llm_optimizers.text.word_lists import read_groups

__all__ = ["commonness", "is_pair", "language_of", "stop_terms", "terms", "topical_terms"]

_MARKS = (
    "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u0f71-\u0f84\u0f8d-\u0fbc"
    "\u102b-\u103e\u1056-\u109d\u17b4-\u17d3\u3099\u309a"
)
"""Accents and vowel signs of every script: parts of a word that `\\w` does not match."""
_WORD = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*(?:['\u2019]s\b)?")
_ALPHABETS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0ecf\u0edc-\u0edf\u1000-\u103f\u1050-\u109f\u1780-\u17d3"
)
"""Thai, Lao, Burmese and Khmer: written without spaces, in letters and vowel signs."""
_SYLLABLES = (
    "\u3005-\u3007\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Chinese, Japanese and Korean: a character is a syllable or more."""
_RUN = re.compile(
    f"(?P<letters>[{_ALPHABETS}]+)|(?P<syllables>[{_SYLLABLES}]+)|[^{_ALPHABETS}{_SYLLABLES}]+"
)
_PAIR = re.compile(f"[{_SYLLABLES}]{{2}}")
_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff")
)
"""Hyphens, joiners and marks of direction that are not shown; a word may hold some of them."""


def language_of(texts: Iterable[str]) -> str:
    """Return the language of some texts taken together."""
    return detect_language(
        word for text in texts for word in _WORD.findall(_composed(text).lower())
    )


def terms(text: str, language: str | None = None) -> list[str]:
    """Return the terms of a text's words in order, stopwords included.

    Texts that are compared need one `language`; by default it is detected from the text.
    """
    term = _term_of(language or language_of([text]))
    words = _WORD.findall(_composed(text))
    if text.isascii():
        return [term(word) for word in words]
    return [term(part) for word in words for part in _parts(word)]


def topical_terms(text: str, language: str | None = None) -> list[str]:
    """Return the text's terms without those of stopwords."""
    language = language or language_of([text])
    stops = stop_terms(language)
    return [term for term in terms(text, language) if term not in stops]


def is_pair(term: str) -> bool:
    """Return whether a term is two syllables in a row, which may belong to different words."""
    return _PAIR.fullmatch(term) is not None


@cache
def stop_terms(language: str) -> frozenset[str]:
    """Return the terms of the language's stopwords."""
    return frozenset(map(_term_of(language), stopwords(language)))


@cache
def commonness(language: str) -> Mapping[str, int]:
    """Return the rank of the language's common terms, 1 for the most common; English only."""
    ranks: dict[str, int] = {}
    if language == ENGLISH:
        words = chain.from_iterable(read_groups("common_words", ENGLISH))
        for rank, word in enumerate(words, 1):
            ranks.setdefault(_term_of(ENGLISH)(word), rank)
    return ranks


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_INVISIBLE)


def _parts(word: str) -> Iterator[str]:
    """Split a word where its script changes, and a run without spaces into overlapping parts."""
    for run in _RUN.finditer(word):
        size = 3 if run["letters"] else 2 if run["syllables"] else len(run.group())
        text = run.group()
        yield from (text[at : at + size] for at in range(max(1, len(text) - size + 1)))


@cache
def _term_of(language: str) -> Callable[[str], str]:
    return of_word(32_768)(partial(_term, language=language))


def _term(word: str, language: str) -> str:
    """Return a word's stem, without case and accents, irregular forms merged."""
    if not word.isascii():
        # Before the case is folded: a bold or circled capital is a capital only then.
        word = unicodedata.normalize("NFKC", word)
    if len(word) > 2 and word[-1] == "s" and word[:-1].isupper():
        word = word[:-1]  # "CDs": Snowball takes no plural off a word without a vowel
    word = word.casefold().removesuffix("'s").removesuffix("\u2019s")
    if language == ENGLISH:
        word = _irregular_forms().get(word, word)
    stemmed = stem(word, language) or word
    if stemmed.isascii():
        return stemmed
    decomposed = unicodedata.normalize("NFKD", stemmed)
    return "".join(each for each in decomposed if not unicodedata.combining(each)) or stemmed


@cache
def _irregular_forms() -> dict[str, str]:
    groups = read_groups("irregular_forms", ENGLISH)
    return {form: first for first, *forms in groups for form in forms}
