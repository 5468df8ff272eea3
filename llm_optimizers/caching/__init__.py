"""Answers to repeated questions: exact and semantic, and honest about which.

    keys.py        what makes two requests the same, and the scope of a question
    tenancy.py     whose request it is
    embedders.py   questions as vectors: the bundled static model or the user's own
    guards.py      lookalikes that ask something else
    scoring.py     when two questions count as the same
    admission.py   which answers are worth keeping
    visible.py     settings by content, so that they can be part of a key
    answers.py     what is served, and how an adapter writes it down
    fresh.py       served copies with ids of their own
    plans.py       the one way through: look up, answer, keep
    shell.py       performs the plans' effects on a store, an index and an embedder
    flights.py     identical calls under way at once are one call
    entries.py     what is kept, and the protocols of store and index
    stores/        in memory, or in an SQLite file
    index.py       nearest questions by FAISS
    cache.py       ResponseCache: all of it together

Start with `ResponseCache`; the frameworks' components are built on it.
"""

from __future__ import annotations

from llm_optimizers.caching.answers import Answer, Codec, Hit
from llm_optimizers.caching.cache import ResponseCache
from llm_optimizers.caching.cacheability import Traits, refuses
from llm_optimizers.caching.stats import CacheStats
from llm_optimizers.caching.tenancy import Namespace, tenant

__all__ = [
    "Answer",
    "CacheStats",
    "Codec",
    "Hit",
    "Namespace",
    "ResponseCache",
    "Traits",
    "refuses",
    "tenant",
]
