"""What every job store must do: in memory, in a file, on Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching.queue.job import AttemptOutcome, Job, Priority
from llm_optimizers.batching.queue.rules import QueueRules, Rates, RetryPolicy
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import ConfigurationError
from support.programs import needs_redis
from support.redis_server import redis_server

NOW = 1_800_000_000.0
RULES = QueueRules(aging=60, lease=30, retries=RetryPolicy(max_attempts=3))
DONE = AttemptOutcome(state="done", result={"ok": True})


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(
    params=["memory", "file", pytest.param("redis", marks=[pytest.mark.loopback, needs_redis])]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], JobStore]:
    """Makes a store for a queue's name; all of one test share a file or a Redis."""
    if request.param == "redis":
        from llm_optimizers.batching.queue.redis import RedisJobStore

        url, run = request.getfixturevalue("redis_url"), uuid.uuid4().hex
        return lambda name: RedisJobStore(f"{run}{name}", url)
    path = tmp_path / "jobs.db" if request.param == "file" else None
    return lambda name: SQLiteJobStore(name, path)


@pytest.fixture
async def store(make: Callable[[str], JobStore]) -> AsyncIterator[JobStore]:
    store = make("q")
    await store.open()
    yield store
    await store.close()


def job(name: str, priority: Priority = "medium", at: float = NOW, **changes: Any) -> Job:
    made = Job(id=name, queue="q", payload={"n": name}, submitted_at=at, priority=priority)
    return replace(made, **changes)


async def started(
    store: JobStore, slots: int, at: float, *, worker: str = "w", rules: QueueRules = RULES
) -> list[Job]:
    """The jobs that a claim starts, in order."""
    return list((await store.claim(worker, slots, rules, at)).jobs)


async def ids(store: JobStore, slots: int, at: float, **options: Any) -> str:
    """Their ids."""
    return " ".join(job.id for job in await started(store, slots, at, **options))


async def state(store: JobStore, name: str, at: float = NOW) -> str:
    (found,) = await store.get([name], at)
    assert found is not None
    return found.state


async def test_a_job_goes_from_waiting_over_running_to_done(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (first,) = await started(store, 1, NOW + 1)
    assert (first.payload, first.attempts, first.state) == ({"n": "a"}, 1, "running")
    assert await store.acknowledge(first, "w", DONE, NOW + 3)
    (done,) = await store.get(["a"], NOW + 3)
    assert done is not None
    assert (done.state, done.result, done.payload) == ("done", {"ok": True}, None)
    assert (done.started_at, done.finished_at) == (NOW + 1, NOW + 3)
    assert await ids(store, 1, NOW) == ""


async def test_the_same_key_is_the_same_job_also_when_it_is_done(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (again,) = await store.add([job("a", at=NOW + 9)], RULES)
    assert again.submitted_at == NOW
    (first,) = await started(store, 1, NOW)
    await store.acknowledge(first, "w", DONE, NOW)
    (done,) = await store.add([job("a")], RULES)
    assert (done.state, done.result) == ("done", {"ok": True})
    assert await ids(store, 1, NOW) == ""
    with pytest.raises(ConfigurationError, match="another payload"):
        await store.add([job("a", payload="else")], RULES)


async def test_unknown_jobs_are_none(store: JobStore) -> None:
    assert await store.get(["unknown"], NOW) == [None]


async def test_high_goes_before_medium_before_low_and_first_come_first(store: JobStore) -> None:
    await store.add(
        [job("l", "low"), job("m1", at=NOW), job("m2", at=NOW + 1), job("h", "high", at=NOW + 2)],
        RULES,
    )
    assert await ids(store, 4, NOW + 3) == "h m1 m2 l"


async def test_a_job_that_waited_long_overtakes_newer_ones_above_it(store: JobStore) -> None:
    await store.add([job("l", "low"), job("h", "high", at=NOW + 119)], RULES)
    await store.add([job("h2", "high", at=NOW + 121)], RULES)
    assert await ids(store, 3, NOW + 130) == "h l h2"


async def test_queues_in_one_place_do_not_see_each_other(
    make: Callable[[str], JobStore],
) -> None:
    # With a naive prefix the second one's keys would be among the first one's jobs.
    store, other = make("q"), make("q}:job:{a")
    await store.open()
    await other.open()
    await store.add([job("a"), job("{a}:stream:high")], RULES)
    assert await ids(other, 9, NOW) == ""
    assert await other.get(["a"], NOW) == [None]
    assert (await other.stats(NOW)).depth == 0
    await other.add([job("a", payload="another", queue="q}:job:{a")], RULES)
    assert await ids(store, 9, NOW) == "a {a}:stream:high"
    await store.close()
    await other.close()


async def test_a_job_past_its_deadline_expires_and_is_never_started(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10), job("b", expires_at=NOW + 20)], RULES)
    assert await state(store, "a", NOW + 9) == "waiting"
    assert await ids(store, 2, NOW + 10) == "b"
    assert await state(store, "a", NOW + 10) == "expired"
    assert await state(store, "b", NOW + 30) == "running"


async def test_a_job_expires_also_without_a_worker(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10)], RULES)
    assert await state(store, "a", NOW + 11) == "expired"
    (late,) = await store.get(["a"], NOW + 11)
    assert late is not None
    assert late.payload is None


async def test_a_retry_waits_until_its_time(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (first,) = await started(store, 1, NOW)
    again = AttemptOutcome(state="waiting", error="busy", error_kind="Busy", not_before=NOW + 5)
    assert await store.acknowledge(first, "w", again, NOW)
    early = await store.claim("w", 1, RULES, NOW + 4)
    assert early.jobs == ()
    assert early.retry_at == NOW + 5
    (second,) = await started(store, 1, NOW + 5)
    assert (second.id, second.attempts) == ("a", 2)
    assert await store.acknowledge(second, "w", DONE, NOW + 6)
    (done,) = await store.get(["a"], NOW + 6)
    assert done is not None
    assert (done.result, done.error) == ({"ok": True}, None)


async def test_a_second_retry_waits_too(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    for moment in (0, 5):
        (failed,) = await started(store, 1, NOW + moment)
        again = AttemptOutcome(state="waiting", not_before=NOW + moment + 5)
        assert await store.acknowledge(failed, "w", again, NOW + moment)
    assert await ids(store, 1, NOW + 9) == ""
    assert await ids(store, 1, NOW + 10) == "a"


async def test_a_retry_keeps_its_place_among_those_that_wait(store: JobStore) -> None:
    await store.add([job("m1"), job("m2", at=NOW + 1), job("h", "high", at=NOW + 80)], RULES)
    (first,) = await started(store, 1, NOW + 2)
    again = AttemptOutcome(state="waiting", not_before=NOW + 90)
    assert await store.acknowledge(first, "w", again, NOW + 2)
    await store.add([job("m3", at=NOW + 89), job("l", "low", at=NOW - 100)], RULES)
    assert await ids(store, 9, NOW + 91) == "l m1 m2 h m3"


async def test_a_retry_past_its_deadline_expires(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10)], RULES)
    (first,) = await started(store, 1, NOW)
    again = AttemptOutcome(state="waiting", not_before=NOW + 20)
    assert await store.acknowledge(first, "w", again, NOW)
    assert await state(store, "a", NOW + 9) == "waiting"
    assert (await store.stats(NOW + 11)).expired == 1
    assert await ids(store, 1, NOW + 21) == ""


SHORT = replace(RULES, lease=0.05)
RENEWED = replace(RULES, lease=0.5)
LONG = replace(RULES, lease=60.0)


async def lapse() -> None:
    """Wait out a short lease; Redis measures it by its own clock, SQLite by the caller's."""
    await asyncio.sleep(SHORT.lease + 0.02)


FAILED = AttemptOutcome(state="dead", error="no", error_kind="BadRequest")


async def taken_over(store: JobStore) -> tuple[Job, Job]:
    """A job whose worker "w" did not renew it, as started there and then by "other"."""
    await store.add([job("a"), job("b", at=NOW + 1)], RULES)
    (first,) = await started(store, 1, NOW, rules=SHORT)
    assert await ids(store, 1, NOW + 0.04, worker="other") == "b"
    assert await ids(store, 1, NOW + 0.04, worker="other") == ""
    await lapse()
    (second,) = await started(store, 1, NOW + 0.1, worker="other", rules=SHORT)
    assert (second.id, second.attempts) == ("a", 2)
    return first, second


async def test_a_dead_workers_job_is_taken_over_and_its_late_failure_refused(
    store: JobStore,
) -> None:
    first, second = await taken_over(store)
    assert not await store.acknowledge(first, "w", FAILED, NOW + 1)
    assert await state(store, "a", NOW + 1) == "running"
    assert await store.acknowledge(second, "other", DONE, NOW + 2)
    assert not await store.acknowledge(second, "other", DONE, NOW + 2)


async def test_the_first_result_of_a_job_is_kept_whoever_brings_it(store: JobStore) -> None:
    first, second = await taken_over(store)
    assert await store.acknowledge(first, "w", DONE, NOW + 1)
    assert not await store.acknowledge(second, "other", FAILED, NOW + 2)
    late = replace(DONE, result="second")
    assert not await store.acknowledge(second, "other", late, NOW + 2)
    (found,) = await store.get(["a"], NOW + 2)
    assert found is not None
    assert (found.state, found.result, found.error) == ("done", {"ok": True}, None)
    assert (await store.stats(NOW + 2)).dead == 0
    assert await ids(store, 9, NOW + 3, worker="other", rules=LONG) in ("", "b")


async def test_a_result_that_comes_before_the_next_attempt_is_kept(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 99), job("b", at=NOW + 1)], RULES)
    (first,) = await started(store, 1, NOW, rules=SHORT)
    await lapse()
    # The rates start "c" and nothing more, so that the job is taken over and waits.
    await store.add([job("c", "high", at=NOW - 99)], RULES)
    rates = replace(SHORT, rates=Rates(requests_per_minute=1))
    assert await ids(store, 2, NOW + 70, rules=rates) == "c"
    assert await state(store, "a", NOW + 70) == "waiting"
    assert await store.acknowledge(first, "w", DONE, NOW + 71)
    assert await state(store, "a", NOW + 200) == "done"
    assert await ids(store, 9, NOW + 200, rules=LONG) == "b"


async def test_a_paid_result_is_kept_after_its_job_was_given_up(store: JobStore) -> None:
    rules = replace(SHORT, retries=RetryPolicy(max_attempts=1))
    await store.add([job("a")], rules)
    (first,) = await started(store, 1, NOW, rules=rules)
    await lapse()
    assert await ids(store, 1, NOW + 1, rules=rules) == ""
    assert [dead.error_kind for dead in await store.dead(9)] == ["WorkerLost"]
    assert await store.acknowledge(first, "w", DONE, NOW + 2)
    assert await state(store, "a", NOW + 2) == "done"
    assert await store.dead(9) == []
    stats = await store.stats(NOW + 2)
    assert (stats.done, stats.dead) == (1, 0)


async def test_a_late_result_of_other_work_under_the_same_key_is_refused(store: JobStore) -> None:
    rules = replace(SHORT, retries=RetryPolicy(max_attempts=1))
    await store.add([job("a")], rules)
    (first,) = await started(store, 1, NOW, rules=rules)
    await lapse()
    assert await ids(store, 1, NOW + 1, rules=rules) == ""
    assert await store.purge(["a"]) == 1
    await store.add([job("a", payload="other work")], rules)
    assert not await store.acknowledge(first, "w", DONE, NOW + 2)
    assert await state(store, "a", NOW + 2) == "waiting"


async def test_a_worker_that_takes_its_own_job_over_ends_it_once(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (first,) = await started(store, 1, NOW, rules=SHORT)
    await lapse()
    (second,) = await started(store, 1, NOW + 0.1, rules=SHORT)
    assert not await store.acknowledge(first, "w", FAILED, NOW + 1)
    assert await store.acknowledge(second, "w", DONE, NOW + 1)
    assert not await store.acknowledge(first, "w", DONE, NOW + 1)


async def test_leases_do_not_depend_on_the_clocks_of_the_workers(store: JobStore) -> None:
    await store.add([job("a")], RULES)
    (first,) = await started(store, 1, NOW, rules=LONG)
    assert await ids(store, 1, NOW + 3_600, worker="other", rules=LONG) == ""
    await store.renew([first], "w", LONG, NOW - 3_600)
    assert await ids(store, 1, NOW - 3_600, worker="other", rules=LONG) == ""
    taken = ""
    while not taken:
        await lapse()
        taken = await ids(store, 1, NOW - 3_600, worker="other", rules=SHORT)
    assert taken == "a"


async def test_a_job_above_a_minutes_tokens_becomes_a_dead_letter(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(tokens_per_minute=1_000))
    await store.add([job("a", tokens=1_001), job("b", tokens=1_000, at=NOW + 1)], rules)
    assert await ids(store, 9, NOW + 1, rules=rules) == "b"
    (dead,) = await store.dead(9)
    assert (dead.id, dead.error_kind) == ("a", "TooManyTokens")
    assert "needs 1001 tokens and the queue lets 1000 a minute" in (dead.error or "")
    assert await store.replay(["a"], NOW + 2, RULES) == 1
    assert await ids(store, 9, NOW + 2, rules=RULES) == "a"


async def test_a_lease_that_is_renewed_is_not_taken_over(store: JobStore) -> None:
    await store.add([job("a"), job("b", at=NOW + 1)], RULES)
    first, second = await started(store, 2, NOW, rules=SHORT)
    await asyncio.sleep(RENEWED.lease)
    await store.renew([first], "w", RULES, NOW + 0.06)
    await store.renew([second], "other", RULES, NOW + 0.06)
    assert await ids(store, 2, NOW + 0.1, worker="other", rules=RENEWED) == "b"
    assert await store.acknowledge(first, "w", DONE, NOW + 1)


async def test_a_job_whose_workers_die_at_every_attempt_becomes_a_dead_letter(
    store: JobStore,
) -> None:
    await store.add([job("a")], RULES)
    for attempt in range(3):
        assert await ids(store, 1, NOW + attempt, rules=SHORT) == "a"
        await lapse()
    assert await ids(store, 1, NOW + 3, rules=SHORT) == ""
    (dead,) = await store.dead(10)
    assert (dead.id, dead.error_kind, dead.attempts) == ("a", "WorkerLost", 3)


async def test_dead_letters_are_listed_replayed_and_purged(store: JobStore) -> None:
    await store.add([job(n) for n in "abc"], RULES)
    dead_end = AttemptOutcome(state="dead", error="no", error_kind="BadRequest")
    for place, failed in enumerate(await started(store, 3, NOW)):
        assert await store.acknowledge(failed, "w", dead_end, NOW + place)
    letters = await store.dead(2)
    assert [(dead.id, dead.error, dead.payload) for dead in letters] == [
        ("c", "no", {"n": "c"}),
        ("b", "no", {"n": "b"}),
    ]
    assert await store.replay(["a", "unknown"], NOW + 9, RULES) == 1
    assert await store.replay(["a"], NOW + 9, RULES) == 0
    (again,) = await started(store, 1, NOW + 9)
    assert (again.id, again.attempts, again.error) == ("a", 1, None)
    assert await store.purge(["a", "b"]) == 1
    assert [dead.id for dead in await store.dead(10)] == ["c"]


async def test_a_replayed_job_has_no_deadline(store: JobStore) -> None:
    await store.add([job("a", expires_at=NOW + 10)], RULES)
    (failed,) = await started(store, 1, NOW)
    assert await store.acknowledge(failed, "w", AttemptOutcome(state="dead"), NOW)
    assert await store.replay(["a"], NOW + 1, RULES) == 1
    assert await state(store, "a", NOW + 11) == "waiting"
    assert await ids(store, 1, NOW + 11) == "a"


async def test_rates_hold_after_a_clock_was_set_back(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(requests_per_minute=1))
    await store.add([job("a"), job("b", at=NOW + 1)], rules)
    assert await ids(store, 2, NOW, rules=rules) == "a"
    held = await store.claim("w", 1, rules, NOW - 3_600)
    assert (held.jobs, held.retry_at) == ((), NOW - 3_540)
    assert await ids(store, 1, NOW - 3_540, rules=rules) == "b"


async def test_an_idle_hour_saves_up_no_more_than_the_burst(store: JobStore) -> None:
    rates = Rates(requests_per_minute=20, tokens_per_minute=1_000)
    rules = replace(RULES, rates=rates, lease=86_400.0)
    await store.add([job(str(n), tokens=60, at=NOW + n / 100) for n in range(9)], rules)
    assert await ids(store, 9, NOW + 1, rules=rules) == "0"
    assert await ids(store, 9, NOW + 3_600, rules=rules) == "1"
    await store.add([job(f"h{n}", "high", at=NOW) for n in range(9)], rules)
    assert await ids(store, 9, NOW + 7_200, rules=rules) == "h0 h1"


async def test_requests_per_minute_hold_over_all_claims(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(requests_per_minute=60))
    await store.add([job(str(n), at=NOW + n / 1000) for n in range(100)], rules)
    moments = []
    moment = NOW + 1
    while moment < NOW + 121:
        claimed = await store.claim("w", 9, rules, moment)
        moments += [moment] * len(claimed.jobs)
        moment = max(moment + 0.25, min(claimed.retry_at or 0, moment + 5))
    assert max(sum(1 for at in moments if since <= at < since + 60) for since in moments) <= 60
    assert len(moments) >= 90


async def test_tokens_per_minute_hold_back_the_next_job(store: JobStore) -> None:
    rules = replace(RULES, rates=Rates(tokens_per_minute=6_000))
    await store.add([job(str(n), tokens=500, at=NOW + n) for n in range(3)], rules)
    assert await ids(store, 2, NOW + 3, rules=rules) == "0"
    held = await store.claim("w", 1, rules, NOW + 3)
    assert held.jobs == ()
    assert held.retry_at is not None
    assert NOW + 3 < held.retry_at < NOW + 12
    assert await ids(store, 1, held.retry_at, rules=rules) == "1"


async def test_the_queue_can_be_counted(store: JobStore) -> None:
    await store.add(
        [job("a", "high"), job("b", "low"), job("c", expires_at=NOW + 6), job("d", at=NOW + 5)],
        RULES,
    )
    (first,) = await started(store, 1, NOW + 4)
    await store.acknowledge(first, "w", DONE, NOW + 5)
    await started(store, 1, NOW + 5)
    stats = await store.stats(NOW + 10)
    assert stats.waiting == {"high": 0, "medium": 1, "low": 1}
    assert (stats.running, stats.done, stats.dead, stats.expired) == (1, 1, 0, 0)
    assert stats.depth == 2
    assert stats.oldest_waiting_s == 10
    assert stats.waited is not None
    assert stats.ran is not None
    assert (stats.waited.median, stats.ran.p95) == (4, 1)


async def test_the_oldest_waiting_job_may_be_a_retry(store: JobStore) -> None:
    await store.add([job("a"), job("b", at=NOW + 5)], RULES)
    (failed,) = await started(store, 1, NOW + 6)
    again = AttemptOutcome(state="waiting", not_before=NOW + 60)
    assert await store.acknowledge(failed, "w", again, NOW + 6)
    stats = await store.stats(NOW + 10)
    assert (stats.oldest_waiting_s, stats.waiting["medium"], stats.running) == (10, 2, 0)


async def test_old_finished_jobs_are_deleted_and_dead_ones_kept(store: JobStore) -> None:
    await store.add([job("a"), job("b"), job("c", expires_at=NOW + 1), job("d")], RULES)
    claimed = await started(store, 2, NOW)
    await store.acknowledge(claimed[0], "w", DONE, NOW)
    await store.acknowledge(claimed[1], "w", AttemptOutcome(state="dead"), NOW)
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
    claims = await asyncio.gather(*(store.claim(f"w{n}", 7, RULES, NOW) for n in range(10)))
    names = [job.id for claim in claims for job in claim.jobs]
    assert sorted(names) == sorted(str(n) for n in range(50))
