"""A stream that is half read in one place never keeps an identical call elsewhere waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing

import pytest

from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by

LIMIT = 60.0
QUESTION = "Tell me a long tale, please?"


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


@pytest.mark.parametrize("method", METHODS)
def test_another_thread_is_answered_while_a_stream_is_half_read(
    framework: Framework, method: str
) -> None:
    inner = framework.fake("gpt-4o")
    cached = framework.cached(inner, wait_timeout=100_000.0)
    with closing(framework.pieces(cached, QUESTION)) as held, ThreadPoolExecutor(3) as pool:  # type: ignore[type-var]
        next(held)
        answers = [pool.submit(ask_by, framework, method, cached, QUESTION) for _ in range(3)]
        found = {answer.result(LIMIT) for answer in answers}
        assert found == {f"gpt-4o says: {QUESTION}"}
        assert len(inner.calls) == 2


@pytest.mark.parametrize("method", METHODS)
async def test_another_task_or_thread_is_answered_while_a_stream_is_half_read_in_a_task(
    framework: Framework, method: str
) -> None:
    inner = framework.fake("gpt-4o")
    cached = framework.cached(inner, wait_timeout=100_000.0)
    async with aclosing(framework.apieces(cached, QUESTION)) as held:  # type: ignore[type-var]
        await anext(held)
        if method == "aask":
            asked = asyncio.create_task(framework.aask(cached, QUESTION))
        else:
            asked = asyncio.create_task(
                asyncio.to_thread(ask_by, framework, method, cached, QUESTION)
            )
        assert await asyncio.wait_for(asked, LIMIT) == f"gpt-4o says: {QUESTION}"
        rest = "".join([piece async for piece in held])
    assert rest
    assert len(inner.calls) == 2
