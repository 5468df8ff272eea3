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

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = ["Effect", "Plan", "adrive", "drive"]

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
