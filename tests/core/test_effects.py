"""A plan behaves the same under all four drivers and is always closed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from llm_optimizers.effects import (
    Effect,
    Plan,
    RunFunction,
    adrive,
    adrive_stream,
    aside,
    awaits,
    drive,
    drive_stream,
)
from llm_optimizers.effects import aperform as adefault
from llm_optimizers.effects import perform as default


@dataclass(frozen=True)
class Ask(Effect[int]):
    number: int


def total(closed: list[str]) -> Plan[int]:
    try:
        first = yield from Ask(1)
        try:
            second = yield from Ask(-1)
        except ValueError:
            second = yield from Ask(10)
        return first + second
    finally:
        closed.append("closed")


def perform(effect: Effect[Any]) -> int:
    assert isinstance(effect, Ask)
    if effect.number < 0:
        raise ValueError(effect.number)
    return effect.number * 2


async def aperform(effect: Effect[Any]) -> int:
    return perform(effect)


async def test_both_drivers_return_the_same_result_and_throw_errors_into_the_plan() -> None:
    closed: list[str] = []
    assert drive(total(closed), perform) == 22
    assert await adrive(total(closed), aperform) == 22
    assert closed == ["closed", "closed"]


def refusing() -> Generator[Effect[Any], Any, int]:
    yield from Ask(-1)
    return 0


async def test_an_error_that_the_plan_does_not_catch_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="-1"):
        drive(refusing(), perform)
    with pytest.raises(ValueError, match="-1"):
        await adrive(refusing(), aperform)


def test_an_interrupt_closes_the_plan() -> None:
    closed: list[str] = []

    def interrupt(effect: Effect[Any]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(total(closed), interrupt)
    assert closed == ["closed"]


def doing(effect: Effect[int], seen: list[str]) -> Plan[int]:
    """Yield one effect and note how it ended."""
    try:
        value = yield from effect
    except BaseException as error:
        seen.append(type(error).__name__)
        raise
    finally:
        seen.append("closed")
    seen.append("done")
    return value


async def test_a_function_runs_in_this_thread_or_in_another() -> None:
    main = threading.get_ident()
    assert drive(doing(RunFunction(threading.get_ident), []), default) == main
    assert await adrive(doing(RunFunction(threading.get_ident), []), adefault) != main

    async def awaited() -> int:
        return threading.get_ident()

    assert await adrive(doing(RunFunction(threading.get_ident, awaited), []), adefault) == main


@pytest.mark.parametrize(
    "kind", [StopIteration, asyncio.CancelledError, concurrent.futures.CancelledError]
)
async def test_an_error_that_no_future_holds_is_thrown_into_the_plan(
    kind: type[BaseException],
) -> None:
    def broken() -> int:
        raise kind("of the function")

    seen: list[str] = []
    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match=f"a function raised {kind.__name__}"):
            await adrive(doing(RunFunction(broken), seen), adefault)
    assert seen == ["RuntimeError", "closed"]


async def test_an_error_of_a_function_is_thrown_into_the_plan() -> None:
    def broken() -> int:
        raise LookupError("gone")

    async def abroken() -> int:
        raise LookupError("gone")

    for effect in (RunFunction(broken), RunFunction(broken, abroken)):
        seen: list[str] = []
        with pytest.raises(LookupError, match="gone"):
            drive(doing(effect, seen), default)
        with pytest.raises(LookupError, match="gone"):
            await adrive(doing(effect, seen), adefault)
        assert seen == ["LookupError", "closed"] * 2


async def test_cancellation_is_thrown_into_the_plan() -> None:
    seen: list[str] = []
    started = asyncio.Event()

    async def forever() -> int:
        started.set()
        await asyncio.Event().wait()
        return 0

    task = asyncio.create_task(adrive(doing(RunFunction(lambda: 0, forever), seen), adefault))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["CancelledError", "closed"]


async def test_a_plan_may_go_on_after_a_cancelled_effect() -> None:
    def persistent() -> Plan[int]:
        try:
            return (yield from Ask(1))
        except asyncio.CancelledError:
            return (yield from Ask(2))

    async def once(effect: Effect[Any]) -> int:
        assert isinstance(effect, Ask)
        if effect.number == 1:
            raise asyncio.CancelledError
        return effect.number

    assert await adrive(persistent(), once) == 2


class Letters:
    """A stream that records whether it was closed."""

    def __init__(self, letters: str, fails: bool = False) -> None:
        self._letters, self._fails = letters, fails
        self.closed = False

    def sync(self) -> Iterator[str]:
        try:
            yield from self._letters
            if self._fails:
                raise ConnectionError("broke")
        finally:
            self.closed = True

    async def loop(self) -> AsyncIterator[str]:
        try:
            for letter in self._letters:
                yield letter
            if self._fails:
                raise ConnectionError("broke")
        finally:
            self.closed = True


def streamed(letters: Letters, plan: Plan[Any]) -> Generator[str, None, Any]:
    return drive_stream(plan, perform, lambda effect: letters.sync(), "".join)


def astreamed(letters: Letters, plan: Plan[Any]) -> AsyncGenerator[str, None]:
    async def rest(value: Any) -> AsyncIterator[str]:
        yield f"={value}"

    return adrive_stream(plan, aperform, lambda effect: letters.loop(), "".join, rest)


async def test_chunks_are_yielded_and_the_plan_receives_the_whole() -> None:
    seen: list[str] = []

    def whole() -> Generator[str, None, None]:
        value = yield from streamed(Letters("abc"), doing(Ask(1), seen))
        yield f"={value}"

    assert list(whole()) == ["a", "b", "c", "=abc"]
    chunks = [chunk async for chunk in astreamed(Letters("abc"), doing(Ask(1), seen))]
    assert chunks == ["a", "b", "c", "=abc"]
    assert seen == ["closed", "done"] * 2


async def test_a_consumer_that_stops_early_ends_the_plan_and_closes_the_stream() -> None:
    seen: list[str] = []
    letters = Letters("abc")
    chunks = streamed(letters, doing(Ask(1), seen))
    assert next(chunks) == "a"
    chunks.close()
    assert (seen, letters.closed) == (["GeneratorExit", "closed"], True)

    seen, letters = [], Letters("abc")
    achunks = astreamed(letters, doing(Ask(1), seen))
    assert await anext(achunks) == "a"
    await achunks.aclose()
    assert (seen, letters.closed) == (["GeneratorExit", "closed"], True)


def test_an_abandoned_stream_ends_the_plan_and_closes_the_stream() -> None:
    seen: list[str] = []
    letters = Letters("abc")
    chunks = streamed(letters, doing(Ask(1), seen))
    assert next(chunks) == "a"
    del chunks
    gc.collect()
    assert (seen, letters.closed) == (["GeneratorExit", "closed"], True)


def test_a_stream_that_is_never_read_starts_no_plan() -> None:
    seen: list[str] = []
    streamed(Letters("abc"), doing(Ask(1), seen)).close()
    assert seen == []


async def test_an_error_of_the_stream_is_thrown_into_the_plan() -> None:
    seen: list[str] = []
    with pytest.raises(ConnectionError):
        list(streamed(Letters("ab", fails=True), doing(Ask(1), seen)))
    with pytest.raises(ConnectionError):
        [c async for c in astreamed(Letters("ab", fails=True), doing(Ask(1), seen))]
    assert seen == ["ConnectionError", "closed"] * 2


async def test_a_task_cancelled_between_two_chunks_ends_the_plan() -> None:
    seen: list[str] = []
    reading = asyncio.Event()

    class Endless(Letters):
        async def loop(self) -> AsyncIterator[str]:
            try:
                yield "a"
                await asyncio.Event().wait()
            finally:
                self.closed = True

    letters = Endless("")

    async def read() -> None:
        async for _ in astreamed(letters, doing(Ask(1), seen)):
            reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (seen, letters.closed) == (["CancelledError", "closed"], True)


def test_an_error_that_the_plan_catches_is_not_kept_alive() -> None:
    errors: list[weakref.ref[LostError]] = []

    class LostError(ValueError):
        def __init__(self) -> None:
            errors.append(weakref.ref(self))

    def broken() -> int:
        raise LostError

    def surviving() -> Plan[bool]:
        with suppress(LostError):
            yield from RunFunction(broken)
        return (yield from RunFunction(lambda: errors[0]() is None))

    assert drive(surviving(), default)


class Asynchronous:
    async def awaiting(self) -> None:
        await asyncio.sleep(0)

    async def in_block(self) -> None:
        async with asyncio.Lock():
            pass

    async def in_loop(self) -> None:
        async for _ in self.chunks():
            pass

    async def chunks(self) -> AsyncIterator[int]:
        yield 1

    async def in_name_only(self) -> int:
        return len("computed at once")

    def synchronous(self) -> int:
        return 1


@pytest.mark.parametrize("name", ["awaiting", "in_block", "in_loop"])
def test_a_function_that_awaits_lets_others_run(name: str) -> None:
    assert awaits(getattr(Asynchronous(), name))


@pytest.mark.parametrize("name", ["in_name_only", "synchronous"])
def test_a_function_that_awaits_nothing_lets_nobody_run(name: str) -> None:
    assert not awaits(getattr(Asynchronous(), name))


def test_a_function_that_is_not_pythons_own_may_let_others_run() -> None:
    assert awaits(asyncio.sleep)
    assert awaits(print)


user = contextvars.ContextVar("user", default="nobody")


async def test_work_aside_runs_in_a_thread_with_the_context_of_the_caller() -> None:
    found: list[tuple[int, str]] = []
    user.set("u17")
    aside(lambda: found.append((threading.get_ident(), user.get())))
    await asyncio.get_running_loop().shutdown_default_executor()
    ((thread, name),) = found
    assert thread != threading.get_ident()
    assert name == "u17"


def test_work_aside_runs_at_once_without_a_loop() -> None:
    found: list[int] = []
    aside(lambda: found.append(threading.get_ident()))
    assert found == [threading.get_ident()]
