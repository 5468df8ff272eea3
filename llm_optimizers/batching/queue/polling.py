"""A worker's loop over a store that is asked for work: claim, perform, renew, wait.

It waits for whatever comes first: a change made in this process, a job finished, the time the
store named, or (for a file that other processes write) the polling interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence

from llm_optimizers.batching.queue.store import Serve
from llm_optimizers.errors import StoreError
from llm_optimizers.types import Clock

__all__ = ["poll"]


async def poll(
    serve: Serve,
    *,
    renew: Callable[[Sequence[str], float], Awaitable[None]],
    changed: asyncio.Event,
    renew_every: float,
    interval: float | None,
) -> None:
    """Work until cancelled, or until `serve.draining` is set and nothing is under way.

    `interval` is how often to look for what other processes did, None if there are none.
    """
    running: dict[asyncio.Task[None], str] = {}
    renewal = asyncio.create_task(_renew(running, renew, renew_every, serve.clock))
    try:
        while running or not serve.draining.is_set():
            changed.clear()
            patience: float | None = None
            free = 0 if serve.draining.is_set() else serve.slots - len(running)
            if free:
                tickets = [uuid.uuid4().hex for _ in range(free)]
                claim = await serve.claim(tickets)
                for job, ticket in zip(claim.jobs, tickets, strict=False):
                    running[asyncio.create_task(serve.perform(job, ticket))] = ticket
                if len(claim.jobs) < free:
                    patience = _patience(claim.retry_at, interval, serve.clock())
            await _something(running, [changed, serve.draining], patience)
    finally:
        renewal.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(renewal, *running, return_exceptions=True)


def _patience(retry_at: float | None, interval: float | None, now: float) -> float | None:
    waits = [] if retry_at is None else [max(0.0, retry_at - now)]
    return min([*waits, *([] if interval is None else [interval])], default=None)


async def _something(
    running: dict[asyncio.Task[None], str],
    events: Sequence[asyncio.Event],
    patience: float | None,
) -> None:
    """Wait until a job is finished, an event is set, or patience ends; raise what failed."""
    news = [asyncio.create_task(event.wait()) for event in events if not event.is_set()]
    await asyncio.wait({*news, *running}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for new in news:
        new.cancel()
    for task in [task for task in running if task.done()]:
        del running[task]
        task.result()


async def _renew(
    running: dict[asyncio.Task[None], str],
    renew: Callable[[Sequence[str], float], Awaitable[None]],
    every: float,
    clock: Clock,
) -> None:
    while True:
        await asyncio.sleep(every)
        with contextlib.suppress(StoreError):  # the next sign of life may get through
            await renew(list(running.values()), clock())
