"""A cache of model answers: exact and semantic matches, each hit labelled with its kind.

cache.py          ResponseCache, which the frameworks' caches are built on
plan.py           the steps of a cached call and a write
lookups.py        the steps of a lookup
ownership.py      which stored row may answer a request
executor.py       runs those steps against a store, an index, an embedder, a call in flight
keys.py           cache keys: which requests are the same, and the scope of a semantic match
ids.py            the ids of a served answer: which are new, which stay, which are left out
single_flight.py  identical concurrent calls are made once
pacing.py         streams that say whether their reader or their provider is slow
options.py        options of one call: a fresh answer, a check before storing
refusals.py       a refused answer is never served again
run_tree.py       which answers a framework's failed runs refuse
sampling.py       which requests ask for samples, whose calls are never merged
cacheability.py   which answers may be stored
answers.py        hits, their metadata, and the codec protocol for answers
payloads.py       what an answer holds, as JSON text and back
stats.py          counters, and warnings logged once
stores/           where entries are stored: in memory, in an SQLite file
text_tasks/       requests to work on a text, which are matched exactly only
matching/         whether two questions ask the same thing
"""

from __future__ import annotations

from llm_optimizers.caching.answers import CacheResult, Codec, Hit
from llm_optimizers.caching.cache import ResponseCache
from llm_optimizers.caching.cacheability import Cacheability, reason_not_to_cache
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
