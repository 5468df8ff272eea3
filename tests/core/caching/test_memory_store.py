"""What is particular to entries in memory."""

from __future__ import annotations

from llm_optimizers.caching.stores import MemoryStore
from llm_optimizers.caching.stores.protocol import Entry


def test_saving_one_key_for_ever_takes_no_more_room() -> None:
    store = MemoryStore(10_000)
    for number in range(1_000):
        store.save(
            Entry(
                key="k",
                normalised="n",
                scope="s",
                tenant="",
                question=None,
                payload=str(number),
                vector=None,
                created=float(number),
                expires=None,
            )
        )
    assert len(store._heap) < 100
