"""Slots: how many requests may be held at once, and that none is lost by a waiter who gives up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_optimizers.batching.coalescing.slots import Slots
from llm_optimizers.errors import ConfigurationError, DeadlineError, RefusedError
from support.waiting import eventually

LIMIT = 20.0


def full(limit: int = 1) -> Slots:
    slots = Slots(limit)
    for _ in range(limit):
        slots.acquire(timeout=0)
    return slots


def test_a_limit_below_one_is_refused_and_one_is_enough() -> None:
    with pytest.raises(ConfigurationError, match="`max_pending` is 0"):
        Slots(0)
    slots = full(1)
    with pytest.raises(DeadlineError, match=r"within 0\.0 s"):
        slots.acquire(timeout=0.0)


def test_as_many_as_the_limit_are_let_in_and_a_released_slot_is_used_again() -> None:
    slots = full(3)
    with pytest.raises(DeadlineError):
        slots.acquire(timeout=0)
    for _ in range(5):
        slots.release()
        slots.acquire(timeout=0)
    with pytest.raises(DeadlineError):
        slots.acquire(timeout=0)


async def test_a_waiter_that_is_cancelled_as_it_gets_its_slot_gives_it_back() -> None:
    slots = full()
    waiter = asyncio.create_task(slots.acquire_async())
    await asyncio.sleep(0)
    slots.release()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    slots.acquire(timeout=0)


def test_a_waiter_that_gave_up_is_passed_over() -> None:
    slots = full()
    with pytest.raises(DeadlineError):
        slots.acquire(timeout=0)
    slots.release()
    slots.acquire(timeout=0)


async def test_waiters_are_served_in_the_order_they_came() -> None:
    slots = full()
    served: list[int] = []

    async def wait(number: int) -> None:
        await slots.acquire_async()
        served.append(number)
        slots.release()

    waiters = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    waiters[1].cancel()
    slots.release()
    await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), LIMIT)
    assert served == [0, 2, 3]


async def test_a_coroutine_does_not_wait_while_there_is_room() -> None:
    slots = Slots(2)
    await asyncio.wait_for(slots.acquire_async(), LIMIT)
    await asyncio.wait_for(slots.acquire_async(), LIMIT)
    with pytest.raises(DeadlineError):
        slots.acquire(timeout=0)


async def test_closing_refuses_those_who_wait_and_those_who_come_later() -> None:
    slots = full()
    waiter = asyncio.create_task(slots.acquire_async())
    errors: list[BaseException] = []

    def wait_in_a_thread() -> None:
        try:
            slots.acquire(LIMIT)
        except RefusedError as error:
            errors.append(error)

    thread = threading.Thread(target=wait_in_a_thread)
    thread.start()
    await asyncio.sleep(0.05)
    slots.close()
    with pytest.raises(RefusedError, match="closed"):
        await asyncio.wait_for(waiter, LIMIT)
    await asyncio.to_thread(eventually, lambda: errors)
    thread.join()
    with pytest.raises(RefusedError):
        slots.acquire(timeout=0)
    with pytest.raises(RefusedError):
        await slots.acquire_async()
