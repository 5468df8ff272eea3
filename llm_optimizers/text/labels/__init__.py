"""The labels by which prompts mark a question, an answer, context and instructions.

labels.py  lines that are labels, and what they are for
data/      the words of labels, one folder a language
"""

from __future__ import annotations

from llm_optimizers.text.labels.labels import (
    ANSWERS,
    ASKS,
    Label,
    LabelledLine,
    Words,
    is_word,
    labelled_lines,
    labels,
    split,
    words_for,
)

__all__ = [
    "ANSWERS",
    "ASKS",
    "Label",
    "LabelledLine",
    "Words",
    "is_word",
    "labelled_lines",
    "labels",
    "split",
    "words_for",
]
