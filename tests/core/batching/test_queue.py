"""The queue as its callers see it: results, refusals, retries, dead letters, alerts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching.queue import BacklogAlert, Job, JobQueue, QueueStats, RetryPolicy
from llm_optimizers.batching.queue.job import Claim
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.worker import JobWorker
from llm_optimizers.errors import (
    ConfigurationError,
    DeadlineError,
    ItemError,
    RefusedError,
    StoreError,
)
from llm_optimizers.tenancy import current_tenant, tenant

WAIT = 20.0
QUICK = RetryPolicy(max_attempts=3, base=0.001, cap=0.01)
user = contextvars.ContextVar("user", default="unknown")


def double(payload: Any) -> Any:
    return payload * 2


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "jobs.db" if request.param == "file" else None


class Gate:
    """A handler that waits to be let through and keeps the order of what it was given."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.started: list[Any] = []

    def __call__(self, payload: Any) -> Any:
        self.started.append(payload)
        assert self.open.wait(WAIT)
        return payload


class HTTPError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})()


def eventually(done: Callable[[], object]) -> None:
    limit = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_result_can_be_waited_for_awaited_called_back_and_looked_up(path: Path | None) -> None:
    with JobQueue(double, path=path) as queue:
        called: list[Job] = []
        handle = queue.submit(2, callback=called.append)
        assert handle.result(WAIT) == 4

        async def waiting() -> Any:
            return await (await queue.asubmit("ab"))

        assert asyncio.run(waiting()) == "abab"
        assert [h.result(WAIT) for h in queue.submit_many([1, [2]])] == [2, [2, 2]]
        eventually(lambda: called)
        assert (called[0].state, called[0].result) == ("done", 4)
        looked_up = queue.get(handle.id)
        assert looked_up is not None
        assert (looked_up.state, looked_up.result, looked_up.payload) == ("done", 4, None)
        assert queue.handle(handle.id).result(WAIT) == 4
        assert queue.get("unknown") is None
        with pytest.raises(ItemError, match="no job unknown"):
            queue.handle("unknown").result(WAIT)


def test_an_asynchronous_handler_and_its_concurrency() -> None:
    running, most = 0, 0

    async def handler(payload: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return payload + 1

    with JobQueue(handler, concurrency=3) as queue:
        assert [h.result(WAIT) for h in queue.submit_many(range(30))] == list(range(1, 31))
    assert most == 3


def test_an_asynchronous_handler_may_submit_but_not_block_its_own_queue() -> None:
    async def handler(payload: str) -> str:
        if payload == "child":
            return "grown"
        if payload == "parent":
            return (await queue.asubmit("child")).id
        queue.submit("child")
        return "never"

    with JobQueue(handler, retries=QUICK) as queue:
        assert queue.handle(queue.submit("parent").result(WAIT)).result(WAIT) == "grown"
        with pytest.raises(ItemError, match="asubmit"):
            queue.submit("blocks").result(WAIT)


def test_the_handler_sees_no_context_of_the_submitter_or_of_another_job() -> None:
    def handler(payload: str) -> str:
        seen = user.get()
        user.set(payload)
        return seen

    token = user.set("ann")
    try:
        with JobQueue(handler, concurrency=1) as queue:
            assert queue.submit("bob").result(WAIT) == "unknown"
            assert queue.submit("eve").result(WAIT) == "unknown"
    finally:
        user.reset(token)


@pytest.mark.parametrize("first", ["submit", "asubmit", "submit_many", "get"])
def test_a_coroutine_handler_sees_no_context_or_tenant_of_the_first_caller(first: str) -> None:
    async def handler(payload: str) -> list[str]:
        seen = [user.get(), current_tenant()]
        user.set(payload)
        return seen

    async def begin(queue: JobQueue) -> None:
        with tenant("ann"):
            user.set("ann")
            if first == "asubmit":
                await queue.asubmit("ann")
            elif first == "submit_many":
                await asyncio.to_thread(queue.submit_many, ["ann"])
            elif first == "get":
                await asyncio.to_thread(queue.get, "ann")
            else:
                await asyncio.to_thread(queue.submit, "ann")

    queue = JobQueue(handler, concurrency=1)
    asyncio.run(begin(queue))  # its first use starts the worker
    for name in ("bob", "eve"):
        assert queue.submit(name).result(WAIT) == ["unknown", ""]
    queue.close()


def test_jobs_start_by_priority() -> None:
    gate = Gate()
    with JobQueue(gate, concurrency=1) as queue:
        queue.submit("first")
        eventually(lambda: gate.started)
        for priority in ("low", "medium", "high"):
            queue.submit(priority, priority=priority)  # type: ignore[arg-type]
        gate.open.set()
        queue.close()
    assert gate.started == ["first", "high", "medium", "low"]


def test_a_job_past_its_deadline_expires_unpaid(path: Path | None) -> None:
    gate = Gate()
    with JobQueue(gate, path=path, concurrency=1) as queue:
        queue.submit("first")
        eventually(lambda: gate.started)
        late = queue.submit("late", max_wait=0.01)
        with pytest.raises(DeadlineError, match="nothing was billed"):
            late.result(WAIT)
        gate.open.set()
        assert queue.stats().expired == 1
    assert gate.started == ["first"]


def test_a_job_expires_also_without_a_worker(tmp_path: Path) -> None:
    with (
        JobQueue(path=tmp_path / "jobs.db", max_wait=0.01) as queue,
        pytest.raises(DeadlineError),
    ):
        queue.submit("x").result(WAIT)


def test_failures_are_retried_and_the_last_error_is_kept() -> None:
    attempts: Counter[str] = Counter()

    def flaky(payload: str) -> str:
        attempts[payload] += 1
        if payload == "hopeless" or attempts[payload] < 3:
            raise ConnectionError("down")
        return "up"

    with JobQueue(flaky, retries=QUICK) as queue:
        assert queue.submit("flaky").result(WAIT) == "up"
        with pytest.raises(ItemError, match="after 3 attempts: ConnectionError: down") as caught:
            queue.submit("hopeless").result(WAIT)
        assert caught.value.kind == "ConnectionError"
    assert attempts == {"flaky": 3, "hopeless": 3}


def test_a_permanent_error_is_not_retried_and_retry_after_is_obeyed() -> None:
    answers = iter([HTTPError(429, **{"retry-after": "0.01"}), None])
    calls: list[str] = []

    def handler(payload: str) -> str:
        calls.append(payload)
        if payload == "bad":
            raise HTTPError(400)
        if error := next(answers):
            raise error
        return "fine"

    with JobQueue(handler, retries=QUICK) as queue:
        with pytest.raises(ItemError, match="HTTP 400"):
            queue.submit("bad").result(WAIT)
        assert queue.submit("busy").result(WAIT) == "fine"
    assert calls == ["bad", "busy", "busy"]


def test_dead_letters_are_shown_replayed_and_purged(path: Path | None) -> None:
    broken = True

    def handler(payload: Any) -> Any:
        if broken:
            raise HTTPError(400)
        return payload

    with JobQueue(handler, path=path) as queue:
        handles = queue.submit_many([{"n": n} for n in range(3)])
        for handle in handles:
            with pytest.raises(ItemError):
                handle.result(WAIT)
        assert {job.id for job in queue.dead.list()} == {handle.id for handle in handles}
        letter = queue.dead.show(handles[0].id)
        assert letter is not None
        assert (letter.payload, letter.error, letter.error_kind) == (
            {"n": 0},
            "HTTP 400",
            "HTTPError",
        )
        assert queue.dead.purge(handles[2].id) == 1
        broken = False
        assert queue.dead.replay() == 2
        assert [handle.result(WAIT) for handle in handles[:2]] == [{"n": 0}, {"n": 1}]
        assert queue.dead.list() == []
        assert queue.dead.show(handles[0].id) is None
        assert queue.dead.purge() == 0


def test_the_same_key_is_done_once(path: Path | None) -> None:
    calls: list[Any] = []

    def handler(payload: Any) -> int:
        calls.append(payload)
        return len(calls)

    with JobQueue(handler, path=path) as queue:
        assert [queue.submit("x", key="k").result(WAIT) for _ in range(3)] == [1, 1, 1]
        with pytest.raises(ConfigurationError, match="another payload"):
            queue.submit("y", key="k")
    if path is not None:
        with JobQueue(handler, path=path) as queue:
            assert queue.submit("x", key="k").result(WAIT) == 1
    assert calls == ["x"]


def test_a_payload_or_result_that_is_not_json_gives_a_clear_error() -> None:
    with JobQueue(lambda _: {1, 2}) as queue:
        for bad in (object(), float("nan"), {("a",): 1}, b"bytes"):
            with pytest.raises(ConfigurationError, match="payload` cannot be stored"):
                queue.submit(bad)
        with pytest.raises(ItemError, match="ran and was billed, but the handler's result cannot"):
            queue.submit(1).result(WAIT)
        with pytest.raises(ConfigurationError, match="`priority` is 'urgent'"):
            queue.submit(1, priority="urgent")  # type: ignore[arg-type]


def test_jobs_survive_the_process_that_submitted_them(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path, name="a") as submitter:
        kept = submitter.submit("kept")
        submitter.submit("also kept")
    with pytest.raises(RefusedError):
        kept.result(WAIT)
    with JobQueue(double, path=path, name="a") as queue:
        assert queue.handle(kept.id).result(WAIT) == "keptkept"


def test_a_result_comes_back_to_another_queue_on_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as submitter, JobQueue(double, path=path):
        assert [h.result(WAIT) for h in submitter.submit_many([1, 2, 3])] == [2, 4, 6]


def test_closing_in_memory_finishes_waiting_jobs_and_refuses_new_ones() -> None:
    done: list[int] = []
    queue = JobQueue(done.append, concurrency=1)
    queue.submit_many(range(20))
    queue.close()
    assert sorted(done) == list(range(20))
    with pytest.raises(RefusedError, match="closed"):
        queue.submit(1)
    queue.close()


def test_closing_a_durable_queue_keeps_waiting_jobs(tmp_path: Path) -> None:
    gate = Gate()
    queue = JobQueue(gate, path=tmp_path / "jobs.db", concurrency=1)
    handles = queue.submit_many(["under way", "waiting"])
    results: list[Any] = []
    handles[0].add_callback(lambda job: results.append(job.result))
    eventually(lambda: gate.started)
    closing = threading.Thread(target=queue.close)
    closing.start()
    gate.open.set()
    closing.join(WAIT)
    assert results == ["under way"]
    with JobQueue(path=tmp_path / "jobs.db") as later:
        kept = later.get(handles[1].id)
        assert kept is not None
        assert kept.state == "waiting"
    assert gate.started == ["under way"]


def test_a_close_that_takes_too_long_raises() -> None:
    gate = Gate()
    queue = JobQueue(gate)
    queue.submit(1)
    eventually(lambda: gate.started)
    with pytest.raises(TimeoutError, match="still running"):
        queue.close(timeout=0.01)
    gate.open.set()


def test_a_queue_that_is_falling_behind_alerts_once(caplog: pytest.LogCaptureFixture) -> None:
    alerts: list[QueueStats] = []

    def notify(stats: QueueStats) -> None:
        alerts.append(stats)
        raise ValueError("the pager is broken")

    gate = Gate()
    with JobQueue(gate, alert=BacklogAlert(depth=3, notify=notify), concurrency=1) as queue:
        queue.submit_many(range(6))
        eventually(lambda: alerts)
        gate.open.set()
    assert alerts[0].depth >= 3
    assert "ValueError" in caplog.text


def test_the_alert_is_silent_again_below_half_and_logs_by_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stats(depth: int, oldest: float | None = None) -> QueueStats:
        return QueueStats(
            queue="q",
            waiting={"high": 0, "medium": depth, "low": 0},
            running=0,
            done=0,
            dead=0,
            expired=0,
            oldest_waiting_s=oldest,
            waited=None,
            ran=None,
        )

    alert = BacklogAlert(depth=10, oldest_s=60)
    assert alert.raised(stats(10), before=False)
    assert alert.raised(stats(1, oldest=60), before=False)
    assert not alert.raised(stats(9), before=False)
    assert alert.raised(stats(5), before=True)
    assert not alert.raised(stats(4), before=True)
    with caplog.at_level(logging.WARNING):
        alert.send(stats(10, oldest=5))
    assert "10 jobs are waiting, the oldest for 5 s" in caplog.text


def test_a_file_of_another_version_or_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("CREATE TABLE notes (text)")
    newer = tmp_path / "newer.db"
    JobQueue(path=newer).start()
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute("PRAGMA user_version = 99")
    text = tmp_path / "text.db"
    text.write_text("no database at all, but long enough to be looked at" * 50)
    for path, reason in [
        (other, "something else; give the job queue another path"),
        (newer, "job queue .* is of version 99"),
        (text, "no SQLite file"),
    ]:
        with pytest.raises(StoreError, match=reason):
            JobQueue(path=path).submit(1)
    with pytest.raises(ConfigurationError, match="not of a folder"):
        JobQueue(path=tmp_path)


def test_a_poisoned_payload_dies_and_the_rest_is_done(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        first, second = queue.submit_many([1, 2])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET payload = 'cos\nsystem\n(S''x''' WHERE id = ?", (first.id,))
    with JobQueue(double, path=path) as queue:
        assert queue.handle(second.id).result(WAIT) == 4
        with pytest.raises(ItemError, match="not JSON"):
            queue.handle(first.id).result(WAIT)
        assert [letter.error_kind for letter in queue.dead.list()] == ["PoisonedPayload"]


@pytest.mark.parametrize("poison", [b"[" * 100_000, b'"\xff\xfe"'], ids=["deep", "not UTF-8"])
def test_a_payload_that_cannot_be_read_does_not_stop_the_queue(
    tmp_path: Path, poison: bytes
) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        first, second = queue.submit_many([1, 2])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET payload = CAST(? AS TEXT) WHERE id = ?", (poison, first.id))
    given: list[Any] = []
    with JobQueue(given.append, path=path) as queue:
        assert queue.handle(second.id).result(WAIT) is None
        assert [letter.error_kind for letter in queue.dead.list()] == ["PoisonedPayload"]
        # Replayed it dies again, instead of being done with some other payload.
        assert queue.dead.replay() == 1
        with pytest.raises(ItemError, match="not JSON"):
            queue.handle(first.id).result(WAIT)
    assert given == [2]


HALF = "a cut emoji: \ud83d"


def test_a_lone_surrogate_is_refused_and_as_a_result_fails_one_job(path: Path | None) -> None:
    def answer(payload: Any) -> Any:
        if payload == "raise":
            raise ValueError(HALF)
        return HALF if payload == "half" else payload

    with JobQueue(answer, path=path, retries=RetryPolicy(max_attempts=1)) as queue:
        with pytest.raises(ConfigurationError, match="whole strings"):
            queue.submit({"prompt": HALF})
        half, failed, sound = queue.submit_many(["half", "raise", "sound"])
        assert sound.result(WAIT) == "sound"
        with pytest.raises(ItemError, match="ran and was billed, but"):
            half.result(WAIT)
        with pytest.raises(ItemError, match="a cut emoji"):
            failed.result(WAIT)


class Failing(SQLiteJobStore):
    """A store in memory whose operations fail as often as a test says."""

    def __init__(self) -> None:
        super().__init__("q")
        self.failures = Counter[str]()

    def _fail(self, operation: str) -> None:
        if self.failures[operation]:
            self.failures[operation] -= 1
            raise StoreError("disk full")

    async def acknowledge(self, *args: Any) -> bool:
        self._fail("acknowledge")
        return await super().acknowledge(*args)

    async def claim(self, *args: Any) -> Claim:
        self._fail("claim")
        return await super().claim(*args)

    async def renew(self, *args: Any) -> None:
        self._fail("renew")
        await super().renew(*args)


async def test_a_worker_goes_on_after_the_store_failed_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, rules = Failing(), QueueRules(lease=0.03, retries=QUICK)
    store.failures.update(acknowledge=2, renew=10)
    runs: list[Any] = []
    done = asyncio.Event()

    async def handler(payload: str) -> str:
        runs.append(payload)
        if payload == "long":
            # While it is under way its lease runs out, and the store fails to hand out another.
            store.failures.update(claim=1)
            await store.add([a_job("short")], rules)
            await asyncio.sleep(0.2)
        return payload

    def ended(job: Job) -> None:
        if job.id == "short":
            done.set()

    worker = JobWorker(
        store,
        handler,
        slots=2,
        rules=rules,
        clock=time.time,
        rng=random.Random(0),
    )
    await store.open()
    await store.add([a_job("long")], rules)
    draining = asyncio.Event()
    running = asyncio.create_task(worker.run(draining, ended))
    await asyncio.wait_for(done.wait(), WAIT)
    draining.set()
    await running
    kept = await store.get(["long", "short"], time.time())
    assert [job.result for job in kept if job is not None] == ["long", "short"]
    assert sorted(runs) == ["long", "short"]
    assert "could not be stored, trying again: disk full" in caplog.text
    assert "the job store failed, trying again: disk full" in caplog.text
    await store.close()


async def test_pauses_between_tries_to_store_a_result_grow_to_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds if seconds > WAIT else 0)

    store, rules, draining = Failing(), QueueRules(lease=300.0), asyncio.Event()
    store.failures.update(acknowledge=7)
    worker = JobWorker(store, double, slots=1, rules=rules, clock=time.time)
    await store.open()
    await store.add([a_job("x")], rules)
    monkeypatch.setattr(asyncio, "sleep", record)
    async with asyncio.timeout(WAIT):
        await worker.run(draining, lambda _: draining.set())
    assert pauses == [100, 0.2, 0.4, 0.8, 1, 1, 1, 1]
    await store.close()


class Recording(SQLiteJobStore):
    """A store in memory that keeps what it was asked, and whose renewals fail while `broken`."""

    def __init__(self) -> None:
        super().__init__("q")
        self.events: list[str] = []
        self.broken = True

    async def claim(self, *args: Any) -> Claim:
        self.events.append("claim")
        return await super().claim(*args)

    async def renew(self, jobs: Sequence[Job], *args: Any) -> None:
        assert [job.id for job in jobs] == ["long"]
        self.events.append("failed" if self.broken else "renewed")
        if self.broken:
            raise StoreError("disk full")
        await super().renew(jobs, *args)

    async def until(self, count: int, event: str) -> None:
        while self.events.count(event) < count:
            await self.add([a_job("known")], QueueRules())  # something has changed
            await asyncio.sleep(0.001)


async def test_leases_that_may_have_run_out_are_renewed_before_the_next_claim() -> None:
    """Otherwise a worker could take over its own jobs and do them twice."""
    store, working, draining = Recording(), asyncio.Event(), asyncio.Event()

    async def handler(payload: str) -> None:
        if payload == "long":
            await working.wait()

    rules = QueueRules(lease=0.15)
    worker = JobWorker(store, handler, slots=2, rules=rules, clock=time.time)
    await store.open()
    await store.add([a_job("long")], rules)
    running = asyncio.create_task(worker.run(draining, lambda _: None))
    async with asyncio.timeout(WAIT):
        await store.until(1, "failed")
        first_failure = store.events.index("failed")
        await store.until(3, "failed")
        assert "claim" not in store.events[first_failure:]
        store.broken = False
        await store.until(1, "renewed")
        await store.until(store.events.count("claim") + 1, "claim")
        working.set()
        draining.set()
        await running
    await store.close()


class Held(SQLiteJobStore):
    """A store whose rates always hold the next job back."""

    async def claim(self, *args: Any) -> Claim:
        return Claim(retry_at=time.time() + 60, held=True)

    async def changed(self) -> None:
        raise AssertionError("on Redis this would return at once, again and again")


async def test_a_worker_whose_next_job_is_held_back_does_not_listen_for_new_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, draining = Held("q"), asyncio.Event()
    worker = JobWorker(store, double, slots=1, rules=QueueRules(), clock=time.time)
    running = asyncio.create_task(worker.run(draining, lambda _: None))
    await asyncio.sleep(0.01)
    draining.set()
    await running
    assert caplog.text == ""


def a_job(name: str) -> Job:
    return Job(id=name, queue="q", payload=name, submitted_at=time.time())


@pytest.mark.parametrize(
    "bad",
    [
        *({"handler": bad} for bad in (5, "module:function")),
        *({"name": bad} for bad in ("", 5, HALF)),
        *({"path": bad} for bad in (5, ["a"])),
        *({"url": bad} for bad in (5, "")),
        *({"concurrency": bad} for bad in (0, -1, 1.5, "5", True, None)),
        *({"requests_per_minute": bad} for bad in (0, -1, 0.5, "60", math.inf, 10**400)),
        *({"tokens_per_minute": bad} for bad in (0, -1, 0.5, "60", math.nan)),
        *({"max_wait": bad} for bad in (0, -1, math.nan, math.inf, "1h", True)),
        *({"aging": bad} for bad in (0, -1, math.nan, math.inf, "60")),
        *({"lease": bad} for bad in (0, -1, 1e-9, math.nan, math.inf, 1e300, "30")),
        *({"retries": bad} for bad in (3, "many", False)),
        *({"alert": bad} for bad in (3, print)),
        *({"clock": bad} for bad in (3, "now")),
        *({"rng": bad} for bad in (3, random)),
    ],
)
def test_invalid_settings_are_refused_by_name(bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises(ConfigurationError, match=f"`{name}` is "):
        JobQueue(**{"handler": double, **bad})


def test_a_path_and_a_url_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        JobQueue(double, path="a", url="redis://b")


@pytest.mark.parametrize(
    ("made", "bad"),
    [
        *((RetryPolicy, {"max_attempts": bad}) for bad in (0, -1, 1.5, "5", True, 10**30)),
        *((RetryPolicy, {"base": bad}) for bad in (-1, math.nan, math.inf, "1", None)),
        *((RetryPolicy, {"cap": bad}) for bad in (-1, math.nan, math.inf, "1", None)),
        *((BacklogAlert, {"depth": bad}) for bad in (0, -1, 1.5, "many")),
        *((BacklogAlert, {"oldest_s": bad}) for bad in (0, -1, math.nan, math.inf, "1h")),
        *((BacklogAlert, {"notify": bad}) for bad in (None, "print")),
    ],
)
def test_an_invalid_policy_or_alert_is_refused_by_name(made: Any, bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises(ConfigurationError, match=f"`{name}` is "):
        made(**bad)


BAD_JOBS: list[dict[str, Any]] = [
    *({"tokens": bad} for bad in ("many", -1, 2**60, 1.5, math.inf, math.nan, True, None, 200_000)),
    *({"key": bad} for bad in (5, "", b"key", HALF)),
    *({"priority": bad} for bad in ("urgent", "", None, 1)),
    *({"max_wait": bad} for bad in ("1h", 0, -1, math.nan, math.inf, True)),
]


@pytest.mark.parametrize("bad", BAD_JOBS)
def test_an_invalid_job_is_refused_by_name_and_the_next_is_done(bad: dict[str, Any]) -> None:
    (name,) = bad
    with JobQueue(double, tokens_per_minute=100_000) as queue:
        with pytest.raises(ConfigurationError, match=f"`{name}` is "):
            queue.submit(1, **bad)
        with pytest.raises(ConfigurationError, match=f"`{name}` is "):
            asyncio.run(queue.asubmit(1, **bad))
        if name in ("tokens", "priority"):
            with pytest.raises(ConfigurationError, match=f"`{name}` is "):
                queue.submit_many([1], **bad)
        assert queue.submit(1, tokens=100_000).result(WAIT) == 2


def test_what_is_no_id_limit_or_time_is_refused_by_name() -> None:
    with JobQueue(double) as queue:
        handle = queue.submit(1)
        calls: list[tuple[str, Callable[..., Any], Any]] = [
            ("id", queue.get, 5),
            ("id", queue.handle, ""),
            ("id", queue.dead.show, None),
            ("ids", queue.dead.replay, 5),
            ("ids", queue.dead.purge, ["a"]),
            ("limit", queue.dead.list, 0),
            ("limit", queue.dead.list, "all"),
            ("limit", queue.dead.list, 10**30),
            ("timeout", handle.result, 1e300),
            ("timeout", handle.result, math.nan),
            ("timeout", handle.result, "1s"),
            ("callback", handle.add_callback, "print"),
        ]
        for name, call, bad in calls:
            with pytest.raises(ConfigurationError, match=f"`{name}` is "):
                call(bad)
        with pytest.raises(ConfigurationError, match="`callback` is "):
            queue.submit(1, callback="print")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="`finish` is "):
            queue.close(finish="no")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="`timeout` is "):
            queue.close(timeout=-1)
        assert handle.result(WAIT) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_starts_its_own_worker(path: Path | None) -> None:
    with JobQueue(double, path=path) as queue:
        before = queue.submit("before")
        assert before.result(WAIT) == "beforebefore"
        child = os.fork()
        if child == 0:
            try:
                ok = queue.submit("child").result(WAIT) == "childchild"
                if path is not None:
                    ok = ok and before.result(WAIT) == "beforebefore"
                queue.close()
            except BaseException:
                ok = False
            os._exit(0 if ok else 1)
        assert queue.submit("parent").result(WAIT) == "parentparent"
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert queue.stats().done == (2 if path is None else 3)


def test_a_clock_that_is_set_back_does_not_stop_the_queue(path: Path | None) -> None:
    now, done = [1_000_000.0], []
    with JobQueue(done.append, path=path, clock=lambda: now[0], requests_per_minute=1) as queue:
        queue.submit(0).result(WAIT)
        now[0] -= 3_600
        second = queue.submit(1)
        eventually(lambda: queue.stats().depth == 1)
        time.sleep(0.1)  # for the worker to find that it must wait
        now[0] += 600
        second.result(WAIT)
    assert done == [0, 1]


def test_a_result_is_kept_in_memory_until_the_disk_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full for longer than a lease, and for more tries than a closing worker makes."""
    real, made = sqlite3.connect, []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    runs: list[int] = []

    def handler(payload: int) -> str:
        runs.append(payload)
        made[-1].execute("PRAGMA max_page_count = 1")
        return "x" * 50_000

    with JobQueue(handler, path=tmp_path / "jobs.db", lease=0.3) as queue:
        handle = queue.submit(1)
        assert handle.result(WAIT) == "x" * 50_000, (
            "what waits in this process need not wait longer"
        )
        time.sleep(1.0)  # three leases
        made[-1].execute("PRAGMA max_page_count = 100000")
        eventually(lambda: queue.stats().done == 1)
    assert runs == [1]
    assert caplog.text.count("a finished job could not be stored") == 1
    assert caplog.text.count("finished jobs are stored again") == 1


def test_the_queue_keeps_its_rates() -> None:
    now = [1_000_000.0]
    with JobQueue(double, requests_per_minute=10, max_wait=1.0, clock=lambda: now[0]) as queue:
        assert queue.submit(1).result(WAIT) == 2
        second = queue.submit(2)
        now[0] += 2.0
        with pytest.raises(DeadlineError):
            second.result(WAIT)


def test_former_names_work_and_say_the_new_ones() -> None:
    with pytest.warns(DeprecationWarning, match="aging="):
        assert JobQueue(ageing=5.0).rules.aging == 5.0
    with pytest.warns(DeprecationWarning, match="finished"):
        assert not a_job("x").settled


def test_a_random_generator_can_be_given() -> None:
    with JobQueue(double, rng=random.Random(1)) as queue:
        assert queue.submit(1).result(WAIT) == 2
