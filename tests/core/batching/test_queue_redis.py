"""The same queue on Redis, and what only Redis has: keys, outages, damaged hashes."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from llm_optimizers.batching import JobQueue, RetryPolicy
from llm_optimizers.errors import ConfigurationError, DeadlineError, ItemError, StoreError
from support.programs import needs_redis
from support.redis_server import RedisProcess, redis_server

pytestmark = [pytest.mark.loopback, needs_redis]

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


def job_key(where: dict[str, Any], id_: str) -> str:
    return f"llm-optimizers:jobs:{{{where['name']}}}:job:{id_}"


def eventually(done: Callable[[], object]) -> None:
    limit = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_results_come_back_in_this_process_and_to_other_queues(where: dict[str, Any]) -> None:
    with JobQueue(**where) as submitter, JobQueue(double, **where) as worker:
        assert [h.result(WAIT) for h in submitter.submit_many(range(450))] == list(range(0, 900, 2))
        assert worker.submit("x", key="k").result(WAIT) == "xx"
        assert submitter.submit("x", key="k").result(WAIT) == "xx"
        with pytest.raises(ConfigurationError, match="'k' was used for another payload"):
            submitter.submit("y", key="k")
        assert worker.stats().done == 451


def test_failures_are_retried_then_dead_then_replayed(where: dict[str, Any]) -> None:
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


def test_jobs_start_by_priority_and_expire_at_their_deadline(where: dict[str, Any]) -> None:
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


def test_a_draining_worker_does_not_wait_for_the_rates(where: dict[str, Any]) -> None:
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
        client.hset(job_key(where, first.id), "payload", poison)
    with JobQueue(double, **where) as queue:
        assert queue.handle(second.id).result(WAIT) == 4
        with pytest.raises(ItemError, match="not JSON"):
            queue.handle(first.id).result(WAIT)


def delete(client: Any, key: str) -> None:
    client.delete(key)


def replace_by_text(client: Any, key: str) -> None:
    client.set(key, "x")


def forget_all_but_the_id(client: Any, key: str) -> None:
    client.hdel(key, *(field for field in client.hkeys(key) if field != b"id"))


@pytest.mark.parametrize("spoil", [delete, replace_by_text, forget_all_but_the_id])
@pytest.mark.parametrize("state", ["waiting", "running", "done", "dead"])
def test_a_damaged_job_costs_no_other(
    where: dict[str, Any], redis_url: str, spoil: Callable[[Any, str], None], state: str
) -> None:
    import redis

    gate = threading.Event()

    def handler(payload: int) -> int:
        if state == "dead" and payload == 0:
            raise ConfigurationError("no")
        if state == "running":
            gate.wait(WAIT)
        return payload

    with JobQueue(**where) as queue:
        handles = queue.submit_many(range(10))
    if state == "running":
        lost = JobQueue(handler, **where)
        eventually(lambda: lost.stats().running == 5)
        with pytest.raises(TimeoutError):
            lost.close(timeout=0.01)
    elif state != "waiting":
        with JobQueue(handler, **where) as queue:
            eventually(lambda: queue.stats().done + queue.stats().dead == 10)
    with redis.Redis.from_url(redis_url) as client:
        spoil(client, job_key(where, handles[0].id))
    gate.set()
    with JobQueue(handler, **where) as queue:
        results = [queue.handle(handle.id).result(WAIT) for handle in handles[1:]]
        assert results == list(range(1, 10))
        with pytest.raises(ItemError, match=r"no job|stored data are damaged"):
            queue.handle(handles[0].id).result(WAIT)
        letters = [(letter.id, letter.error_kind) for letter in queue.dead.list()]
        unfinished = state in ("waiting", "running")
        assert letters == ([(handles[0].id, "DamagedJob")] if unfinished else [])
        assert queue.submit("again", key=handles[0].id).result(WAIT) == "again"
        eventually(lambda: queue.stats().depth == queue.stats().running == 0)
        queue.close(finish=True)


FIELDS = {
    "id": [None, b"other", b"\xff"],
    "queue": [None, b"", b"\xff"],
    "payload": [None, b"[]", b"\xff"],
    "digest": [b"\xff"],
    "priority": [None, b"urgent", b"\xff"],
    "tokens": [None, b"many", b"inf", b"-5", b"1.5"],
    "submitted_at": [None, b"x", b"1e999"],
    "priority_key": [None, b"nan", b"x"],
    "attempts": [None, b"x", b"-3"],
    "expires_at": [b"soon", b"nan"],
    "state": [None, b"gone", b"\xff"],
    "entry": [None, b"x"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in FIELDS.items() for value in values]
)
def test_a_damaged_field_makes_a_dead_letter_and_the_rest_is_done(
    where: dict[str, Any], redis_url: str, field: str, value: bytes | None
) -> None:
    import redis

    with JobQueue(**where) as queue:
        damaged, second, third = queue.submit_many([1, 2, 3])
    with redis.Redis.from_url(redis_url) as client:
        key = job_key(where, damaged.id)
        if value is None:
            client.hdel(key, field)
        else:
            client.hset(key, field, value)
    rates = {"requests_per_minute": 60_000, "tokens_per_minute": 1_000_000}
    with JobQueue(double, **rates, **where) as queue:
        assert queue.handle(second.id).result(WAIT) == 4
        assert queue.handle(third.id).result(WAIT) == 6
        with pytest.raises(ItemError, match=r"stored|submitted"):
            queue.handle(damaged.id).result(WAIT)
        eventually(lambda: queue.stats().dead == 1)
        (letter,) = queue.dead.list()
        assert letter.id == damaged.id
        assert letter.error
        assert letter.error_kind in ("DamagedJob", "PoisonedPayload")
        queue.dead.replay()
        eventually(lambda: queue.stats().depth + queue.stats().running == 0)
        assert queue.submit(1, key=damaged.id).result(WAIT) == 2
        assert queue.dead.list() == []


@pytest.mark.parametrize("kind", ["missing", "text"])
@pytest.mark.parametrize("name", ["later", "ready", "deadlines", "bucket", "dead", "latest"])
def test_a_queue_that_lost_one_of_its_keys_does_its_jobs(
    where: dict[str, Any], redis_url: str, name: str, kind: str
) -> None:
    import redis

    broken = threading.Event()
    broken.set()

    def handler(payload: int) -> int:
        if payload == 0 and broken.is_set():
            raise ConnectionError("down")
        return payload

    retries = RetryPolicy(base=1.0)
    with JobQueue(handler, retries=retries, requests_per_minute=60_000, **where) as queue:
        retried = queue.submit(0)
        eventually(lambda: (job := queue.get(retried.id)) and job.attempts and job.not_before)
        with redis.Redis.from_url(redis_url) as client:
            key = f"llm-optimizers:jobs:{{{where['name']}}}:{name}"
            client.delete(key)
            if kind == "text":
                client.set(key, "x")
        broken.clear()
        assert queue.submit(1).result(WAIT) == 1
        assert retried.result(WAIT) == 0
        assert queue.dead.list() == []
        assert queue.stats().done == 2


@pytest.mark.parametrize("kind", ["missing", "text", "no group"])
def test_jobs_whose_stream_was_lost_are_done(
    where: dict[str, Any], redis_url: str, kind: str
) -> None:
    import redis

    with JobQueue(**where) as queue:
        handles = queue.submit_many(range(300))
    with redis.Redis.from_url(redis_url) as client:
        key = f"llm-optimizers:jobs:{{{where['name']}}}:stream:medium"
        if kind == "no group":
            client.xgroup_destroy(key, "workers")
        else:
            client.delete(key)
        if kind == "text":
            client.set(key, "x")
    done: list[int] = []
    with JobQueue(done.append, **where) as queue:
        eventually(lambda: len(done) == 300)  # nothing waits for them
        assert queue.handle(handles[7].id).result(WAIT) is None
        eventually(lambda: queue.stats().done == 300)
    assert sorted(done) == list(range(300))


@pytest.mark.parametrize("spoil", [delete, replace_by_text, forget_all_but_the_id])
@pytest.mark.parametrize("fails", [False, True])
def test_a_job_that_loses_its_hash_while_it_runs_keeps_its_result(
    where: dict[str, Any], redis_url: str, spoil: Callable[[Any, str], None], fails: bool
) -> None:
    import redis

    runs: list[str] = []
    submitted = threading.Event()

    def handler(payload: str) -> str:
        runs.append(payload)
        if len(runs) == 1:
            assert submitted.wait(WAIT)  # a job may start before `submit` returns its handle
            with redis.Redis.from_url(redis_url) as client:
                spoil(client, job_key(where, handle.id))
            time.sleep(0.2)  # for a look-up of what waits
            if fails:
                raise ConnectionError("down")
        return payload * 2

    with JobQueue(handler, retries=QUICK, **where) as queue:
        handle = queue.submit("x", key="k")
        submitted.set()
        assert handle.result(WAIT) == "xx"
        stored = queue.get(handle.id)
        assert stored is not None
        assert (stored.state, stored.result) == ("done", "xx")
        assert (queue.stats().done, queue.stats().dead) == (1, 0)
        eventually(lambda: queue.stats().running == 0)  # its former entry goes with the lease
    assert runs == ["x"] * (2 if fails else 1)


@pytest.mark.parametrize("state", ["done", "dead"])
def test_a_job_that_no_worker_ended_has_no_result(
    where: dict[str, Any], redis_url: str, state: str
) -> None:
    import redis

    with JobQueue(**where) as queue:
        handle = queue.submit(1, key="one")
    with redis.Redis.from_url(redis_url) as client:
        client.hset(job_key(where, "one"), "state", state)
    with JobQueue(double, **where) as queue:
        with pytest.raises(ItemError, match="damaged"):
            queue.handle(handle.id).result(WAIT)
        assert queue.submit(1, key="one").result(WAIT) == 2


def test_a_damaged_bucket_holds_nothing_back(where: dict[str, Any], redis_url: str) -> None:
    import redis

    now = [time.time()]
    with JobQueue(double, requests_per_minute=60, clock=lambda: now[0], **where) as queue:
        assert queue.submit(1).result(WAIT) == 2
        for level in ("-1e300", "nan", "x", "inf"):
            with redis.Redis.from_url(redis_url) as client:
                key = f"llm-optimizers:jobs:{{{where['name']}}}:bucket"
                client.hset(key, mapping={"requests": level, "tokens": level})
            handle = queue.submit(1)
            now[0] += 80
            assert handle.result(WAIT) == 2


def test_a_hung_server_stops_no_call_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llm_optimizers.batching.queue.worker.LAST_SECONDS", 0.5)
    gate, results = threading.Event(), list[Any]()

    def handler(payload: str) -> str:
        assert gate.wait(WAIT)
        return payload * 2

    with RedisProcess() as server:
        queue = JobQueue(handler, url=server.url)
        paid = queue.submit("a", callback=lambda job: results.append(job.result))
        eventually(lambda: queue.stats().running == 1)
        server.pause()
        with pytest.raises(StoreError, match="can be submitted again"):
            queue.submit("b", key="b")
        with pytest.raises(StoreError, match="can be submitted again"):
            asyncio.run(queue.asubmit("b", key="b"))
        for call in (queue.stats, queue.dead.list, lambda: queue.get("b")):
            with pytest.raises(StoreError, match=r"is it up|skipped for now"):
                call()
        gate.set()
        assert paid.result(WAIT) == "aa", "it need not wait for the store"
        server.resume()
        eventually(lambda: submitted(queue, "b", key="b") == "bb")
        eventually(lambda: queue.stats().done == 2)  # the first one is stored at the next try
        server.pause()
        queue.close()
        with pytest.raises(StoreError, match=r"is it up"):
            JobQueue(handler, url=server.url).start()
    assert results == ["aa"]
    for text in ("the job store failed", "a finished job could not be stored"):
        assert caplog.text.count(text) <= 2, text


def test_no_lease_ends_because_the_server_hung() -> None:
    gate, runs = threading.Event(), list[str]()

    def handler(payload: str) -> str:
        runs.append(payload)
        assert gate.wait(WAIT)
        return payload * 2

    with (
        RedisProcess() as server,
        JobQueue(handler, url=server.url, lease=3.0, concurrency=1) as queue,
        JobQueue(handler, url=server.url, lease=3.0, concurrency=1) as other,
    ):
        handle = queue.submit("a")
        eventually(lambda: runs)
        server.pause()
        time.sleep(5.5)  # longer than a lease, and than a call waits
        server.resume()
        eventually(lambda: submitted(other, "b", key="b", wait=False))
        time.sleep(1.0)
        gate.set()
        assert handle.result(WAIT) == "aa"
    assert runs.count("a") == 1


def test_a_close_on_a_hung_server_says_what_is_not_stored_and_gives_the_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm_optimizers.batching.queue.worker.LAST_SECONDS", 0.5)
    results: list[Any] = []
    with RedisProcess() as server:

        def handler(payload: str) -> str:
            server.pause()
            return payload * 2

        queue = JobQueue(handler, url=server.url)
        handle = queue.submit("a", callback=lambda job: results.append(job.result))
        eventually(lambda: results)
        with pytest.raises(StoreError, match=f"could not be stored.*{handle.id}"):
            queue.close()
    assert results == ["aa"]


def test_all_workers_of_a_server_have_its_time(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with JobQueue(**where) as before:
        monkeypatch.setattr(time, "time", lambda: real() - 3_600)
        with JobQueue(double, **where) as after:
            assert abs(before.clock() - after.clock()) < 60
            handle = before.submit("a", max_wait=60)
            assert handle.result(WAIT) == "aa"
            assert after.submit("b", max_wait=60).result(WAIT) == "bb"


def test_a_key_whose_hash_was_deleted_and_that_is_submitted_again_is_done_once(
    where: dict[str, Any], redis_url: str
) -> None:
    import redis

    done: list[str] = []
    with JobQueue(**where) as queue:
        queue.submit("x", key="k")
        with redis.Redis.from_url(redis_url) as client:
            client.delete(job_key(where, "k"))
        queue.submit("x", key="k")
    with JobQueue(done.append, **where) as queue:
        queue.handle("k").result(WAIT)
        queue.submit("last").result(WAIT)
        assert done == ["x", "last"]
        assert (queue.stats().depth, queue.stats().running) == (0, 0)


def test_the_queue_works_on_after_redis_lost_everything() -> None:
    """Without persistence a restart leaves nothing; what is submitted afterwards is done."""
    with RedisProcess() as server, JobQueue(double, url=server.url, lease=1.0) as queue:
        assert queue.submit(1).result(WAIT) == 2
        server.stop()
        with pytest.raises(StoreError):
            queue.submit(2)
        server.start()
        eventually(lambda: submitted(queue, 3) == 6)


def submitted(queue: JobQueue, payload: Any, *, wait: bool = True, **options: Any) -> Any:
    try:
        handle = queue.submit(payload, **options)
        return handle.result(WAIT) if wait else handle
    except StoreError:  # the breaker leaves Redis alone for a moment
        return None


def test_results_are_kept_until_redis_comes_back() -> None:
    gate, runs = threading.Event(), list[int]()

    def handler(payload: int) -> int:
        runs.append(payload)
        assert gate.wait(WAIT)
        return payload * 2

    with (
        RedisProcess("--appendonly", "yes") as server,
        JobQueue(handler, url=server.url, concurrency=2) as queue,
    ):
        handles = queue.submit_many([1, 2, 3])
        eventually(lambda: len(runs) == 2)
        server.stop()
        gate.set()
        server.start()
        assert [handle.result(WAIT) for handle in handles] == [2, 4, 6]
    assert sorted(runs) == [1, 2, 3]


def test_all_keys_of_a_queue_are_in_one_slot_and_only_its_own(redis_url: str) -> None:
    import redis

    names = ["plain", "of {braces}: and / more"]
    with redis.Redis.from_url(redis_url) as client:
        known = set(client.scan_iter())
        for name in names:
            with JobQueue(double, url=redis_url, name=name, requests_per_minute=600) as queue:
                queue.submit(1, max_wait=60, key="{k}").result(WAIT)
                queue.submit(1, max_wait=60)
            made = set(client.scan_iter()) - known
            known |= made
            assert len({key_slot(key) for key in made}) == 1
            assert len({key.split(b"{")[1].split(b"}")[0] for key in made}) == 1


def test_keys_of_the_former_layout_are_neither_read_nor_deleted(
    where: dict[str, Any], redis_url: str
) -> None:
    import redis

    former = f"llm-optimizers:{{{where['name']}}}:"
    with redis.Redis.from_url(redis_url) as client:
        client.hset(f"{former}job:a", mapping={"id": "a", "state": "waiting", "payload": "1"})
        client.zadd(f"{former}line", {"a": 1.0})
        with JobQueue(double, **where) as queue:
            assert queue.get("a") is None
            assert queue.stats().depth == 0
            assert queue.submit(2, key="a").result(WAIT) == 4
        assert client.hget(f"{former}job:a", "payload") == b"1"
        assert client.zscore(f"{former}line", "a") == 1.0


def test_a_redis_that_cannot_be_reached_gives_a_clear_error() -> None:
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:1 cannot be reached") as caught:
        JobQueue(url="redis://user:secret@127.0.0.1:1").submit(1)
    assert "secret" not in str(caught.value)
