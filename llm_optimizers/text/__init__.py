"""Words and texts, as every strategy reads them.

    splitting.py    blocks (code, JSON, prose), paragraphs, sentences, protected spans
    retrieval.py    words for finding a topic: `terms`, `topical_terms`, a stemmer that merges much
    lexicon.py      words for telling questions apart: a stemmer that merges little, negators,
                    synonyms, phrases
    word_lists.py   reads the lists in data/

Each of `retrieval` and `lexicon` has its own `stem` and `STOPWORDS`: import those from there.
"""

from __future__ import annotations

from llm_optimizers.text.retrieval import terms, topical_terms
from llm_optimizers.text.splitting import Block, blocks, paragraphs, protected_spans, sentences

__all__ = [
    "Block",
    "blocks",
    "paragraphs",
    "protected_spans",
    "sentences",
    "terms",
    "topical_terms",
]
