"""Single flight by itself: who leads, who waits, and what waiters are given."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_optimizers.caching.in_flight.single_flight import (
    READER_PAUSE_S,
    InFlightCall,
    SingleFlight,
)

LIMIT = 20.0


@pytest.fixture
def flights() -> SingleFlight[str]:
    return SingleFlight()


def waiting_in_a_thread(call: InFlightCall[str], timeout: float) -> str | None:
    """What a wait in another thread gives: the leader's own thread must not wait."""
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(call.result(timeout)))
    thread.start()
    thread.join(LIMIT)
    return found[0]


def test_the_first_to_join_leads_and_keys_do_not_meet(flights: SingleFlight[str]) -> None:
    assert [flights.join(key).leading for key in "aab"] == [True, False, True]


def test_waiters_get_the_answer_and_the_next_caller_leads_again(
    flights: SingleFlight[str],
) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    assert flights.completed == 0
    flights.complete("k", leader, "answer")
    assert waiter.result(LIMIT) == "answer"
    assert not waiter.timed_out
    assert flights.completed == 1
    assert flights.join("k").leading


def test_a_leader_without_an_answer_sends_its_waiters_away(flights: SingleFlight[str]) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    flights.complete("k", leader, None)
    assert waiter.result(LIMIT) is None
    assert not waiter.timed_out


def test_a_wait_that_runs_out_of_time_says_so(flights: SingleFlight[str]) -> None:
    flights.join("k")
    waiter = flights.join("k")
    assert waiting_in_a_thread(waiter, 0.01) is None
    assert waiter.timed_out


async def test_a_coroutine_that_runs_out_of_time_says_so(flights: SingleFlight[str]) -> None:
    flights.join("k")
    waiter = await asyncio.create_task(joined(flights))
    assert await asyncio.create_task(waiter.aresult(0.01)) is None
    assert waiter.timed_out


async def joined(flights: SingleFlight[str]) -> InFlightCall[str]:
    return flights.join("k")


async def test_a_coroutine_gets_the_answer_of_a_thread(flights: SingleFlight[str]) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    waiting = asyncio.create_task(waiter.aresult(LIMIT))
    await asyncio.sleep(0)
    await asyncio.to_thread(flights.complete, "k", leader, "answer")
    assert await waiting == "answer"
    assert not waiter.timed_out
    assert await waiter.aresult(LIMIT) == "answer"


def test_a_wait_without_end_is_as_long_as_a_thread_can_wait(flights: SingleFlight[str]) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    timer = threading.Timer(0.05, flights.complete, ("k", leader, "answer"))
    timer.start()
    assert waiting_in_a_thread(waiter, float("inf")) == "answer"


def test_the_leaders_own_thread_does_not_wait_for_itself(flights: SingleFlight[str]) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    assert waiter.result(float("inf")) is None
    assert not waiter.timed_out
    flights.complete("k", leader, "answer")
    assert waiter.result(0) == "answer"


async def test_the_leaders_own_task_does_not_wait_for_itself(flights: SingleFlight[str]) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    assert await waiter.aresult(0.2) is None
    assert not waiter.timed_out
    flights.complete("k", leader, "answer")
    assert await waiter.aresult(LIMIT) == "answer"


def test_a_forgotten_call_still_answers_those_who_wait_and_nobody_else(
    flights: SingleFlight[str],
) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    flights.forget("k", leader)
    second = flights.join("k")
    assert second.leading
    flights.complete("k", leader, "old")
    assert waiter.result(LIMIT) == "old"
    assert not flights.join("k").leading
    flights.complete("k", second, "new")
    assert flights.completed == 2
    assert flights.join("k").leading


async def test_a_waiter_whose_loop_has_ended_does_not_stop_the_leader(
    flights: SingleFlight[str],
) -> None:
    leader, waiter = flights.join("k"), flights.join("k")
    await asyncio.to_thread(asyncio.run, waiter.aresult(0.01))
    flights.complete("k", leader, "answer")
    assert await waiter.aresult(LIMIT) == "answer"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> SingleFlight[str]:
    return SingleFlight(clock)


async def outcome_of(call: InFlightCall[str], limit: float, *, in_thread: bool) -> str | None:
    """What a wait gives in another thread, or in this task."""
    if in_thread:
        return await asyncio.to_thread(call.result, limit)
    return await call.aresult(limit)


both_ways = pytest.mark.parametrize("in_thread", [True, False], ids=["thread", "task"])


async def led_elsewhere(flights: SingleFlight[str]) -> InFlightCall[str]:
    """A call led by a task that has ended, as by one that began to read a stream."""
    return await asyncio.create_task(joined(flights))


@both_ways
async def test_a_waiter_does_not_wait_for_a_reader_that_holds_the_stream(
    timed: SingleFlight[str], clock: Clock, in_thread: bool
) -> None:
    leader = await led_elsewhere(timed)
    leader.pause()
    clock.now += READER_PAUSE_S
    waiter = timed.join("k")
    assert await outcome_of(waiter, float("inf"), in_thread=in_thread) is None
    assert (waiter.stalled, waiter.timed_out) == (True, False)


@both_ways
async def test_a_waiter_waits_for_the_provider_however_long_that_takes(
    timed: SingleFlight[str], clock: Clock, in_thread: bool
) -> None:
    leader = await led_elsewhere(timed)
    waiter = timed.join("k")
    waiting = asyncio.create_task(outcome_of(waiter, 1_000.0, in_thread=in_thread))
    for _ in range(3):
        leader.pause()
        clock.now += READER_PAUSE_S / 10
        leader.resume()
        clock.now += 100.0
        await asyncio.sleep(0.1)  # several looks at the leader
    timed.complete("k", leader, "answer")
    assert await waiting == "answer"
    assert (waiter.stalled, waiter.timed_out) == (False, False)


@both_ways
async def test_the_pauses_of_a_slow_reader_add_up(
    timed: SingleFlight[str], clock: Clock, in_thread: bool
) -> None:
    leader = await led_elsewhere(timed)
    leader.pause()
    clock.now += 100.0
    leader.resume()
    waiter = timed.join("k")
    waiting = asyncio.create_task(outcome_of(waiter, 1_000.0, in_thread=in_thread))
    for pause in (0.4, 0.4, 0.3):  # of what a waiter waits; those before it joined do not count
        assert not waiting.done()
        await asyncio.sleep(0.1)
        leader.pause()
        clock.now += READER_PAUSE_S * pause
        leader.resume()
    assert await waiting is None
    assert waiter.stalled


async def test_one_waiter_of_a_stalled_call_leads_and_the_others_wait_for_it(
    timed: SingleFlight[str], clock: Clock
) -> None:
    stalled = await led_elsewhere(timed)
    waiters = [timed.join("k") for _ in range(4)]
    stalled.pause()
    clock.now += 1.0
    for waiter in waiters:
        assert await waiter.aresult(60) is None
    again = [timed.join("k", waiter) for waiter in waiters]
    assert [call.leading for call in again] == [True, False, False, False]
    timed.complete("k", stalled, "late")
    assert not timed.join("k").leading
    timed.complete("k", again[0], "answer")
    assert [await call.aresult(60) for call in again[1:]] == ["answer"] * 3


async def test_the_time_waited_for_earlier_leaders_counts(
    timed: SingleFlight[str], clock: Clock
) -> None:
    stalled = await led_elsewhere(timed)
    waiters = [timed.join("k") for _ in range(2)]
    waiting = asyncio.create_task(waiters[1].aresult(60))
    await asyncio.sleep(0)
    clock.now += 50.0
    stalled.pause()
    clock.now += 1.0
    assert await waiting is None
    assert (waiters[1].stalled, waiters[1].timed_out) == (True, False)
    await asyncio.create_task(joined_after(timed, waiters[0]))
    second = timed.join("k", waiters[1])
    waiting = asyncio.create_task(second.aresult(60))
    await asyncio.sleep(0)
    clock.now += 9.0
    assert await waiting is None
    assert second.timed_out


async def joined_after(flights: SingleFlight[str], stalled: InFlightCall[str]) -> InFlightCall[str]:
    return flights.join("k", stalled)


@both_ways
async def test_a_leader_that_was_stopped_is_followed_by_one_waiter(
    timed: SingleFlight[str], in_thread: bool
) -> None:
    leader = await led_elsewhere(timed)
    waiters = [timed.join("k") for _ in range(3)]
    timed.complete("k", leader, None, given_up=True)
    for waiter in waiters:
        assert await outcome_of(waiter, 60, in_thread=in_thread) is None
        assert waiter.stalled
    assert [timed.join("k", waiter).leading for waiter in waiters] == [True, False, False]


def test_a_leader_in_an_event_loop_that_was_stopped_is_not_waited_for(
    flights: SingleFlight[str],
) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(joined(flights))
    waiter = flights.join("k")
    assert waiting_in_a_thread(waiter, float("inf")) is None
    assert waiter.stalled
    loop.close()
