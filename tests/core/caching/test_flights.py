"""Single flight by itself: who leads, who waits, and what waiters are given."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_optimizers.caching.single_flight import InFlightCall, SingleFlight

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
