"""Words as the search in a text sees them: folded, stemmed, words without a topic set apart.

Used to rank passages, sentences and examples, where a missed likeness costs more than a wrong
one: `stem` takes off derivations too, and irregular forms (`data/irregular_forms.txt`) meet.
Other alphabets are folded only, and scripts written without spaces are cut into pairs of
characters, the usual unit for searching them. For questions that must mean the same, see
`lexicon`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from llm_optimizers.text.word_lists import word_groups, words

__all__ = ["STOPWORDS", "stem", "terms", "topical_terms"]

STOPWORDS = words("stopwords_retrieval")
_WORD = re.compile(r"[^\W_]+(?:['\u2019]s\b)?")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_DERIVED = ("ment", "ness", "ity", "ist", "ism", "ion", "er", "or", "al", "ive", "ous", "ly")


def terms(text: str) -> list[str]:
    """The text's words in order, each folded and stemmed; stopwords included."""
    if text.isascii():
        return [stem(word) for word in _WORD.findall(text)]
    found = _WORD.findall(unicodedata.normalize("NFC", text))
    return [term for word in found for term in _spread(word)]


def topical_terms(text: str) -> list[str]:
    """The text's terms without the stopwords."""
    return [term for term in terms(text) if term not in STOPWORDS]


def _spread(word: str) -> Iterable[str]:
    if len(word) > 1 and _UNSPACED.match(word):
        return (word[at : at + 2] for at in range(len(word) - 1))
    return (stem(word),)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word's folded stem: inflections go always, derivations where five letters remain."""
    folded = _folded(word)
    return _FORMS.get(folded) or _regular(folded)


def _regular(folded: str) -> str:
    if len(folded) <= 3 or not folded.isascii() or not folded.isalpha():
        return folded
    singular = _singular(folded)
    for suffix in ("ing", "ed"):
        base = singular.removesuffix(suffix)
        if base != singular and len(base) >= 3 and re.search("[aeiouy]", base):
            return _finish(base)
    for suffix in _DERIVED:
        if len(singular) - len(suffix) >= 5 and singular.endswith(suffix):
            return _finish(singular[: -len(suffix)])
    return _finish(singular)


def _folded(word: str) -> str:
    if not word.isascii():
        # Before the case is folded: a bold or circled capital is a capital only then.
        decomposed = unicodedata.normalize("NFKD", word)
        word = "".join(c for c in decomposed if not unicodedata.combining(c))
    word = word.casefold()
    return word.removesuffix("'s").removesuffix("\u2019s")


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _finish(stemmed: str) -> str:
    """One spelling for `stopped` and `stop`, `taking` and `take`, `happily` and `happy`."""
    if stemmed[-1] == "e" or (stemmed[-1] == stemmed[-2] and stemmed[-1] not in "lsz"):
        stemmed = stemmed[:-1]
    if len(stemmed) >= 7 and stemmed.endswith("at"):
        stemmed = stemmed[:-2]
    return stemmed[:-1] + "y" if stemmed[-1] == "i" else stemmed


_FORMS = {form: _regular(group[0]) for group in word_groups("irregular_forms") for form in group}
