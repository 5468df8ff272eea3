"""Terms of a text for finding a topic in it: case, accents and word forms merged.

Used to rank passages, sentences and examples, where a missed match costs more than a wrong one.
Scripts written without spaces are cut into pairs of characters, the usual unit for searching them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache, partial

from llm_optimizers.text.stemming import ENGLISH, detect_language, stem, stopwords
from llm_optimizers.text.word_lists import read_groups

__all__ = ["language_of", "stop_terms", "terms", "topical_terms"]

_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
"""Accents and vowel signs, Arabic and Indian: parts of a word that `\\w` does not match."""
_WORD = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*(?:['\u2019]s\b)?")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


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


@cache
def stop_terms(language: str) -> frozenset[str]:
    """Return the terms of the language's stopwords."""
    return frozenset(map(_term_of(language), stopwords(language)))


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _parts(word: str) -> Iterable[str]:
    if len(word) > 1 and _UNSPACED.match(word):
        return (word[at : at + 2] for at in range(len(word) - 1))
    return (word,)


@cache
def _term_of(language: str) -> Callable[[str], str]:
    return lru_cache(maxsize=65_536)(partial(_term, language=language))


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
