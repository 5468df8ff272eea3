"""Doing jobs: the handler's call, what its failure means, and the loop that asks for the next."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import replace
from typing import Any, TypeAlias

from llm_optimizers.batching.queue.job import Claim, Job, Settlement, dump_json
from llm_optimizers.batching.queue.rules import QueueRules, after_failure
from llm_optimizers.batching.queue.store import JobStore, Serve
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.types import Clock

__all__ = ["Handler", "JobWorker", "poll"]

Handler: TypeAlias = Callable[[Any], Any]
"""Takes a job's payload and returns its result, both JSON; may be a coroutine function."""

_SETTLE_TRIES = 5  # of a worker that is closing; one that goes on tries until it can
_LONGEST_PAUSE = 1.0
_RESTART_SECONDS = 1.0

logger = logging.getLogger(__name__)


class JobWorker:
    """Does the jobs of one queue, `slots` at the same time, until drained.

    A synchronous handler runs in threads of the worker's own, an asynchronous one in its event
    loop; neither sees the submitter's context.
    """

    def __init__(
        self,
        store: JobStore,
        handler: Handler,
        *,
        slots: int,
        rules: QueueRules,
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._handler = handler
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object may have an async one
        )
        self._slots = slots
        self._rules = rules
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="job")

    async def run(self, draining: asyncio.Event, settled: Callable[[Job], None]) -> None:
        """Work until `draining` is set and the jobs under way are done.

        Calls `settled` with every job that was done or died. A store that fails is logged and
        tried again: its jobs keep until it is back.
        """
        self._draining = draining
        self._settled = settled
        serve = Serve(
            claim=lambda tickets: self._store.claim(tickets, self._rules, self._clock()),
            perform=self._perform,
            slots=self._slots,
            draining=draining,
            clock=self._clock,
        )
        try:
            while True:
                try:
                    return await self._store.serve(serve, self._rules)
                except StoreError as error:
                    logger.warning("the job store failed, trying again: %s", error)
                except Exception as error:  # noqa: BLE001 - one bad job must not end the work
                    # Without the traceback: its text could hold a payload.
                    logger.warning("the worker failed, starting anew: %s", type(error).__name__)
                await asyncio.sleep(_RESTART_SECONDS)
        finally:
            self._threads.shutdown(wait=False)

    async def _perform(self, job: Job, ticket: str) -> None:
        try:
            result = await self._call(job.payload)
            settlement = Settlement(state="done", result=_checked(result))
        except Exception as error:  # noqa: BLE001 - decided on below and kept with the job
            settlement = after_failure(
                job, error, self._rules.retries, now=self._clock(), rng=self._rng
            )
        now = self._clock()
        if not await self._settle(job, ticket, settlement, now):
            logger.warning(
                "job %s was taken over before it was done; is its lease too short?", job.id
            )
        elif settlement.state != "waiting":
            self._settled(
                replace(
                    job,
                    state=settlement.state,
                    result=settlement.result,
                    error=settlement.error,
                    error_kind=settlement.error_kind,
                    finished_at=now,
                )
            )

    async def _call(self, payload: Any) -> Any:
        if self._is_async:
            return await self._handler(payload)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, Context().run, self._handler, payload)
        return await result if isinstance(result, Awaitable) else result

    async def _settle(self, job: Job, ticket: str, settlement: Settlement, now: float) -> bool:
        """Keep what was paid for, however long the store fails: it is in memory only."""
        attempt, pause = 1, 0.2
        while True:
            try:
                return await self._store.settle(job, ticket, settlement, now)
            except StoreError as error:
                if attempt >= _SETTLE_TRIES and self._draining.is_set():
                    raise
                logger.warning("a finished job could not be stored, trying again: %s", error)
                await asyncio.sleep(pause)
            attempt, pause = attempt + 1, min(2 * pause, _LONGEST_PAUSE)


def _checked(result: Any) -> Any:
    try:
        dump_json(result, "handler's result")
    except ConfigurationError as error:
        raise ConfigurationError(f"the job was done and paid, but {error}") from None
    return result


async def poll(
    serve: Serve,
    *,
    renew: Callable[[Sequence[str], float], Awaitable[None]],
    changed: asyncio.Event,
    renew_every: float,
    interval: float | None,
) -> None:
    """Work until cancelled, or until `serve.draining` is set and nothing is under way.

    `interval` is how often to look for what other processes did, None if there are none. A store
    that fails is asked again; what is under way goes on meanwhile.
    """
    running: dict[asyncio.Task[None], str] = {}
    leases = _Leases(running, renew, serve.clock)
    renewal = asyncio.create_task(leases.keep(renew_every))
    try:
        while running or not serve.draining.is_set():
            changed.clear()
            pause: float | None = None
            free = 0 if serve.draining.is_set() else serve.slots - len(running)
            if free:
                tickets = [uuid.uuid4().hex for _ in range(free)]
                try:
                    await leases.recover()
                    claim = await serve.claim(tickets)
                except StoreError as error:
                    logger.warning("the job store failed, trying again: %s", error)
                    claim = Claim(retry_at=serve.clock() + _RESTART_SECONDS)
                for job, ticket in zip(claim.jobs, tickets, strict=False):
                    running[asyncio.create_task(serve.perform(job, ticket))] = ticket
                if len(claim.jobs) < free:
                    pause = _pause(claim.retry_at, interval, serve.clock())
            await _something(running, [changed, serve.draining], pause)
    finally:
        renewal.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(renewal, *running, return_exceptions=True)


class _Leases:
    """The leases of the jobs under way, renewed from time to time.

    After a renewal that failed they may have run out: they are renewed before anything is
    claimed, so that a worker does not take its own jobs over.
    """

    def __init__(
        self,
        running: dict[asyncio.Task[None], str],
        renew: Callable[[Sequence[str], float], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._running = running
        self._renew = renew
        self._clock = clock
        self._failed = False

    async def keep(self, every: float) -> None:
        """Renew every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await self._renew_all()
            except StoreError:
                self._failed = True  # the next one may get through

    async def recover(self) -> None:
        """Make up for a renewal that failed; raises StoreError while the store still does."""
        if self._failed:
            await self._renew_all()

    async def _renew_all(self) -> None:
        await self._renew(list(self._running.values()), self._clock())
        self._failed = False


def _pause(retry_at: float | None, interval: float | None, now: float) -> float | None:
    # Not longer than a moment, for a clock may be set.
    pauses = [] if retry_at is None else [min(max(0.0, retry_at - now), _LONGEST_PAUSE)]
    return min([*pauses, *([] if interval is None else [interval])], default=None)


async def _something(
    running: dict[asyncio.Task[None], str],
    events: Sequence[asyncio.Event],
    pause: float | None,
) -> None:
    """Wait until a job is finished, an event is set, or the pause ends; raise what failed."""
    waits = [asyncio.create_task(event.wait()) for event in events if not event.is_set()]
    await asyncio.wait({*waits, *running}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    for task in [task for task in running if task.done()]:
        del running[task]
        task.result()
