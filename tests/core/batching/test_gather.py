"""Requests of one turn of the event loop, done together."""

from __future__ import annotations

import asyncio

import pytest

from llm_optimizers.batching.queue.gather import MicroBatcher


async def test_requests_of_one_turn_are_done_together_and_each_gets_its_result() -> None:
    batches: list[list[int]] = []

    async def double(items: list[int]) -> list[int]:
        batches.append(items)
        return [2 * item for item in items]

    gathered = MicroBatcher(double)
    assert await asyncio.gather(*(gathered(n) for n in range(3))) == [0, 2, 4]
    assert await gathered(9) == 18
    assert batches == [[0, 1, 2], [9]]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_request_takes_nothing_from_the_others(fails: bool) -> None:
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def echo(items: list[int]) -> list[int]:
        begun.set()
        await proceed.wait()
        if fails:
            raise OSError("disk full")
        return items

    gathered = MicroBatcher(echo)
    tasks = [asyncio.create_task(gathered(n)) for n in range(3)]
    await begun.wait()
    tasks[0].cancel()
    proceed.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [str(other) for other in others] == (["disk full"] * 2 if fails else ["1", "2"])
