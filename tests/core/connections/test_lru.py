"""The LRU cache: eviction order, and use by several threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from llm_optimizers.connections.lru import LRUCache


def test_the_least_recently_used_value_is_dropped_first() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_storing_a_value_again_counts_as_a_use() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        cache.put(key, value)
    assert [cache.get(key) for key in "abc"] == [3, None, 4]


def test_threads_share_it() -> None:
    cache: LRUCache[int, int] = LRUCache(10)

    def use(start: int) -> None:
        for number in range(start, start + 2_000):
            cache.put(number % 17, number % 17)
            assert cache.get(number % 13) in (None, number % 13)

    threads = [threading.Thread(target=use, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(cache.get(number) is not None for number in range(17)) == 10


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_values_are_dropped_while_others_are_read() -> None:
    cache: LRUCache[int, int] = LRUCache(50)
    done = threading.Event()
    errors: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            for number in range(200):
                cache.get(number)

    def write(start: int) -> None:
        try:
            for number in range(start, start + 60_000):
                cache.put(number * 7 % 200, number)
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=write, args=(start,)) for start in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert (errors, len(cache)) == ([], 50)
