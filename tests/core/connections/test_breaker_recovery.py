"""What sits behind a circuit breaker is used again as soon as one call has succeeded."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.stores.memory import MemoryStore
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.redis import RedisServer
from llm_optimizers.effects import drive, perform
from llm_optimizers.embeddings.vectors import Vectors
from llm_optimizers.errors import StoreError
from llm_optimizers.evidence import SampleStore
from support.redis_server import redis_server


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Embedding:
    """Embeds, fails, or has no vector for a text, as it is set to."""

    id = "test"
    dimension = 2

    def __init__(self) -> None:
        self.error: Exception | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.error is not None:
            raise self.error
        return np.array([[1.0, 0.0]] * len(texts), np.float32)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def covers(self, text: str) -> bool:
        return True


def test_a_breaker_that_never_failed_lets_calls_through_at_any_time() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    assert breaker.state == "closed"
    clock.now = 5.0
    assert breaker.allow()


def test_without_settings_the_pause_starts_at_a_second_and_ends_at_a_minute() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    pauses = []
    for _ in range(8):
        breaker.failed()
        failed_at = clock.now
        while breaker.state == "open":
            clock.now += 0.5
        pauses.append(clock.now - failed_at)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_text_without_a_vector_shows_that_the_embedder_works_again() -> None:
    clock, embedder = Clock(), Embedding()
    executor = Executor(
        store=MemoryStore(), index=None, embedder=embedder, clock=clock, wait_timeout=1.0
    )

    def embed() -> object:
        return drive(executor.embed("text"), perform)

    embedder.error = OSError("the service is down")
    with pytest.raises(OSError, match="the service is down"):
        embed()
    with pytest.raises(StoreError, match="for now"):
        embed()
    clock.now += 1.0
    embedder.error = StoreError("this text has no vector")
    with pytest.raises(StoreError, match="this text has no vector"):
        embed()
    embedder.error = None
    assert embed() is not None


def test_samples_are_all_stored_once_the_file_works_again(tmp_path: Path) -> None:
    clock, folder = Clock(), tmp_path / "folder"
    folder.write_text("in the way")
    with closing(SampleStore(folder / "samples", rate=1.0, clock=clock)) as store:
        assert not store.offer("question")
        folder.unlink()
        clock.now += 1.0
        assert store.offer("first")
        assert store.offer("second")
        assert [sample.prompt for sample in store.samples()] == ["first", "second"]


@pytest.mark.loopback
def test_an_error_that_redis_answers_with_shows_that_it_is_up_again() -> None:
    clock, key = Clock(), uuid.uuid4().hex
    breaker = CircuitBreaker(clock)
    with redis_server() as url, closing(RedisServer(url, breaker=breaker)) as server:
        server.call(lambda redis: redis.set(key, "text"))
        breaker.failed()
        clock.now += 1.0
        with pytest.raises(StoreError, match="refused"):
            server.call(lambda redis: redis.lpush(key, "x"))
        assert server.call(lambda redis: redis.get(key)) == b"text"
