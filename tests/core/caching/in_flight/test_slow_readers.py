"""Streams that are read slowly, half or never: nobody waits for another one's reader."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.in_flight.single_flight import InFlightCall, SingleFlight
from llm_optimizers.types import ChatRequest
from support.waiting import aeventually, eventually

LIMIT = 30.0
FOREVER = 100_000.0


def request_for(text: str) -> ChatRequest:
    return ChatRequest.from_openai({"messages": [{"role": "user", "content": text}]})


REQUEST = request_for("Tell a long tale.")


class Model:
    """Streams its answers in three pieces, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def _called(self) -> None:
        with self._lock:
            self.calls += 1

    def stream(self, text: str) -> Iterator[str]:
        self._called()
        yield from (f"{text}|", "b|", "c")

    async def astream(self, text: str) -> AsyncIterator[str]:
        self._called()
        for piece in (f"{text}|", "b|", "c"):
            await asyncio.sleep(0)
            yield piece

    def answer(self, text: str) -> list[str]:
        return list(self.stream(text))

    async def aanswer(self, text: str) -> list[str]:
        return [piece async for piece in self.astream(text)]


def whole(text: str) -> str:
    return f"{text}|b|c"


class Asker:
    """Asks one model through one cache, in every way."""

    def __init__(self, wait_timeout: float = FOREVER) -> None:
        self.cache: ResponseCache[list[str]] = ResponseCache(
            wait_timeout=wait_timeout, semantic=False
        )
        self.model = Model()

    def stream(self, text: str) -> Iterator[str]:
        return self.cache.stream(
            request_for(text), lambda: self.model.stream(text), list, lambda hit: iter(hit.value)
        )

    def astream(self, text: str) -> AsyncIterator[str]:
        async def replay(hit: Any) -> AsyncIterator[str]:
            for piece in hit.value:
                yield piece

        return self.cache.astream(request_for(text), lambda: self.model.astream(text), list, replay)

    def ask(self, text: str) -> str:
        found = self.cache.answer(request_for(text), lambda: self.model.answer(text))
        return "".join(found.value)

    async def aask(self, text: str) -> str:
        found = await self.cache.aanswer(request_for(text), lambda: self.model.aanswer(text))
        return "".join(found.value)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[InFlightCall[str]]:
    """Every call in flight that callers have joined, in any cache."""
    calls: list[InFlightCall[str]] = []
    join = SingleFlight.join

    def joining(single_flight: Any, key: str, *stalled: Any) -> InFlightCall[str]:
        calls.append(join(single_flight, key, *stalled))
        return calls[-1]

    monkeypatch.setattr(SingleFlight, "join", joining)
    return calls


def test_threads_do_not_wait_for_a_half_read_stream_and_make_one_call() -> None:
    asker = Asker()
    held = asker.stream("a")
    assert next(held) == "a|"
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(asker.ask, "a") for _ in range(6)]
        assert [answer.result(LIMIT) for answer in answers] == [whole("a")] * 6
    assert asker.model.calls == 2
    assert "".join(held) == "b|c"


async def test_tasks_do_not_wait_for_a_half_read_stream_and_make_one_call() -> None:
    asker = Asker()
    held = asker.astream("a")
    assert await anext(held) == "a|"
    answers = [asyncio.create_task(asker.aask("a")) for _ in range(6)]
    assert await asyncio.wait_for(asyncio.gather(*answers), LIMIT) == [whole("a")] * 6
    assert asker.model.calls == 2
    assert "".join([piece async for piece in held]) == "b|c"


async def test_a_thread_does_not_wait_for_a_stream_half_read_in_an_event_loop() -> None:
    asker = Asker()
    async with aclosing(asker.astream("a")) as held:  # type: ignore[type-var]
        await anext(held)
        assert await asyncio.to_thread(asker.ask, "a") == whole("a")


def test_an_event_loop_does_not_wait_for_a_stream_half_read_in_a_thread() -> None:
    asker = Asker()
    held = asker.stream("a")
    next(held)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, asker.aask("a")).result(LIMIT) == whole("a")
    assert "".join(held) == "b|c"


def test_a_stream_read_to_its_last_piece_but_not_to_its_end_holds_nobody() -> None:
    asker = Asker()
    held = asker.stream("a")
    assert [next(held) for _ in range(3)] == ["a|", "b|", "c"]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asker.ask, "a").result(LIMIT) == whole("a")
    assert list(held) == []


def test_an_answer_that_a_slow_reader_finishes_later_does_not_replace_a_newer_one() -> None:
    asker = Asker()
    held = asker.stream("a")
    next(held)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asker.ask, "a").result(LIMIT)
    assert "".join(held) == "b|c"
    assert asker.cache.stats.stored == 1
    assert len(asker.cache) == 1
    assert asker.ask("a") == whole("a")
    assert asker.model.calls == 2


def test_the_waiters_of_a_closed_stream_make_one_call(joined: list[InFlightCall[str]]) -> None:
    asker = Asker()
    with ThreadPoolExecutor(6) as pool:
        with closing(asker.stream("a")) as held:  # type: ignore[type-var]
            next(held)
            answers = [pool.submit(asker.ask, "a") for _ in range(5)]
            eventually(lambda: len(joined) >= 6)
        assert [answer.result(LIMIT) for answer in answers] == [whole("a")] * 5
    assert asker.model.calls == 2


async def test_the_waiters_of_a_cancelled_task_make_one_call(
    joined: list[InFlightCall[str]],
) -> None:
    asker, calls = Asker(), []

    async def never() -> list[str]:
        calls.append("never")
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    leader = asyncio.create_task(asker.cache.aanswer(request_for("a"), never))
    await aeventually(lambda: calls)
    answers = [asyncio.create_task(asker.aask("a")) for _ in range(5)]
    await aeventually(lambda: len(joined) == 6)
    leader.cancel()
    assert await asyncio.wait_for(asyncio.gather(*answers), LIMIT) == [whole("a")] * 5
    assert asker.model.calls == 1


def test_a_call_whose_event_loop_was_stopped_holds_nobody() -> None:
    asker = Asker()
    loop = asyncio.new_event_loop()

    async def never() -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    task = loop.create_task(asker.cache.aanswer(request_for("a"), never))
    loop.run_until_complete(asyncio.sleep(0))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asker.ask, "a").result(LIMIT) == whole("a")
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


def test_a_reader_in_step_with_the_provider_shares_its_answer(
    joined: list[InFlightCall[str]],
) -> None:
    asker, waits, go = Asker(), threading.Event(), threading.Event()

    def slow() -> Iterator[str]:
        yield "a|"
        waits.set()
        assert go.wait(LIMIT)
        yield "b|c"

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(
            lambda: list(
                asker.cache.stream(request_for("a"), slow, list, lambda hit: iter(hit.value))
            )
        )
        assert waits.wait(LIMIT)
        waiter = pool.submit(asker.ask, "a")
        eventually(lambda: len(joined) == 2)
        go.set()
        assert waiter.result(LIMIT) == whole("a")
        assert "".join(leader.result(LIMIT)) == whole("a")
    assert asker.model.calls == 0
    assert asker.cache.stats.hits == {"shared": 1}


def test_an_answer_that_must_not_be_shared_does_not_make_the_waiters_queue(
    joined: list[InFlightCall[str]],
) -> None:
    asker, go, entered = Asker(), threading.Event(), threading.Event()

    def empty() -> list[str]:
        entered.set()
        assert go.wait(LIMIT)
        return []

    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(asker.cache.answer, request_for("a"), empty)
        assert entered.wait(LIMIT)
        answers = [pool.submit(asker.ask, "a") for _ in range(3)]
        eventually(lambda: len(joined) == 4)
        go.set()
        assert leader.result(LIMIT).value == []
        assert [answer.result(LIMIT) for answer in answers] == [whole("a")] * 3
    assert len(joined) == 4  # none of them joined again


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_threads_loops_and_abandoned_streams_get_right_answers(seed: int) -> None:
    asker = Asker()
    held: list[Any] = []

    def by_thread(random_: random.Random) -> list[tuple[str, str]]:
        seen = []
        for _ in range(12):
            text = random_.choice("abcd")
            way = random_.choice(("ask", "read", "close", "drop", "hold"))
            if way == "ask":
                seen.append((text, asker.ask(text)))
                continue
            chunks = asker.stream(text)
            if way == "read":
                seen.append((text, "".join(chunks)))
                continue
            assert next(chunks) == f"{text}|"
            if way == "close":
                chunks.close()  # type: ignore[attr-defined]
            elif way == "hold":
                held.append(chunks)
            if random_.random() < 0.2:
                asker.cache.clear()
        return seen

    async def by_task(random_: random.Random) -> list[tuple[str, str]]:
        seen = []
        for _ in range(12):
            text = random_.choice("abcd")
            way = random_.choice(("ask", "read", "close", "hold", "cancel"))
            if way == "ask":
                seen.append((text, await asker.aask(text)))
            elif way == "cancel":
                task = asyncio.create_task(asker.aask(text))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            else:
                chunks = asker.astream(text)
                if way == "read":
                    seen.append((text, "".join([piece async for piece in chunks])))
                    continue
                assert await anext(chunks) == f"{text}|"
                if way == "close":
                    await chunks.aclose()  # type: ignore[attr-defined]
                else:
                    here.append(chunks)
        return seen

    here: list[Any] = []

    async def tasks(number: int) -> list[tuple[str, str]]:
        randoms = [random.Random(f"{seed} {number} {each}") for each in range(4)]
        found = await asyncio.gather(*map(by_task, randoms))
        return [pair for seen in found for pair in seen]

    with ThreadPoolExecutor(10) as pool:
        work = [pool.submit(by_thread, random.Random(f"{seed} {number}")) for number in range(8)]
        work += [pool.submit(asyncio.run, tasks(number)) for number in range(2)]
        pairs = [pair for done in work for pair in done.result(120)]
    assert pairs
    assert all(got == whole(text) for text, got in pairs)
    held.clear()
    here.clear()
    gc.collect()
    for text in "abcd":
        assert asker.ask(text) == whole(text)
