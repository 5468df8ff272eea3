"""Print the seconds of GPTCache's `get` on SQLite and FAISS as JSON; needs a Python with gptcache.

The embedding is a table look-up, so that only GPTCache itself is timed. Every question asked is
stored, so that every `get` is a hit.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from gptcache import Cache
from gptcache.adapter.api import get, put
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

DIMENSION = 128


def main(questions: list[str], answer: str, repeats: int, folder: str) -> dict[str, float]:
    """Return the median seconds of a `get` and of a `put` on files in `folder`."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((len(questions), DIMENSION)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    vectors = dict(zip(questions, table, strict=True))
    cache = Cache()
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: vectors[text],
        data_manager=get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{folder}/answers.db"),
            VectorBase("faiss", dimension=DIMENSION, index_path=f"{folder}/faiss.index"),
        ),
        similarity_evaluation=SearchDistanceEvaluation(),
    )
    puts = [_timed(lambda q=q: put(q, answer, cache_obj=cache)) for q in questions]
    if get(questions[0], cache_obj=cache) != answer:
        raise SystemExit("gptcache did not return the stored answer")
    gets = [_timed(lambda q=q: get(q, cache_obj=cache)) for _ in range(repeats) for q in questions]
    return {"get": statistics.median(gets), "put": statistics.median(puts)}


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))
