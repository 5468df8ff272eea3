"""Plans: one decision path, written once, performed by sync, async and streaming shells.

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

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = ["Effect", "Plan", "adrive", "adrive_stream", "closing_async", "drive", "drive_stream"]

C = TypeVar("C")
T = TypeVar("T")


class Effect(Generic[T]):
    """Something a plan wants done; `yield from effect` evaluates to its result of type T."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[T], T, T]:
        result: T = yield self
        return result


Plan: TypeAlias = Generator[Effect[Any], Any, T]


def drive(plan: Plan[T], perform: Callable[[Effect[Any]], Any]) -> T:
    """Run a plan to its end, performing each effect with `perform`.

    Raises:
        Whatever the plan lets through; the plan is closed in every case.
    """
    try:
        effect = next(plan)
        while True:
            try:
                result = perform(effect)
            except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
                effect = plan.throw(error)
            else:
                effect = plan.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's value is untyped
    finally:
        plan.close()


async def adrive(plan: Plan[T], perform: Callable[[Effect[Any]], Awaitable[Any]]) -> T:
    """The asynchronous twin of `drive`: cancellation too is thrown into the plan."""
    try:
        effect = next(plan)
        while True:
            try:
                result = await perform(effect)
            except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
                effect = plan.throw(error)
            else:
                effect = plan.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's value is untyped
    finally:
        plan.close()


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
    try:
        effect = next(plan)
        while True:
            try:
                chunks = opened(effect)
                if chunks is None:
                    result = perform(effect)
                else:
                    passed = []
                    with _closing(chunks):
                        for chunk in chunks:
                            passed.append(chunk)
                            yield chunk
                    result = merge(passed)
            except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
                effect = plan.throw(error)
            else:
                effect = plan.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's value is untyped
    finally:
        plan.close()


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
    try:
        effect = next(plan)
        while True:
            try:
                chunks = opened(effect)
                if chunks is None:
                    result = await perform(effect)
                else:
                    passed = []
                    async with closing_async(chunks):
                        async for chunk in chunks:
                            passed.append(chunk)
                            yield chunk
                    result = merge(passed)
            except BaseException as error:  # noqa: BLE001 - the plan decides what an error means
                effect = plan.throw(error)
            else:
                effect = plan.send(result)
    except StopIteration as end:
        value: T = end.value
    finally:
        plan.close()
    async with closing_async(finished(value)) as rest:
        async for chunk in rest:
            yield chunk


@contextmanager
def _closing(chunks: Iterator[C]) -> Iterator[Iterator[C]]:
    """Close an iterator that can be closed when its block ends."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


@asynccontextmanager
async def closing_async(chunks: AsyncIterator[C]) -> AsyncIterator[AsyncIterator[C]]:
    """Close an asynchronous iterator that can be closed when its block ends."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
