"""The byte limit of `LRUCache`."""

from __future__ import annotations

from llm_optimizers.connections.lru import LRUCache


def test_the_oldest_are_dropped_beyond_the_bytes() -> None:
    gone: list[tuple[str, str]] = []
    cache: LRUCache[str, str] = LRUCache(
        100, max_bytes=80, size=lambda _, v: len(v), dropped=lambda k, v: gone.append((k, v))
    )
    for number in range(10):
        cache.put(str(number), "x" * 10)
        assert cache.get("0") is not None  # used again and again
    assert len(cache) == 8
    assert gone == [("1", "x" * 10), ("2", "x" * 10)]


def test_what_would_drop_many_others_is_not_kept() -> None:
    cache: LRUCache[str, str] = LRUCache(100, max_bytes=80, size=lambda _, v: len(v))
    cache.put("a", "small")
    cache.put("b", "x" * 11)
    cache.put("a", "y" * 11)
    assert cache.get("b") is None
    assert cache.get("a") is None  # never the former value
    assert len(cache) == 0


def test_bytes_are_free_again() -> None:
    cache: LRUCache[str, str] = LRUCache(100, max_bytes=80, size=lambda _, v: len(v))
    for _ in range(3):
        for number in range(8):
            cache.put(str(number), "x" * 10)
        assert len(cache) == 8
        cache.discard("0")
        cache.clear()
        assert len(cache) == 0
