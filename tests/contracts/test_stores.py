"""The contract of the cache's stores, tested on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_optimizers.caching.stores import MemoryStore, SQLiteStore
from llm_optimizers.caching.stores.protocol import Entry, Store
from llm_optimizers.costs import Usage

Make = Callable[[int], Store]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """A function that makes an empty store with the given capacity."""
    made: list[Store] = []

    def maker(capacity: int) -> Store:
        path = tmp_path / f"{len(made)}.sqlite"
        store: Store = (
            MemoryStore(capacity) if request.param == "memory" else SQLiteStore(path, capacity)
        )
        made.append(store)
        return store

    yield maker
    for store in made:
        store.close()


def entry(key: str, **fields: Any) -> Entry:
    defaults: dict[str, Any] = {
        "normalised": None,
        "scope": "s",
        "tenant": "",
        "question": None,
        "payload": f"answer {key}",
        "vector": None,
        "created": 1.0,
        "expires": None,
    }
    return Entry(key=key, **{**defaults, **fields})


def unit(*values: float) -> Any:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def kept(store: Store, *keys: str) -> set[str]:
    return {key for key in keys if store.fetch(key) is not None}


def test_an_entry_is_returned_unchanged(make: Make) -> None:
    store = make(10)
    saved = entry(
        "k",
        normalised="n",
        tenant="t",
        question="Wo ist ‘Köln’?",
        expires=9.5,
        model="gpt-4o",
        usage=Usage(input_tokens=3, output_tokens=4, cache_read_tokens=1),
    )
    store.save(saved)
    assert store.fetch("k") == saved
    assert store.fetch("missing") is None
    assert len(store) == 1


def test_vectors_are_returned_bit_for_bit(make: Make) -> None:
    store = make(10)
    store.save(entry("k", vector=unit(0.1, 0.2, 0.3)))
    found = store.fetch("k")
    assert found is not None
    assert found.vector is not None
    assert found.vector.tobytes() == unit(0.1, 0.2, 0.3).tobytes()


def test_the_newest_of_a_normalised_key_is_served(make: Make) -> None:
    store = make(10)
    store.save(entry("a", normalised="n"))
    store.save(entry("b", normalised="n"))
    for expected, gone in (("b", "b"), ("a", "a")):
        found = store.fetch("missing", "n")
        assert found is not None
        assert found.key == expected
        store.delete([gone])
    assert store.fetch("missing", "n") is None


def test_saving_again_replaces(make: Make) -> None:
    store = make(10)
    store.save(entry("k", normalised="old"))
    store.save(entry("k", payload="new", normalised="new"))
    found = store.fetch("k")
    assert found is not None
    assert found.payload == "new"
    assert store.fetch("missing", "old") is None
    assert len(store) == 1


def test_all_hits_count_for_eviction(make: Make) -> None:
    store = make(2)
    store.save(entry("often"))
    store.save(entry("late"))
    for moment in range(3):
        store.touch("often", float(moment))
    store.touch("late", 9.0)
    store.touch("missing", 9.0)
    store.save(entry("new", created=10.0))
    assert kept(store, "often", "late", "missing", "new") == {"often", "new"}


def test_the_least_used_entry_is_evicted_first(make: Make) -> None:
    store = make(3)
    for key in "abc":
        store.save(entry(key))
    store.touch("a", 2.0)
    store.touch("c", 2.0)
    store.save(entry("d", created=3.0))
    assert kept(store, *"abcd") == {"a", "c", "d"}
    assert len(store) == 3


def test_among_equally_used_entries_the_oldest_is_evicted_first(make: Make) -> None:
    store = make(2)
    store.save(entry("a", created=2.0))
    store.save(entry("b", created=1.0))
    store.save(entry("c", created=3.0))
    assert kept(store, *"abc") == {"a", "c"}


def test_entries_that_were_popular_once_are_evicted_in_the_end(make: Make) -> None:
    store = make(2)
    store.save(entry("popular"))
    for _ in range(5):
        store.touch("popular", 1.0)
    for number in range(20):
        store.save(entry(f"n{number}", created=2.0 + number))
    assert kept(store, "popular") == set()
    assert len(store) == 2


def test_the_capacity_is_never_exceeded(make: Make) -> None:
    store = make(1)
    for key in "abcde":
        store.save(entry(key))
        assert len(store) == 1
    assert kept(store, *"abcde") == {"e"}


def test_deleting_ignores_unknown_keys(make: Make) -> None:
    store = make(10)
    store.save(entry("a"))
    store.save(entry("b"))
    store.delete(["a", "missing"])
    store.delete([])
    assert kept(store, "a", "b") == {"b"}


def test_clearing_removes_one_tenant_or_all(make: Make) -> None:
    store = make(10)
    store.save(entry("a", tenant="ann", normalised="n"))
    store.save(entry("b", tenant="bob"))
    store.save(entry("c"))
    store.clear("ann")
    assert kept(store, *"abc") == {"b", "c"}
    store.clear()
    assert len(store) == 0


def test_vectors_are_listed_once_in_order(make: Make) -> None:
    store = make(10)
    store.save(entry("a", vector=unit(1, 0)))
    store.save(entry("plain"))
    store.save(entry("b", vector=unit(0, 1), scope="other"))
    found = store.vectors(0)
    assert [(row.key, row.scope) for row in found.rows] == [("a", "s"), ("b", "other")]
    last = found.rows[-1].sequence
    assert not store.vectors(last, found.generation).rows
    store.save(entry("a", vector=unit(1, 1)))
    (again,) = store.vectors(last, found.generation).rows
    assert again.key == "a"
    assert again.sequence > last
    assert [row.key for row in store.vectors(0).rows] == ["b", "a"]


def test_a_reader_that_knows_another_generation_gets_all_vectors(make: Make) -> None:
    store = make(10)
    store.save(entry("a", vector=unit(1, 0)))
    found = store.vectors(0)
    assert [row.key for row in store.vectors(99, found.generation + 1).rows] == ["a"]
    assert store.vectors(0, found.generation).generation == found.generation


def test_the_rows_still_stored_are_named_by_their_sequence(make: Make) -> None:
    store = make(10)
    for key in "abc":
        store.save(entry(key, vector=unit(1, 0)))
    sequences = {row.key: row.sequence for row in store.vectors(0).rows}
    store.delete(["b"])
    store.save(entry("c", vector=unit(1, 0)))
    assert store.stored(list(sequences.values())) == {sequences["a"]: "a"}
    assert not store.stored([])
    store.clear()
    assert not store.stored(list(sequences.values()))


def test_evicted_and_deleted_vectors_are_not_listed(make: Make) -> None:
    store = make(2)
    for key in "abc":
        store.save(entry(key, vector=unit(1, 0)))
    store.delete(["b"])
    assert [row.key for row in store.vectors(0).rows] == ["c"]


def test_a_closed_store_is_reopened_on_its_next_use(make: Make) -> None:
    store = make(10)
    store.save(entry("a"))
    store.close()
    store.close()
    store.save(entry("b"))
    assert kept(store, "b") == {"b"}


def test_hits_do_not_change_a_fetched_entry(make: Make) -> None:
    store = make(10)
    store.save(entry("a"))
    store.touch("a", 1.0)
    first = store.fetch("a")
    store.touch("a", 2.0)
    assert first == entry("a")
