"""Words and sentences of a text, for every strategy.

splitting.py    blocks (code, JSON, prose), paragraphs, sentences, protected spans
json_values.py  where JSON values begin and end
json_lines.py   files with one JSON value a line
stemming.py     stems, stopwords and language detection
terms.py        terms for finding a topic: `terms`, `topical_terms`
labels/         the labels of prompts (`Question:`, `## Context`), in every language
word_lists.py   reads the lists in data/, one folder a language
"""

from __future__ import annotations

from llm_optimizers.text.json_values import json_spans
from llm_optimizers.text.splitting import (
    Block,
    blocks,
    is_code_line,
    looks_like_code,
    paragraphs,
    protected_spans,
    sentences,
)
from llm_optimizers.text.terms import terms, topical_terms

__all__ = [
    "Block",
    "blocks",
    "is_code_line",
    "json_spans",
    "looks_like_code",
    "paragraphs",
    "protected_spans",
    "sentences",
    "terms",
    "topical_terms",
]
