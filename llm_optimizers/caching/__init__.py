"""Answers to repeated questions: exact and semantic, and honest about which.

cache.py          ResponseCache, all of it together; the frameworks' caches are built on it
plan.py           the one way through: look up, answer, keep
executor.py       how the plans reach a store, an index, an embedder, a call under way
keys.py           what makes two requests the same, and the scope of a question
single_flight.py  identical calls under way at once are one call
cacheability.py   which answers are worth keeping
answers.py        what is served: the hit, its mark, how an adapter writes it down
stats.py          what is counted, and said aloud once
stores/           where entries are kept: in memory, in an SQLite file
matching/         whether two questions ask the same
"""

from __future__ import annotations

from llm_optimizers.caching.answers import CacheResult, Codec, Hit
from llm_optimizers.caching.cache import ResponseCache
from llm_optimizers.caching.cacheability import Cacheability, reason_not_to_cache
from llm_optimizers.caching.stats import CacheStats
from llm_optimizers.lazy import lazy_names
from llm_optimizers.tenancy import Namespace, tenant

__all__ = [
    "CacheResult",
    "CacheStats",
    "Cacheability",
    "Codec",
    "Hit",
    "Namespace",
    "ResponseCache",
    "reason_not_to_cache",
    "tenant",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    renamed={"Answer": "CacheResult", "Traits": "Cacheability", "refuses": "reason_not_to_cache"},
)
