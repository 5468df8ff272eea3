"""Plans: decision logic written once and run by sync, async and streaming drivers.

A plan is a generator that yields effects (requests for I/O) and receives their results. It does no
I/O itself, so the same plan serves `invoke`, `ainvoke` and `stream`, and a test can feed it results
directly. When an effect fails, its error is thrown back into the plan, which decides on fallback
or escalation.

    def answer(question: Question) -> Plan[Answer]:
        hit = yield from Lookup(question)      # typed: Answer | None
        if hit is not None:
            return hit
        return (yield from Call(question))
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import dis
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = [
    "NOT_IN_FUTURES",
    "Effect",
    "Plan",
    "RunFunction",
    "adrive",
    "adrive_stream",
    "aperform",
    "aside",
    "awaits",
    "closing",
    "closing_async",
    "drive",
    "drive_stream",
    "in_event_loop",
    "in_thread",
    "perform",
]

C = TypeVar("C")
T = TypeVar("T")
NOT_IN_FUTURES = (StopIteration, asyncio.CancelledError, concurrent.futures.CancelledError)
"""Errors of a function in a thread that an event loop cannot pass on."""
_AWAITING = frozenset({"GET_AWAITABLE", "GET_AITER", "BEFORE_ASYNC_WITH"})


class Effect(Generic[T]):
    """A request for I/O; inside a plan, `yield from effect` evaluates to its result of type T."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[T], T, T]:
        result: T = yield self
        return result


@dataclass(frozen=True, slots=True)
class RunFunction(Effect[T]):
    """Call a function that may block.

    In an event loop `afunction` is awaited instead; without one, `function` runs in a thread.
    """

    function: Callable[[], T]
    afunction: Callable[[], Awaitable[T]] | None = None


Plan: TypeAlias = Generator[Effect[Any], Any, T]


def perform(effect: Effect[Any]) -> Any:
    """Perform a `RunFunction` in this thread."""
    assert isinstance(effect, RunFunction), "a plan's own effects need their own performer"
    return effect.function()


async def aperform(effect: Effect[Any]) -> Any:
    """Perform a `RunFunction` without blocking the event loop."""
    assert isinstance(effect, RunFunction), "a plan's own effects need their own performer"
    if effect.afunction is not None:
        return await effect.afunction()
    return await in_thread(effect.function)


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread and return its result.

    Raises:
        RuntimeError: it raised what means something else in a future: StopIteration, for which its
            waiter would wait for ever (up to Python 3.11), or a cancellation, which is not that of
            the running task.
        Whatever else the function raises.
    """

    def call() -> T:
        try:
            return function()
        except NOT_IN_FUTURES as error:
            raise RuntimeError(f"a function raised {type(error).__name__}") from error

    return await asyncio.to_thread(call)


def in_event_loop() -> bool:
    """Whether the running code is in an event loop, and so must not wait."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def aside(work: Callable[[], object]) -> None:
    """Do work whose result nobody waits for; in a thread if an event loop runs here."""
    try:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, contextvars.copy_context().run, work)
    except RuntimeError:  # no loop, or one that is being shut down
        work()


def awaits(function: object) -> bool:
    """Whether an asynchronous function may let others run: False if it awaits nothing.

    Such a function only looks asynchronous; what it does blocks the event loop. True for what is no
    Python function, since that is not known.
    """
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return code is None
    return any(step.opname in _AWAITING for step in dis.get_instructions(code))


class _Steps(Generic[T]):
    """Iterate over a running plan's effects.

    Before taking the next effect, the driver sets `result` or `error` of the last one. `value` is
    the plan's return value once it has ended. The plan is always closed.
    """

    __slots__ = ("_plan", "error", "result", "value")

    value: T

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self.result: Any = None
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Effect[Any]]:
        try:
            effect = next(self._plan)
            while True:
                yield effect
                if self.error is None:
                    effect = self._plan.send(self.result)
                else:
                    effect = self._plan.throw(self._take_error())
        except StopIteration as end:
            self.value = end.value
        finally:
            self._plan.close()

    def _take_error(self) -> BaseException:
        """Return and forget the error; keeping it would keep its traceback's frames alive."""
        error, self.error = self.error, None
        assert error is not None, "only called after an effect has failed"
        return error


def drive(plan: Plan[T], perform: Callable[[Effect[Any]], Any]) -> T:
    """Run a plan to its end, performing each effect with `perform`.

    Raises:
        Whatever the plan does not catch. The plan is always closed.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            steps.result = perform(effect)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    return steps.value


async def adrive(plan: Plan[T], perform: Callable[[Effect[Any]], Awaitable[Any]]) -> T:
    """Run a plan as `drive` does, asynchronously. Cancellation is thrown into the plan too."""
    steps = _Steps(plan)
    for effect in steps:
        try:
            steps.result = await perform(effect)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    return steps.value


def drive_stream(
    plan: Plan[T],
    perform: Callable[[Effect[Any]], Any],
    open_stream: Callable[[Effect[Any]], Iterator[C] | None],
    merge: Callable[[list[C]], Any],
) -> Generator[C, None, T]:
    """Run a plan that makes a streaming call, and yield the call's chunks as they arrive.

    `open_stream` returns the stream of an effect that is streamed, and None for any other effect.
    `merge` turns all its chunks into the result that the plan receives. When the consumer stops
    early, GeneratorExit is thrown into the plan, so nothing after the call is done.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            chunks = open_stream(effect)
            if chunks is None:
                steps.result = perform(effect)
            else:
                seen = []
                with closing(chunks):
                    for chunk in chunks:
                        seen.append(chunk)
                        yield chunk
                steps.result = merge(seen)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    return steps.value


async def adrive_stream(
    plan: Plan[T],
    perform: Callable[[Effect[Any]], Awaitable[Any]],
    open_stream: Callable[[Effect[Any]], AsyncIterator[C] | None],
    merge: Callable[[list[C]], Any],
    last_chunks: Callable[[T], AsyncIterator[C]],
) -> AsyncGenerator[C, None]:
    """Run a plan as `drive_stream` does, asynchronously.

    An async generator cannot return a value, so `last_chunks` receives the plan's return value
    and gives the chunks that are still to be yielded.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            chunks = open_stream(effect)
            if chunks is None:
                steps.result = await perform(effect)
            else:
                seen = []
                async with closing_async(chunks):
                    async for chunk in chunks:
                        seen.append(chunk)
                        yield chunk
                steps.result = merge(seen)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    async with closing_async(last_chunks(steps.value)) as rest:
        async for chunk in rest:
            yield chunk


@contextmanager
def closing(chunks: Iterator[C]) -> Iterator[Iterator[C]]:
    """Close an iterator at the end of the block, if it has a `close` method."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


class closing_async(Generic[C]):  # noqa: N801 - used as contextlib's `aclosing` is
    """Close an asynchronous iterator at the end of the block, if it has an `aclose` method.

    A class instead of an async generator: when an event loop shuts down it closes all remaining
    async generators at once, and each one wrapped around another may find that one being closed.
    """

    def __init__(self, chunks: AsyncIterator[C]) -> None:
        self._chunks = chunks

    async def __aenter__(self) -> AsyncIterator[C]:
        return self._chunks

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
