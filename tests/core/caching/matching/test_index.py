"""The index of a store's vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_optimizers.caching.matching.index import FaissIndex
from llm_optimizers.caching.stores import MemoryStore
from llm_optimizers.caching.stores.protocol import Entry, VectorRow


def unit(*values: float) -> Any:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def save(store: MemoryStore, key: str, vector: Any, scope: str = "s") -> None:
    store.save(
        Entry(
            key=key,
            normalised=None,
            scope=scope,
            tenant="",
            question=key,
            payload="",
            vector=vector,
            created=0.0,
            expires=None,
        )
    )


def keys(index: FaissIndex, vector: Any, scope: str = "s", k: int = 5) -> list[str]:
    return [key for key, _ in index.search(scope, vector, k)]


def test_the_nearest_of_the_scope_come_first() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    assert keys(index, unit(1, 0)) == []
    save(store, "far", unit(0, 1))
    save(store, "near", unit(1, 0.1))
    save(store, "elsewhere", unit(1, 0), scope="other")
    assert keys(index, unit(1, 0)) == ["near", "far"]
    assert keys(index, unit(1, 0), k=1) == ["near"]
    (_, cosine), *_ = index.search("s", unit(1, 0.1), 1)
    assert abs(cosine - 1) < 1e-6


def test_a_replaced_vector_is_found_at_its_new_place() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    save(store, "a", unit(1, 0))
    save(store, "b", unit(0, 1))
    assert keys(index, unit(1, 0), k=1) == ["a"]
    save(store, "a", unit(0, 1))
    assert index.search("s", unit(1, 0), 5)[0][1] < 0.1
    index.discard("a")
    index.discard("unknown")
    assert keys(index, unit(1, 0)) == ["b"]
    index.discard("b")
    assert keys(index, unit(1, 0)) == []
    save(store, "c", unit(1, 0))
    assert keys(index, unit(1, 0)) == ["c"]


def test_vectors_of_another_length_or_not_of_unit_length_are_left_out() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    save(store, "good", unit(1, 0.5))
    save(store, "long", unit(1, 0, 0))
    save(store, "huge", np.array([1000, 1000], np.float32))
    save(store, "nan", np.array([np.nan, 1], np.float32))
    assert keys(index, unit(1, 0)) == ["good"]
    assert keys(index, unit(1, 0, 0)) == []


def test_an_index_full_of_evicted_entries_is_rebuilt() -> None:
    read: list[int] = []

    class Watched(MemoryStore):
        def vectors(self, after: int) -> list[VectorRow]:
            rows = list(super().vectors(after))
            if after == 0:
                read.clear()  # the index starts again from an empty one
            read.append(len(rows))
            return rows

    store = Watched(10)
    index = FaissIndex(store)
    for number in range(3_000):
        save(store, str(number), unit(1, number))
        if number % 10 == 0:
            index.search("s", unit(1, 0), 1)
    assert 0 < sum(read) <= 1_200


def test_a_cleared_index_reads_the_store_again() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    save(store, "a", unit(1, 0))
    save(store, "b", unit(1, 0))
    keys(index, unit(1, 0))
    store.delete(["a"])
    index.clear()
    assert keys(index, unit(1, 0)) == ["b"]
