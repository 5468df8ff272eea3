"""The index of a store's vectors."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pytest

from llm_optimizers.caching.matching.index import FaissIndex
from llm_optimizers.caching.stores import MemoryStore
from llm_optimizers.caching.stores.protocol import Entry, VectorRows


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


@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize(
    "damaged",
    [
        unit(1, 0, 0),
        unit(1),
        np.array([1000, 1000], np.float32),
        np.array([0, 0], np.float32),
        np.array([3e38, 3e38], np.float32),
        np.array([np.nan, 1], np.float32),
        np.array([np.inf, 1], np.float32),
        np.array([], np.float32),
    ],
    ids=str,
)
def test_a_damaged_vector_leaves_out_its_own_row_and_is_reported_once(
    damaged: Any, position: str
) -> None:
    store, reported = MemoryStore(), []
    index = FaissIndex(store, reported.append)
    for key in ("damaged", "good") if position == "first" else ("good", "damaged"):
        save(store, key, damaged if key == "damaged" else unit(1, 0.5))
    assert keys(index, unit(1, 0)) == ["good"]
    index.clear()
    assert keys(index, unit(1, 0)) == ["good"]
    assert len(reported) == 1


def test_a_question_of_another_length_finds_nothing() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    save(store, "a", unit(1, 0))
    assert keys(index, unit(1, 0, 0)) == []


def test_rows_that_another_index_removed_do_not_hide_the_others() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    for number in range(40):
        save(store, str(number), unit(1, number / 1000))
    save(store, "kept", unit(0, 1))
    assert "kept" not in keys(index, unit(1, 0))
    store.delete([str(number) for number in range(40)])
    assert keys(index, unit(1, 0)) == ["kept"]
    store.clear()
    assert keys(index, unit(1, 0)) == []
    save(store, "new", unit(1, 0))
    assert keys(index, unit(1, 0)) == ["new"]


def test_an_index_follows_a_store_whose_content_was_replaced() -> None:
    """Sequences that mean other entries, also without a new generation, are noticed."""
    store, other = MemoryStore(), MemoryStore()
    for key in "ab":
        save(store, key, unit(1, 0))
    for key in "cde":
        save(other, key, unit(1, 0))

    class Replaced(MemoryStore):
        content = store

        def vectors(self, after: int, generation: int = 0) -> VectorRows:
            return self.content.vectors(after, generation)

        def stored(self, sequences: Collection[int]) -> Mapping[int, str]:
            return self.content.stored(sequences)

    replaced = Replaced()
    index = FaissIndex(replaced)
    assert sorted(keys(index, unit(1, 0))) == ["a", "b"]
    replaced.content = other
    assert sorted(keys(index, unit(1, 0))) == ["c", "d", "e"]


def test_an_index_full_of_evicted_entries_is_rebuilt() -> None:
    read: list[int] = []

    class Watched(MemoryStore):
        def vectors(self, after: int, generation: int = 0) -> VectorRows:
            found = super().vectors(after, generation)
            if after == 0:
                read.clear()  # the index starts again from an empty one
            read.append(len(found.rows))
            return found

    store = Watched(10)
    index = FaissIndex(store)
    for number in range(3_000):
        save(store, str(number), unit(1, number), scope="not searched")
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


def test_a_search_that_could_take_long_is_not_made_at_once() -> None:
    store = MemoryStore()
    index = FaissIndex(store)
    index.warm_up()
    for number in range(500):
        save(store, f"without a vector {number}", None)
    save(store, "first", unit(1, 0))
    assert index.search_at_once("s", unit(1, 0), 1) == index.search("s", unit(1, 0), 1)
    for number in range(300):
        save(store, f"new {number}", unit(0, 1))
    assert index.search_at_once("s", unit(1, 0), 1) is None
    assert keys(index, unit(1, 0), k=1) == ["first"]
    assert index.search_at_once("s", unit(1, 0), 1) is not None


def test_a_search_at_once_does_not_wait_for_another_thread() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def vectors(self, after: int, generation: int = 0) -> VectorRows:
            reading.set()
            go_on.wait(20)
            return super().vectors(after, generation)

    index = FaissIndex(Slow())
    thread = threading.Thread(target=index.search, args=("s", unit(1, 0), 1))
    thread.start()
    assert reading.wait(20)
    assert index.search_at_once("s", unit(1, 0), 1) is None
    go_on.set()
    thread.join()
