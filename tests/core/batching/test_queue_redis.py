"""The same queue on Redis, and what is Redis's own: tickets, outages, lost deliveries."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_optimizers.batching import JobQueue, RetryPolicy
from llm_optimizers.errors import ConfigurationError, DeadlineError, ItemError, StoreError
from support.redis_server import redis_server

pytestmark = pytest.mark.loopback

WAIT = 20.0
QUICK = RetryPolicy(max_attempts=3, base=0.001, cap=0.01)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def where(redis_url: str) -> dict[str, Any]:
    return {"url": redis_url, "name": uuid.uuid4().hex, "lease": 1.0}


def double(payload: Any) -> Any:
    return payload * 2


def eventually(done: Callable[[], object]) -> None:
    limit = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_results_come_back_here_and_elsewhere(where: dict[str, Any]) -> None:
    with JobQueue(**where) as submitter, JobQueue(double, **where) as worker:
        assert [h.result(WAIT) for h in submitter.submit_many(range(450))] == list(range(0, 900, 2))
        assert worker.submit("x", key="k").result(WAIT) == "xx"
        assert submitter.submit("x", key="k").result(WAIT) == "xx"
        with pytest.raises(ConfigurationError, match="'k' was used for another payload"):
            submitter.submit("y", key="k")
        assert worker.stats().done == 451


def test_failures_are_tried_again_then_dead_shown_and_replayed(where: dict[str, Any]) -> None:
    attempts: list[str] = []
    broken = True

    def handler(payload: str) -> str:
        attempts.append(payload)
        if broken:
            raise ConnectionError("down")
        return "up"

    with JobQueue(handler, retries=QUICK, **where) as queue:
        handle = queue.submit("x")
        with pytest.raises(ItemError, match="after 3 attempts: ConnectionError: down"):
            handle.result(WAIT)
        assert attempts == ["x"] * 3
        assert [letter.payload for letter in queue.dead.list()] == ["x"]
        broken = False
        assert queue.dead.replay() == 1
        assert handle.result(WAIT) == "up"


def test_urgent_work_goes_first_and_late_work_is_refused(where: dict[str, Any]) -> None:
    started: list[str] = []
    gate = threading.Event()

    def handler(payload: str) -> None:
        started.append(payload)
        assert gate.wait(WAIT)

    with JobQueue(handler, concurrency=1, **where) as queue:
        queue.submit("first")
        eventually(lambda: started)
        late = queue.submit("late", max_wait=0.01)
        handles = [
            queue.submit("low", priority="low"),
            queue.submit("medium"),
            queue.submit("high", priority="high"),
        ]
        with pytest.raises(DeadlineError):
            late.result(WAIT)
        gate.set()
        for handle in handles:
            handle.result(WAIT)
    assert started == ["first", "high", "medium", "low"]


def test_rates_hold_and_a_draining_worker_does_not_wait_for_them(where: dict[str, Any]) -> None:
    queue = JobQueue(double, requests_per_minute=2, **where)
    first, second = queue.submit_many([1, 2])
    assert {handle.id: handle for handle in (first, second)}
    eventually(lambda: queue.stats().done == 1)
    queue.close()
    with JobQueue(**where) as later:
        assert later.stats().depth == 1


@pytest.mark.parametrize(
    "poison", [b"cos\nsystem", b"[" * 100_000, b'"\xff\xfe"'], ids=["text", "deep", "not UTF-8"]
)
def test_a_poisoned_payload_dies_and_the_rest_is_done(
    where: dict[str, Any], redis_url: str, poison: bytes
) -> None:
    import redis

    with JobQueue(**where) as queue:
        first, second = queue.submit_many([1, 2])
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"llm-optimizers:{{{where['name']}}}:job:{first.id}", "payload", poison)
    with JobQueue(double, **where) as queue:
        assert queue.handle(second.id).result(WAIT) == 4
        with pytest.raises(ItemError, match="not JSON"):
            queue.handle(first.id).result(WAIT)


def test_jobs_whose_tickets_were_lost_get_new_ones(where: dict[str, Any], redis_url: str) -> None:
    import redis

    with JobQueue(**where) as queue:
        handles = queue.submit_many([1, 2, 3])
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"streaq:llm-optimizers:{where['name']}*"):
            client.delete(key)
    with JobQueue(double, **where) as queue:
        assert [queue.handle(handle.id).result(WAIT) for handle in handles] == [2, 4, 6]


def delete(client: Any, key: str) -> None:
    client.delete(key)


def replace_by_text(client: Any, key: str) -> None:
    client.set(key, "x")


def forget_all_but_the_id(client: Any, key: str) -> None:
    for field in client.hkeys(key):
        if field != b"id":
            client.hdel(key, field)


@pytest.mark.parametrize("spoil", [delete, replace_by_text, forget_all_but_the_id])
@pytest.mark.parametrize("state", ["waiting", "done", "dead"])
def test_a_damaged_job_costs_no_other(
    where: dict[str, Any], redis_url: str, spoil: Callable[[Any, str], None], state: str
) -> None:
    import redis

    def handler(payload: int) -> int:
        if state == "dead" and payload == 0:
            raise ConfigurationError("no")
        return payload

    with JobQueue(**where) as queue:
        handles = queue.submit_many(range(10))
    if state != "waiting":
        with JobQueue(handler, **where) as queue:
            eventually(lambda: queue.stats().done + queue.stats().dead == 10)
    with redis.Redis.from_url(redis_url) as client:
        spoil(client, f"llm-optimizers:{{{where['name']}}}:job:{handles[0].id}")
    with JobQueue(handler, **where) as queue:
        results = [queue.handle(handle.id).result(WAIT) for handle in handles[1:]]
        assert results == list(range(1, 10))
        with pytest.raises(ItemError, match="no job"):
            queue.handle(handles[0].id).result(WAIT)
        assert queue.dead.list() == []
        assert queue.dead.replay() == 0
        assert queue.dead.purge(handles[0].id) == 0
        assert queue.submit("again", key=handles[0].id).result(WAIT) == "again"
        eventually(lambda: queue.stats().depth == queue.stats().running == 0)
        queue.close(finish=True)


def test_a_redis_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:1 cannot be reached") as caught:
        JobQueue(url="redis://user:secret@127.0.0.1:1").submit(1)
    assert "secret" not in str(caught.value)
