"""The queue under faults: handlers, disks, files, clocks, damaged rows. On Redis: next file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching.queue import Job, JobQueue, RetryPolicy
from llm_optimizers.batching.queue import worker as worker_module
from llm_optimizers.batching.queue.clock import QueueClock
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.errors import ItemError, RefusedError, StoreError
from llm_optimizers.events import Event, StoreFailed, StoreRecovered, subscribe

WAIT = 20.0
QUICK = RetryPolicy(max_attempts=2, base=0.001, cap=0.01)


def double(payload: Any) -> Any:
    return payload * 2


def eventually(done: Callable[[], object]) -> None:
    limit = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.005)


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class OwnError(BaseException):
    pass


RAISED = {
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "cancelled": asyncio.CancelledError(),
    "generator": GeneratorExit(),
    "own": OwnError("own"),
    "no text": NoTextError(),
    "stop": StopAsyncIteration(),
}


def raising(payload: str) -> str:
    if payload in RAISED:
        raise RAISED[payload]
    return payload


async def araising(payload: str) -> str:
    await asyncio.sleep(0)
    return raising(payload)


@pytest.mark.parametrize("handler", [raising, araising])
def test_nothing_that_a_handler_raises_stops_the_queue(handler: Any) -> None:
    with JobQueue(handler, retries=QUICK) as queue:
        for payload, error in RAISED.items():
            kind = type(error).__name__
            with pytest.raises(ItemError, match=f"after 2 attempts: {kind}"):
                queue.submit(payload).result(WAIT)
        assert queue.submit("sound").result(WAIT) == "sound"


def test_nothing_that_a_callback_raises_stops_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    def callback(_: object) -> None:
        raise SystemExit("the secret answer")

    with JobQueue(double) as queue:
        assert queue.submit(1, callback=callback).result(WAIT) == 2
        assert queue.submit(2).result(WAIT) == 4
    assert "a callback of job" in caplog.text
    assert "secret" not in caplog.text


def test_pauses_do_not_overflow_after_many_attempts() -> None:
    tries: list[int] = []

    def handler(_: object) -> str:
        tries.append(1)
        if len(tries) < 1_100:
            raise RuntimeError
        return "done"

    retries = RetryPolicy(max_attempts=2_000, base=1e-9, cap=1e-9)
    with JobQueue(handler, retries=retries) as queue:
        assert queue.submit(1).result(WAIT) == "done"


DAMAGE = [
    ("tokens", "'many'"),
    ("tokens", "-5"),
    ("tokens", "1.5"),
    ("tokens", "9e999"),
    ("attempts", "'x'"),
    ("attempts", "-1"),
    ("priority", "'urgent'"),
    ("priority", "x'ff'"),
    ("payload", "'{'"),
    ("payload", "'[]'"),
    ("submitted_at", "'x'"),
    ("submitted_at", "9e999"),
    ("expires_at", "'soon'"),
    ("state", "'gone'"),
    ("state", "x'ff'"),
    ("not_before", "'later'"),
    ("not_before", "9e999"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_a_damaged_row_becomes_a_dead_letter_and_the_rest_is_done(
    tmp_path: Path, column: str, value: str
) -> None:
    rates = {"requests_per_minute": 6_000, "tokens_per_minute": 1_000_000}
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        damaged, second, third = queue.submit_many([1, 2, 3])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE jobs SET {column} = {value} WHERE id = ?", (damaged.id,))
    with JobQueue(double, path=path, **rates) as queue:  # type: ignore[arg-type]
        assert queue.handle(second.id).result(WAIT) == 4
        assert queue.handle(third.id).result(WAIT) == 6
        with pytest.raises(ItemError, match=r"stored|submitted"):
            queue.handle(damaged.id).result(WAIT)
        eventually(lambda: queue.stats().dead == 1)
        (letter,) = queue.dead.list()
        assert letter.id == damaged.id
        assert letter.error
        assert letter.error_kind in ("DamagedJob", "PoisonedPayload")
        assert queue.submit("again", key=damaged.id).result(WAIT) == "againagain"
        assert queue.stats().dead == 0


@pytest.mark.parametrize("value", ["x'ff'", "CAST(x'ff' AS TEXT)", "''"])
@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_row_without_a_usable_id_stops_nothing(tmp_path: Path, value: str, state: str) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        damaged, second = queue.submit_many([1, 2])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE jobs SET id = {value}, state = ? WHERE id = ?", (state, damaged.id))
    with JobQueue(double, path=path, lease=0.1) as queue:
        assert queue.handle(second.id).result(WAIT) == 4
        eventually(lambda: queue.stats().dead == 1)
        (letter,) = queue.dead.list()
        assert letter.id.startswith("damaged-")
        assert queue.dead.purge() == 1


@pytest.mark.parametrize("level", ["'x'", "-9e300", "x'00'", "9e999"])
def test_damaged_rates_hold_nothing_back(tmp_path: Path, level: str) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(double, path=path, requests_per_minute=6_000) as queue:
        queue.submit(1).result(WAIT)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE buckets SET requests = {level}, tokens = {level}")
    now = [time.time()]
    with JobQueue(double, path=path, requests_per_minute=6_000, clock=lambda: now[0]) as queue:
        handle = queue.submit(1)
        now[0] += 80  # at most what a minute's allowance needs to fill again
        assert handle.result(WAIT) == 2


def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return what makes the disk of the connections made from now on full, or gives it room."""
    real, made = sqlite3.connect, list[sqlite3.Connection]()

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        made.append(real(*args, **options))
        return made[-1]

    def full(on: bool) -> None:
        made[-1].execute(f"PRAGMA max_page_count = {1 if on else 100_000}")

    monkeypatch.setattr(sqlite3, "connect", connect)
    return full


def test_closing_with_a_full_disk_says_what_is_not_stored_and_gives_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = disk(monkeypatch)
    monkeypatch.setattr(worker_module, "LAST_SECONDS", 0.3)
    results: list[Any] = []

    def handler(payload: str) -> str:
        full(True)
        return payload * 50_000

    queue = JobQueue(handler, path=tmp_path / "jobs.db")
    handle = queue.submit("x", callback=lambda job: results.append(job.result))
    eventually(lambda: queue.get(handle.id).state == "running")  # type: ignore[union-attr]
    with pytest.raises(StoreError, match=f"1 finished jobs could not be stored.*{handle.id}"):
        queue.close()
    assert results == ["x" * 50_000]
    assert handle.result(WAIT) == "x" * 50_000


def test_a_close_that_takes_too_long_gives_the_results_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = disk(monkeypatch)
    results: list[Any] = []

    def handler(payload: str) -> str:
        full(True)
        return payload * 50_000

    queue = JobQueue(handler, path=tmp_path / "jobs.db")
    handle = queue.submit("x", callback=lambda job: results.append(job.result))
    eventually(lambda: queue.get(handle.id).state == "running")  # type: ignore[union-attr]
    with pytest.raises(TimeoutError, match=f"could not be stored.*{handle.id}"):
        queue.close(timeout=0.5)
    assert results == ["x" * 50_000]
    assert handle.result(WAIT) == "x" * 50_000


def test_a_file_that_is_moved_away_costs_no_running_job(tmp_path: Path) -> None:
    path, started, gate = tmp_path / "jobs.db", threading.Event(), threading.Event()

    def handler(payload: str) -> str:
        started.set()
        assert gate.wait(WAIT)
        return payload * 2

    with JobQueue(handler, path=path, concurrency=1) as queue:
        running, waiting = queue.submit_many(["a", "b"])
        assert started.wait(WAIT)
        path.rename(tmp_path / "old.db")
        after = queue.submit("c")
        with pytest.raises(ItemError, match="no job"):
            waiting.result(WAIT)
        gate.set()
        assert running.result(WAIT) == "aa"
        assert after.result(WAIT) == "cc"
        stored = queue.get(running.id)
        assert stored is not None
        assert (stored.state, stored.result) == ("done", "aa")
        assert queue.stats().done == 2


def test_a_job_whose_file_was_deleted_is_retried(tmp_path: Path) -> None:
    path, tries = tmp_path / "jobs.db", list[str]()

    def handler(payload: str) -> str:
        tries.append(payload)
        if len(tries) == 1:
            path.unlink()
            raise RuntimeError("once")
        return payload * 2

    with JobQueue(handler, path=path, retries=QUICK) as queue:
        assert queue.submit("a").result(WAIT) == "aa"
    assert tries == ["a", "a"]


class Broken(SQLiteJobStore):
    """A store in memory whose claims and look-ups fail while `broken`."""

    broken = True

    async def claim(self, *args: Any) -> Any:
        if self.broken:
            raise StoreError("disk full")
        return await super().claim(*args)

    async def get(self, *args: Any) -> Any:
        if self.broken:
            raise StoreError("disk full")
        return await super().get(*args)


def test_a_trouble_that_lasts_is_logged_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llm_optimizers.batching.queue.queue.SQLiteJobStore", Broken)
    heard: list[Event] = []
    with subscribe(heard.append, StoreFailed, StoreRecovered), JobQueue(double) as queue:
        handle = queue.submit(1)
        with pytest.raises(TimeoutError):
            handle.result(2.5)
        Broken.broken = False
        assert handle.result(WAIT) == 2
    assert Counter(map(type, heard)) == {StoreFailed: 2, StoreRecovered: 2}
    for text in (
        "the job store failed, trying again: disk full",
        "the job store works again",
        "the job store cannot be read, trying again: disk full",
        "the job store can be read again",
    ):
        assert caplog.text.count(text) == 1, text


def test_the_clock_of_a_queue_never_goes_back() -> None:
    now = [1_000.0]
    clock = QueueClock(lambda: now[0])
    assert clock() == 1_000.0
    now[0] -= 3_600
    assert clock() == 1_000.0
    now[0] += 60
    assert clock() == 1_060.0


def test_a_clock_set_back_delays_no_retry_and_no_lease(tmp_path: Path) -> None:
    ahead = [0.0]

    def clock() -> float:
        return time.time() + ahead[0]

    tries: list[str] = []

    def handler(payload: str) -> str:
        tries.append(payload)
        if len(tries) == 1:
            threading.Timer(0.1, lambda: ahead.__setitem__(0, -3_600.0)).start()
            raise RuntimeError("once")
        return payload

    path = tmp_path / "jobs.db"
    retries = RetryPolicy(base=0.5)
    with JobQueue(handler, path=path, clock=clock, retries=retries) as queue:
        assert queue.submit("a").result(WAIT) == "a"
    assert tries == ["a", "a"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_lost_workers_job_is_taken_over_by_one_with_another_clock(
    tmp_path: Path, hours: int
) -> None:
    path, gate = tmp_path / "jobs.db", threading.Event()
    lost = JobQueue(lambda _: gate.wait(WAIT), path=path, lease=0.5)
    handle = lost.submit("a")
    eventually(lambda: lost.stats().running == 1)
    with pytest.raises(TimeoutError):
        lost.close(timeout=0.01)
    other = JobQueue(
        double, path=path, lease=0.5, clock=lambda: time.time() + hours * 3_600, name="default"
    )
    with other:
        assert other.handle(handle.id).result(WAIT) == "aa"
        gate.set()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_running_job_is_not_taken_over_by_one_with_another_clock(
    tmp_path: Path, hours: int
) -> None:
    path, gate, runs = tmp_path / "jobs.db", threading.Event(), list[str]()

    def handler(payload: str) -> str:
        runs.append(payload)
        assert gate.wait(WAIT)
        return payload

    with JobQueue(handler, path=path, lease=1.0) as queue:
        handle = queue.submit("a")
        eventually(lambda: runs)
        with JobQueue(
            handler, path=path, lease=1.0, clock=lambda: time.time() + hours * 3_600
        ) as other:
            time.sleep(2.5)
            assert other.stats().running == 1
            gate.set()
            assert handle.result(WAIT) == "a"
    assert runs == ["a"]


async def test_processes_on_one_file_share_a_time_that_setting_the_clock_does_not_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SQLiteJobStore("q", tmp_path / "jobs.db")
    second = SQLiteJobStore("q", tmp_path / "jobs.db")
    before = await first.time()
    if before is None:
        pytest.skip("this system does not tell one start from another")
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall - 3_600)
    after = await second.time()
    assert after is not None
    assert after >= before
    monkeypatch.setattr(time, "time", lambda: wall + 90_000)  # the first time was wrong
    corrected = await second.time()
    assert corrected is not None
    assert corrected >= wall + 80_000
    await first.close()
    await second.close()


async def test_no_lease_ends_because_nobody_could_write(tmp_path: Path) -> None:
    path, rules = tmp_path / "jobs.db", QueueRules(lease=0.5)
    owner, other = SQLiteJobStore("q", path), SQLiteJobStore("q", path)
    await owner.add([Job(id="a", queue="q", payload=1, submitted_at=time.time())], rules)
    (job,) = (await owner.claim("w", 1, rules, time.time())).jobs
    assert (await other.claim("v", 1, rules, time.time())).jobs == ()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await other.claim("v", 1, rules, time.time())
        db.execute("ROLLBACK")
    assert (await other.claim("v", 1, rules, time.time())).jobs == ()
    await owner.renew([job], "w", rules, time.time())
    await owner.close()
    await other.close()


def test_statistics_and_dead_letters_of_a_file_are_read_without_writing(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        late = queue.submit(1, max_wait=0.2)
        queue.submit(2)
        time.sleep(0.3)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")  # nobody else can write
            stats = queue.stats()
            assert (stats.depth, stats.expired) == (1, 1)
            assert queue.dead.list() == []
            found = queue.get(late.id)
            assert found is not None
            assert (found.state, found.payload) == ("expired", None)
            db.execute("ROLLBACK")


async def test_handlers_go_on_while_another_process_has_locked_the_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    turns: list[None] = []
    over = threading.Event()

    async def handler(_: object) -> str:
        while not over.is_set():
            turns.append(None)
            await asyncio.sleep(0.01)
        return "done"

    with JobQueue(handler, path=path) as queue:
        running = queue.submit(1)
        eventually(lambda: turns)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            submitted = asyncio.create_task(queue.asubmit(2))
            await asyncio.sleep(0)
            known = len(turns)
            await asyncio.to_thread(eventually, lambda: len(turns) > known + 100)
            assert not submitted.done()
            other.execute("ROLLBACK")
        over.set()
        assert await running == "done"
        assert await (await submitted) == "done"


@pytest.mark.parametrize("state", ["done", "dead"])
def test_a_job_that_no_worker_ended_has_no_result(tmp_path: Path, state: str) -> None:
    path = tmp_path / "jobs.db"
    with JobQueue(path=path) as queue:
        handle = queue.submit(1, key="one")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET state = ?", (state,))
    with JobQueue(double, path=path) as queue:
        with pytest.raises(ItemError, match="damaged"):
            queue.handle(handle.id).result(WAIT)
        assert queue.submit(1, key="one").result(WAIT) == 2


async def test_handles_give_their_results_after_the_queue_was_closed() -> None:
    with JobQueue(double) as queue:
        handle = queue.submit(2)
    assert handle.result(WAIT) == 4
    assert await handle == 4


def test_a_job_that_waits_in_a_closed_queue_is_refused(tmp_path: Path) -> None:
    with JobQueue(path=tmp_path / "jobs.db") as queue:
        handle = queue.submit(2)
    with pytest.raises(RefusedError, match="closed"):
        handle.result(WAIT)
