"""Answers: which may be stored, what is stored of them, and how they are served.

cacheability.py  which answers may be stored
payloads.py      what an answer holds, as JSON text and back
ids.py           the ids of a served answer: which are new, which stay, which are left out
codec.py         how answers are stored as text
hits.py          served answers, and the metadata that marks them
"""

from llm_optimizers.caching.answers.codec import (
    Codec,
    CodecWithIds,
    JSONCodec,
    decoded,
    with_cacheability,
)
from llm_optimizers.caching.answers.hits import (
    CACHE_HIT,
    CacheResult,
    Hit,
    Tier,
    mark_of,
    reported_by_mark,
    served_by_mark,
    split_for_streaming,
    usage_of_mark,
)
from llm_optimizers.caching.answers.ids import copy_with_new_ids, new_id

__all__ = [
    "CACHE_HIT",
    "CacheResult",
    "Codec",
    "CodecWithIds",
    "Hit",
    "JSONCodec",
    "Tier",
    "copy_with_new_ids",
    "decoded",
    "mark_of",
    "new_id",
    "reported_by_mark",
    "served_by_mark",
    "split_for_streaming",
    "usage_of_mark",
    "with_cacheability",
]
