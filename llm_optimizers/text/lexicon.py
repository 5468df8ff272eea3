"""English words as the matching of questions sees them: negators, synonyms, phrases, stems.

Used by the cache's guards and features, where a wrong merge serves a wrong answer: `stem` takes
off inflections only, and what is not listed is left to the score. The lists are `data/*.txt`.
For the topic of a text, where recall counts, see `retrieval`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from llm_optimizers.text.word_lists import word_groups, words

__all__ = ["CONCEPTS", "NEGATORS", "PHRASES", "SOFT_NEGATORS", "STOPWORDS", "folded", "stem"]


def folded(text: str) -> str:
    """The text in lower case, each letter by itself: a part's form stands in the whole's form.

    `lower` alone writes a sigma by what stands around it, so a quoted word may differ from the
    same word in its sentence. `casefold` merges words: "Maße" (sizes) and "Masse" (mass).
    """
    return text.lower().replace("\u03c2", "\u03c3")


@functools.lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A lower-case English word without its commonest endings; other words unchanged."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    if word.endswith("y") and len(word) > 3:
        word = word[:-1] + "i"
    return word


STOPWORDS = words("stopwords_matching")
NEGATORS = words("negators")
SOFT_NEGATORS = frozenset(map(stem, words("soft_negators")))
"""Stems of words that say something goes wrong."""

CONCEPTS: Mapping[str, str] = {
    stem(word): stem(group[0]) for group in word_groups("synonyms") for word in group
}
"""Stem → the stem that stands for its synonyms."""

PHRASES: Mapping[str, str] = {
    phrase: group[0] for group in word_groups("phrases") for phrase in group[1:]
}
"""Phrase → the one word that stands for it."""
