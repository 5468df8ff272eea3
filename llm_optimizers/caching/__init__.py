"""A cache of model answers: exact and semantic matches, each hit labelled with its kind.

In the order of a request:

cache.py      ResponseCache, which the frameworks' caches are built on
options.py    options of one call: a fresh answer, a check before storing
keys/         which requests are the same, and which may be matched by meaning
plan.py       the steps of a cached call and a write
lookups.py    the steps of a lookup
stores/       where entries are stored: in memory, in an SQLite file
memo.py       what was computed from the texts of entries, kept as long as they are
matching/     whether two questions ask the same thing
ownership.py  which stored row may answer a request
in_flight/    identical calls at the same time are made once
answers/      which answers may be stored, and how they are stored and served
refusals/     a refused answer is never served again
drivers.py    runs the plans with the adapter's call: sync, async, as a stream
executor.py   performs their steps on a store, an index, an embedder, a call in flight
watching.py   skips what keeps failing, and announces that it fails or works again
stats.py      counters, and warnings logged once
misses.py     why misses could not have been hits by meaning
"""

from __future__ import annotations

from llm_optimizers.caching.answers import CacheResult, Codec, Hit
from llm_optimizers.caching.answers.cacheability import Cacheability, reason_not_to_cache
from llm_optimizers.caching.cache import ResponseCache
from llm_optimizers.caching.options import CallOptions
from llm_optimizers.caching.refusals import GivenAnswer
from llm_optimizers.caching.stats import CacheStats
from llm_optimizers.freshness import fresh_answers
from llm_optimizers.lazy import lazy_names
from llm_optimizers.tenancy import Namespace, tenant

__all__ = [
    "CacheResult",
    "CacheStats",
    "Cacheability",
    "CallOptions",
    "Codec",
    "GivenAnswer",
    "Hit",
    "Namespace",
    "ResponseCache",
    "fresh_answers",
    "reason_not_to_cache",
    "tenant",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    renamed={"Answer": "CacheResult", "Traits": "Cacheability", "refuses": "reason_not_to_cache"},
)
