"""The words by which questions are read, from data/<language>/questions.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

from llm_optimizers.text.word_lists import languages, read_fields

__all__ = ["PUNCTUATION", "WORD", "QuestionWords", "question_words"]

PUNCTUATION = ".,;:?!\"'()[]*"
"""What may stand around a word."""
WORD = re.compile(r"\S+")
_PACKAGE = "llm_optimizers.prompts.context.ranking"

QuestionWords: TypeAlias = Mapping[str, frozenset[str]]
"""The words of each field; data/README.md describes them."""


@cache
def question_words(language: str) -> QuestionWords | None:
    """Return the words of a language's questions; None if there is no list for it."""
    if language not in languages(_PACKAGE):
        return None
    fields = read_fields("questions", language, _PACKAGE)
    return {name: frozenset(words) for name, words in fields.items()}
