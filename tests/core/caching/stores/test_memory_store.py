"""The memory store: what differs from other stores."""

from __future__ import annotations

import tracemalloc

from llm_optimizers.caching.stores import MemoryStore
from llm_optimizers.caching.stores.protocol import Entry


def test_saving_one_key_again_and_again_takes_no_more_memory() -> None:
    store = MemoryStore(10_000)
    entry = Entry(
        key="k",
        normalised="n",
        scope="s",
        tenant="",
        question=None,
        payload="p",
        vector=None,
        created=1.0,
        expires=None,
    )

    def bytes_after(saves: int) -> int:
        for _ in range(saves):
            store.save(entry)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = bytes_after(1_000)
        assert bytes_after(10_000) - before < 50_000
    finally:
        tracemalloc.stop()
