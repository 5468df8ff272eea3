"""What every job store keeps: in memory, in a file, on Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching.queue.job import Job, Priority, Settlement
from llm_optimizers.batching.queue.rules import QueueRules, Rates, RetryPolicy
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import ConfigurationError
from support.redis_server import redis_server

NOW = 1_800_000_000.0
RULES = QueueRules(ageing=60, lease=30, retries=RetryPolicy(max_attempts=3))
DONE = Settlement(state="done", result={"ok": True})


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["memory", "file", pytest.param("redis", marks=pytest.mark.loopback)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    store: JobStore
    if request.param == "redis":
        from llm_optimizers.batching.queue.redis import RedisJobStore

        url = request.getfixturevalue("redis_url")
        store = RedisJobStore(f"q-{uuid.uuid4().hex}", url, lease=30)
    else:
        path = tmp_path / "jobs.db" if request.param == "file" else None
        store = SQLiteJobStore("q", path)
    await store.open()
    yield store
    await store.close()


def job(name: str, priority: Priority = "medium", at: float = NOW, **changes: Any) -> Job:
    made = Job(id=name, queue="q", payload={"n": name}, submitted_at=at, priority=priority)
    return replace(made, **changes)


async def claim(store: JobStore, *tickets: str, at: float = NOW, rules: QueueRules = RULES) -> str:
    """The ids that were started, in order."""
    claim = await store.claim(tickets, rules, at)
    return " ".join(started.id for started in claim.jobs)


async def state(store: JobStore, name: str, at: float = NOW) -> str:
    (found,) = await store.get([name], at)
    assert found is not None
    return found.state


async def test_a_job_goes_from_waiting_over_running_to_done(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (started,) = (await store.claim(["t"], RULES, NOW + 1)).jobs
    assert (started.payload, started.attempts, started.state) == ({"n": "a"}, 1, "running")
    assert await store.settle(started, "t", DONE, NOW + 3)
    (done,) = await store.get(["a"], NOW + 3)
    assert done is not None
    assert (done.state, done.result, done.payload) == ("done", {"ok": True}, None)
    assert (done.started_at, done.finished_at) == (NOW + 1, NOW + 3)
    assert await claim(store, "t2") == ""


async def test_the_same_key_is_the_same_job_whatever_became_of_it(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (again,) = await store.add([job("a", at=NOW + 9)], RULES)
    assert again.submitted_at == NOW
    (started,) = (await store.claim(["t"], RULES, NOW)).jobs
    await store.settle(started, "t", DONE, NOW)
    (done,) = await store.add([job("a")], RULES)
    assert (done.state, done.result) == ("done", {"ok": True})
    assert await claim(store, "t2") == ""
    with pytest.raises(ConfigurationError, match="another payload"):
        await store.add([job("a", payload="else")], RULES)


async def test_unknown_jobs_are_none(store: JobStore) -> None:
    assert await store.get(["nobody"], NOW) == [None]


async def test_high_goes_before_medium_before_low_and_first_come_first(store: JobStore) -> None:
    await store.add(
        [job("l", "low"), job("m1", at=NOW), job("m2", at=NOW + 1), job("h", "high", at=NOW + 2)],
        RULES,
    )
    assert await claim(store, *"1234", at=NOW + 3) == "h m1 m2 l"


async def test_a_job_that_waited_long_overtakes_newer_ones_above_it(store: JobStore) -> None:
    await store.add([job("l", "low"), job("h", "high", at=NOW + 119)], RULES)
    await store.add([job("h2", "high", at=NOW + 121)], RULES)
    assert await claim(store, *"123", at=NOW + 130) == "h l h2"


async def test_queues_of_one_file_are_apart(tmp_path: Path) -> None:
    store, other = (SQLiteJobStore(name, tmp_path / "jobs.db") for name in ("q", "other"))
    await store.open()
    await other.open()
    await store.add([job("a")], RULES)
    assert (await other.claim(["t"], RULES, NOW)).jobs == ()
    assert await other.get(["a"], NOW) == [None]
    await store.close()
    await other.close()


async def test_a_late_job_is_refused_and_never_started(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10), job("b", expires_at=NOW + 20)], RULES)
    assert await state(store, "a", NOW + 9) == "waiting"
    assert await claim(store, "1", "2", at=NOW + 10) == "b"
    assert await state(store, "a", NOW + 10) == "expired"
    assert await state(store, "b", NOW + 30) == "running"


async def test_a_late_job_is_refused_even_without_a_worker(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10)], RULES)
    assert await state(store, "a", NOW + 11) == "expired"
    (late,) = await store.get(["a"], NOW + 11)
    assert late is not None
    assert late.payload is None


async def test_a_retry_waits_until_its_time(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (started,) = (await store.claim(["t"], RULES, NOW)).jobs
    again = Settlement(state="waiting", error="busy", error_kind="Busy", not_before=NOW + 5)
    assert await store.settle(started, "t", again, NOW)
    assert await claim(store, "t2", at=NOW + 4) == ""
    assert (await store.claim(["t3"], RULES, NOW + 4)).retry_at == NOW + 5
    (second,) = (await store.claim(["t4"], RULES, NOW + 5)).jobs
    assert (second.id, second.attempts) == ("a", 2)


async def test_a_dead_workers_job_is_taken_over_and_its_late_word_refused(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (first,) = (await store.claim(["t"], RULES, NOW)).jobs
    assert await claim(store, "other", at=NOW + 29) == ""
    (second,) = (await store.claim(["t"], RULES, NOW + 31)).jobs
    assert second.attempts == 2
    assert not await store.settle(first, "t", DONE, NOW + 32)
    assert await state(store, "a", NOW + 32) == "running"
    assert await store.settle(second, "t", DONE, NOW + 33)
    assert not await store.settle(second, "t", DONE, NOW + 33)


async def test_a_job_that_kills_its_workers_dies_itself(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    for attempt in range(3):
        assert await claim(store, "t", at=NOW + 31 * attempt) == "a"
    assert await claim(store, "t", at=NOW + 31 * 3) == ""
    (dead,) = await store.dead(10)
    assert (dead.id, dead.error_kind, dead.attempts) == ("a", "WorkerLost", 3)


async def test_dead_letters_are_listed_replayed_and_purged(store: JobStore) -> None:
    await store.add([job(n) for n in "abc"], RULES)
    bury = Settlement(state="dead", error="no", error_kind="BadRequest")
    for place, started in enumerate((await store.claim(["1", "2", "3"], RULES, NOW)).jobs):
        assert await store.settle(started, str(place + 1), bury, NOW + place)
    letters = await store.dead(2)
    assert [(dead.id, dead.error, dead.payload) for dead in letters] == [
        ("c", "no", {"n": "c"}),
        ("b", "no", {"n": "b"}),
    ]
    assert await store.replay(["a", "nobody"], NOW + 9, RULES) == 1
    assert await store.replay(["a"], NOW + 9, RULES) == 0
    (again,) = (await store.claim(["t"], RULES, NOW + 9)).jobs
    assert (again.id, again.attempts, again.error) == ("a", 1, None)
    assert await store.purge(["a", "b"]) == 1
    assert [dead.id for dead in await store.dead(10)] == ["c"]


async def test_requests_a_minute_hold_over_all_claims(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(requests_per_minute=60))
    await store.add([job(str(n), at=NOW + n / 1000) for n in range(100)], rules)
    started = []
    moment = NOW + 1
    while moment < NOW + 121:
        claimed = await store.claim([f"{moment}-{n}" for n in range(9)], rules, moment)
        started += [moment] * len(claimed.jobs)
        moment = max(moment + 0.25, min(claimed.retry_at or 0, moment + 5))
    assert max(sum(1 for at in started if since <= at < since + 60) for since in started) <= 60
    assert len(started) >= 90


async def test_tokens_a_minute_hold_back_the_next_in_line(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(tokens_per_minute=6_000))
    await store.add([job(str(n), tokens=500, at=NOW + n) for n in range(3)], rules)
    assert await claim(store, "1", "2", at=NOW + 3, rules=rules) == "0"
    held = await store.claim(["3"], rules, NOW + 3)
    assert held.jobs == ()
    assert held.retry_at is not None
    assert NOW + 3 < held.retry_at < NOW + 12
    assert await claim(store, "4", at=held.retry_at, rules=rules) == "1"


async def test_the_queue_can_be_counted(store: JobStore) -> None:
    await store.add(
        [job("a", "high"), job("b", "low"), job("c", at=NOW + 5), job("d", expires_at=NOW + 6)],
        RULES,
    )
    (started,) = (await store.claim(["t"], RULES, NOW + 4)).jobs
    await store.settle(started, "t", DONE, NOW + 5)
    await claim(store, "t2", at=NOW + 5)
    stats = await store.stats(NOW + 10)
    assert stats.waiting == {"high": 0, "medium": 1, "low": 1}
    assert (stats.running, stats.done, stats.dead, stats.expired) == (1, 1, 0, 0)
    assert stats.depth == 2
    assert stats.oldest_waiting_s == 10
    assert stats.waited is not None
    assert stats.ran is not None
    assert (stats.waited.median, stats.ran.p95) == (4, 1)


async def test_old_settled_jobs_are_forgotten_and_dead_ones_kept(store: JobStore) -> None:
    await store.add([job("a"), job("b"), job("c", expires_at=NOW + 1), job("d")], RULES)
    claimed = (await store.claim(["1", "2"], RULES, NOW)).jobs
    await store.settle(claimed[0], "1", DONE, NOW)
    await store.settle(claimed[1], "2", Settlement(state="dead"), NOW)
    assert await state(store, "c", NOW + 1) == "expired"
    assert await store.forget(NOW) == 0
    assert await store.forget(NOW + 100) == 2
    known = await store.get(["a", "b", "c", "d"], NOW)
    assert [None if found is None else found.state for found in known] == [
        None,
        "dead",
        None,
        "waiting",
    ]


async def test_two_claimers_never_start_the_same_job(store: JobStore) -> None:
    await store.add([job(str(n)) for n in range(50)], RULES)
    claims = await asyncio.gather(
        *(store.claim([f"{n}-{m}" for m in range(7)], RULES, NOW) for n in range(10))
    )
    started = [job.id for claim in claims for job in claim.jobs]
    assert sorted(started) == sorted(str(n) for n in range(50))


async def test_a_lease_that_is_renewed_is_not_taken_over(tmp_path: Path) -> None:
    store = SQLiteJobStore("q", tmp_path / "jobs.db")
    await store.open()
    await store.add([job("a")], RULES)
    assert await claim(store, "alive") == "a"
    await store.renew(["alive"], RULES, NOW + 20)
    assert await claim(store, "other", at=NOW + 49) == ""
    assert await claim(store, "other", at=NOW + 50) == "a"
    await store.close()
