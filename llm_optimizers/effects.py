"""Plans: one decision path, written once, performed by sync, async and streaming drivers.

A plan is a generator that yields effects (what is to be done) and receives their results. It
awaits nothing, reads no clock and draws no random number, so the same plan serves `invoke`,
`ainvoke` and `stream`, and is tested by handing it results. An effect that fails is thrown back
into the plan, where fallback and escalation live.

    def answer(question: Question) -> Plan[Answer]:
        hit = yield from Lookup(question)      # typed: Answer | None
        if hit is not None:
            return hit
        return (yield from Call(question))
"""

from __future__ import annotations

import asyncio
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
    "Effect",
    "Plan",
    "RunFunction",
    "adrive",
    "adrive_stream",
    "aperform",
    "closing",
    "closing_async",
    "drive",
    "drive_stream",
    "perform",
]

C = TypeVar("C")
T = TypeVar("T")


class Effect(Generic[T]):
    """Something a plan wants done; `yield from effect` evaluates to its result of type T."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[T], T, T]:
        result: T = yield self
        return result


@dataclass(frozen=True, slots=True)
class RunFunction(Effect[T]):
    """A function to be called. It may block; an event loop awaits `awork`, or else a thread."""

    work: Callable[[], T]
    awork: Callable[[], Awaitable[T]] | None = None


Plan: TypeAlias = Generator[Effect[Any], Any, T]


def perform(effect: Effect[Any]) -> Any:
    """Call the function of a `RunFunction`, here and now."""
    assert isinstance(effect, RunFunction), "every other effect is its plan's own"
    return effect.work()


async def aperform(effect: Effect[Any]) -> Any:
    """Call the function of a `RunFunction` without blocking the event loop."""
    assert isinstance(effect, RunFunction), "every other effect is its plan's own"
    if effect.awork is not None:
        return await effect.awork()
    return await asyncio.to_thread(effect.work)


class _Steps(Generic[T]):
    """A plan on its way: iterating gives its effects, each after what came of the last is set.

    What came of an effect is either `result` or `error`; `value` is the plan's own at its end.
    The plan is closed in every case.
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
                    effect = self._plan.throw(self._taken())
        except StopIteration as end:
            self.value = end.value
        finally:
            self._plan.close()

    def _taken(self) -> BaseException:
        """The error, kept no longer: it would keep the frames that it passed through alive."""
        error, self.error = self.error, None
        assert error is not None, "only called where there is one"
        return error


def drive(plan: Plan[T], perform: Callable[[Effect[Any]], Any]) -> T:
    """Run a plan to its end, performing each effect with `perform`.

    Raises:
        Whatever the plan lets through; the plan is closed in every case.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            steps.result = perform(effect)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    return steps.value


async def adrive(plan: Plan[T], perform: Callable[[Effect[Any]], Awaitable[Any]]) -> T:
    """The asynchronous twin of `drive`: cancellation too is thrown into the plan."""
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
    opened: Callable[[Effect[Any]], Iterator[C] | None],
    merge: Callable[[list[C]], Any],
) -> Generator[C, None, T]:
    """Run a plan whose call is a stream: its chunks are passed on as they come.

    `opened` gives the stream of an effect that is to be streamed and None for every other;
    `merge` makes of all chunks what the plan receives. A consumer that leaves midway is thrown
    into the plan as GeneratorExit, so that nothing after the call happens.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            chunks = opened(effect)
            if chunks is None:
                steps.result = perform(effect)
            else:
                passed = []
                with closing(chunks):
                    for chunk in chunks:
                        passed.append(chunk)
                        yield chunk
                steps.result = merge(passed)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    return steps.value


async def adrive_stream(
    plan: Plan[T],
    perform: Callable[[Effect[Any]], Awaitable[Any]],
    opened: Callable[[Effect[Any]], AsyncIterator[C] | None],
    merge: Callable[[list[C]], Any],
    finished: Callable[[T], AsyncIterator[C]],
) -> AsyncGenerator[C, None]:
    """The asynchronous twin of `drive_stream`.

    An async generator returns no value, so `finished` takes the plan's and gives what is still
    to be passed on.
    """
    steps = _Steps(plan)
    for effect in steps:
        try:
            chunks = opened(effect)
            if chunks is None:
                steps.result = await perform(effect)
            else:
                passed = []
                async with closing_async(chunks):
                    async for chunk in chunks:
                        passed.append(chunk)
                        yield chunk
                steps.result = merge(passed)
        except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
            steps.error = error
    async with closing_async(finished(steps.value)) as rest:
        async for chunk in rest:
            yield chunk


@contextmanager
def closing(chunks: Iterator[C]) -> Iterator[Iterator[C]]:
    """Close an iterator that can be closed when its block ends."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


class closing_async(Generic[C]):  # noqa: N801 - used as contextlib's `aclosing` is
    """Close an asynchronous iterator that can be closed when its block ends.

    No generator of its own: when an event loop ends it closes all asynchronous generators that
    were left, at once, and each one around another is one more that may meet a close under way.
    """

    def __init__(self, chunks: AsyncIterator[C]) -> None:
        self._chunks = chunks

    async def __aenter__(self) -> AsyncIterator[C]:
        return self._chunks

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
