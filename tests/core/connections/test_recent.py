"""What was used last is remembered, up to a number of values."""

from __future__ import annotations

import threading

from llm_optimizers.connections.lru import LRUCache


def test_the_least_recently_used_leaves_first() -> None:
    recent: LRUCache[str, int] = LRUCache(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_a_value_put_again_is_the_latest() -> None:
    recent: LRUCache[str, int] = LRUCache(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        recent.put(key, value)
    assert [recent.get(key) for key in "abc"] == [3, None, 4]


def test_threads_share_it() -> None:
    recent: LRUCache[int, int] = LRUCache(10)

    def use(start: int) -> None:
        for number in range(start, start + 2_000):
            recent.put(number % 17, number % 17)
            assert recent.get(number % 13) in (None, number % 13)

    threads = [threading.Thread(target=use, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(recent.get(number) is not None for number in range(17)) == 10
