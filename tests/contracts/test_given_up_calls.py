"""A call that its caller gives up is recorded once, and nothing of it stays in memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from llama_index.core.base.llms.types import ChatMessage

from llm_optimizers.costs import CallRecord
from llm_optimizers.routing import Always
from support.frameworks import FRAMEWORKS, Framework
from support.waiting import aeventually

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
QUESTION = "How do I reset the password of my account?"
CANCELLED = ("abandoned", "CancelledError")
STACKS: dict[str, Callable[[Framework, Any], Any]] = {
    "bare": lambda framework, slow: slow,
    "cached": lambda framework, slow: framework.cached(slow),
    "shortened": lambda framework, slow: framework.shortened(slow),
    "routed": lambda framework, slow: framework.routed([slow, framework.fake(STRONG)], _cheap()),
    "stacked": lambda framework, slow: framework.cached(
        framework.shortened(framework.routed([slow, framework.fake(STRONG)], _cheap()))
    ),
}


def _cheap() -> Any:
    return Always(CHEAP)


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


def ends(records: list[CallRecord]) -> list[tuple[str, str | None]]:
    return [(record.status, record.error) for record in records]


async def _in_a_task(call: Callable[[], Any], sent: Callable[[], bool]) -> object:
    task = asyncio.create_task(call())
    await aeventually(sent)
    task.cancel()
    return task, await asyncio.gather(task, return_exceptions=True)


async def _in_a_task_that_goes_on(call: Callable[[], Any], sent: Callable[[], bool]) -> object:
    async def expire(limit: asyncio.Timeout) -> None:
        await aeventually(sent)
        limit.reschedule(0)

    try:
        async with asyncio.timeout(None) as limit:
            expiry = asyncio.create_task(expire(limit))
            await call()
    except TimeoutError as error:
        await expiry
        return error
    raise AssertionError


async def _in_a_task_group(call: Callable[[], Any], sent: Callable[[], bool]) -> object:
    async def fail() -> None:
        await aeventually(sent)
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(call())
            group.create_task(fail())
    except ExceptionGroup as error:
        return error
    raise AssertionError


WAYS = (_in_a_task, _in_a_task_that_goes_on, _in_a_task_group)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", STACKS)
async def test_a_cancelled_call_is_recorded_even_if_its_error_is_kept(
    framework: Framework, stack: str, way: Callable[..., Any]
) -> None:
    """The error's traceback holds all that the frames of the call held."""
    slow = framework.fake(CHEAP, delay=60)
    model = STACKS[stack](framework, slow)
    kept = await way(lambda: framework.aask(model, QUESTION), lambda: bool(slow.calls))
    (record,) = framework.records()
    assert ends([record]) == [CANCELLED]
    assert record.estimated
    assert record.usage.input_tokens > 5
    assert (record.cost or 0) > 0
    assert kept


@pytest.mark.parametrize("stack", STACKS)
async def test_nothing_of_a_given_up_call_stays(framework: Framework, stack: str) -> None:
    slow, asked = framework.fake(CHEAP, delay=60), 50
    calls, model = slow.calls, STACKS[stack](framework, slow)
    tasks = [
        asyncio.create_task(framework.aask(model, f"{QUESTION} {number}"))
        for number in range(asked)
    ]
    await aeventually(lambda: len(calls) == asked)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    tasks.clear()
    del task, model, slow  # LlamaIndex's fake keeps its messages
    assert ends(framework.records()) == [CANCELLED] * asked
    await asyncio.sleep(0)
    gc.collect()
    messages = (each for each in gc.get_objects() if isinstance(each, BaseMessage | ChatMessage))
    assert not any(QUESTION in str(each.content) for each in messages)


@pytest.mark.parametrize("read", [1, 2])
async def test_a_hit_that_nobody_reads_to_its_end_is_no_spend(
    framework: Framework, read: int
) -> None:
    cached = framework.cached(framework.fake(CHEAP))
    await framework.aask(cached, QUESTION)
    async with aclosing(framework.apieces(cached, QUESTION)) as pieces:  # type: ignore[type-var]
        for _ in range(read):
            await anext(pieces)

    def stream() -> None:
        with closing(framework.pieces(cached, QUESTION)) as pieces:  # type: ignore[type-var]
            for _ in range(read):
                next(pieces)

    await asyncio.to_thread(stream)
    for steps in range(12):
        task = asyncio.create_task(framework.aask(cached, QUESTION))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    asked, *hits = framework.records()
    assert (asked.status, asked.hit) == ("ok", False)
    assert hits
    assert {(hit.hit_strategy, hit.cost, hit.estimated) for hit in hits} == {
        ("cache.exact", 0, False)
    }


class ReadTimeoutError(Exception):
    """Named like urllib3's and botocore's: the request was sent."""


class PoolTimeout(Exception):  # noqa: N818 - httpx's name
    """Named like httpx's: there was no connection to send on."""


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (TimeoutError(), True),
        (ReadTimeoutError(), True),
        (TimeoutError(110, "connection timed out"), False),
        (PoolTimeout(), False),
        (ValueError(), False),
    ],
    ids=repr,
)
def test_a_call_whose_client_stopped_waiting_has_a_cost(
    framework: Framework, error: Exception, billed: bool
) -> None:
    with pytest.raises(type(error)):
        framework.ask(framework.fake(CHEAP, fail=lambda _: error), QUESTION)
    (record,) = framework.records()
    assert ends([record]) == [("error", type(error).__name__)]
    assert (record.estimated, (record.cost or 0) > 0) == (billed, billed)
