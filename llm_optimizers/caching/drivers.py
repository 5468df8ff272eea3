"""Run the plan of a cached call with the call itself, which only the adapter can make.

Sync, async and as a stream; `effects` has the drivers that these are made of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from llm_optimizers.caching.answers import CacheResult, Hit
from llm_optimizers.caching.in_flight.pacing import apaced, paced
from llm_optimizers.caching.plan import MakeCall
from llm_optimizers.effects import (
    Effect,
    Plan,
    adrive,
    adrive_stream,
    aperform,
    aside,
    drive,
    drive_stream,
    perform,
)

__all__ = ["arun", "arun_stream", "run", "run_aside", "run_stream"]

R = TypeVar("R")
C = TypeVar("C")


def run(plan: Plan[CacheResult[R]], call: Callable[[], R]) -> CacheResult[R]:
    """Run the plan; it may make the call."""

    def calling(effect: Effect[Any]) -> Any:
        return call() if isinstance(effect, MakeCall) else perform(effect)

    return drive(plan, calling)


async def arun(plan: Plan[CacheResult[R]], call: Callable[[], Awaitable[R]]) -> CacheResult[R]:
    """Async version of `run`."""

    async def calling(effect: Effect[Any]) -> Any:
        return await (call() if isinstance(effect, MakeCall) else aperform(effect))

    return await adrive(plan, calling)


def run_stream(
    plan: Plan[CacheResult[R]],
    call: Callable[[], Iterator[C]],
    merge: Callable[[list[C]], R],
    replay: Callable[[Hit[R]], Iterator[C]],
) -> Iterator[C]:
    """Yield the chunks of the call, or those of a hit; `merge` joins the call's for storing."""
    answer = yield from drive_stream(
        plan,
        perform,
        lambda effect: paced(call(), effect.leader) if isinstance(effect, MakeCall) else None,
        merge,
    )
    if answer.hit is not None:
        yield from replay(answer.hit)


def arun_stream(
    plan: Plan[CacheResult[R]],
    call: Callable[[], AsyncIterator[C]],
    merge: Callable[[list[C]], R],
    replay: Callable[[Hit[R]], AsyncIterator[C]],
) -> AsyncIterator[C]:
    """Async version of `run_stream`."""
    return adrive_stream(
        plan,
        aperform,
        lambda effect: apaced(call(), effect.leader) if isinstance(effect, MakeCall) else None,
        merge,
        lambda answer: _nothing() if answer.hit is None else replay(answer.hit),
    )


def run_aside(plan: Plan[None], *, blocking: bool) -> None:
    """Run a plan without the call; if it is `blocking`, in a thread of a running event loop."""
    work = partial(drive, plan, perform)
    if blocking:
        aside(work)
    else:
        work()


async def _nothing() -> AsyncIterator[Any]:
    """Yield no chunks."""
    chunks: tuple[Any, ...] = ()
    for chunk in chunks:
        yield chunk
