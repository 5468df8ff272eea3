"""The worker of a queue: claims jobs, calls the handler, renews leases, acknowledges outcomes."""

from __future__ import annotations

import asyncio
import inspect
import random
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import replace
from typing import Any, TypeAlias

from llm_optimizers.batching.queue.job import AttemptOutcome, Claim, Job, dump_json
from llm_optimizers.batching.queue.rules import QueueRules, after_failure
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import Clock

__all__ = ["Handler", "JobWorker"]

Handler: TypeAlias = Callable[[Any], Any]
"""Takes a job's payload and returns its result, both JSON; may be a coroutine function."""

_LAST_TRIES = 5  # while the worker is closing; otherwise it retries until it succeeds
_LONGEST_PAUSE = 1.0
_RESTART_SECONDS = 1.0

logger = safe_logger(__name__)


class JobWorker:
    """Runs the jobs of one queue, `slots` at the same time, until drained.

    A synchronous handler runs in the worker's threads, an asynchronous one in its event loop;
    neither sees the submitter's context variables.
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
            getattr(handler, "__call__", None)  # noqa: B004 - an object's __call__ may be async
        )
        self._slots = slots
        self._rules = rules
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, no security
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="job")
        self._name = uuid.uuid4().hex
        self._running: dict[asyncio.Task[Any], Job] = {}
        self._renewal_failed = False

    async def run(self, draining: asyncio.Event, ended: Callable[[Job], None]) -> None:
        """Work until `draining` is set and the running jobs are finished.

        Calls `ended` with every job that was done or died. A failure of the store is logged, and
        work continues when the store works again.
        """
        self._draining = draining
        self._ended = ended
        try:
            while True:
                try:
                    return await self._work()
                except StoreError as error:
                    logger.warning("the job store failed, trying again: %s", error)
                except Exception as error:  # noqa: BLE001 - one bad job must not stop the worker
                    # Without the traceback: its text could hold a payload.
                    logger.warning("the worker failed, starting again: %s", type(error).__name__)
                await asyncio.sleep(_RESTART_SECONDS)
        finally:
            self._threads.shutdown(wait=False)

    async def _work(self) -> None:
        """Keep the slots filled until draining, then wait for the running jobs."""
        leases = asyncio.create_task(self._keep_leases())
        drained = asyncio.create_task(self._draining.wait())
        changed: asyncio.Task[None] | None = None
        try:
            while self._running or not self._draining.is_set():
                pause: float | None = None
                waits: set[asyncio.Task[Any]] = {*self._running}
                if not self._draining.is_set():
                    claim = await self._fill()
                    waits = {*self._running, drained}
                    if len(self._running) < self._slots:
                        pause = self._pause(claim.retry_at)
                        if not claim.held:
                            changed = changed or asyncio.create_task(self._store.changed())
                            waits.add(changed)
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if changed is not None and changed.done():
                    changed.result()
                    changed = None
                for task in [task for task in self._running if task.done()]:
                    del self._running[task]
                    task.result()
        finally:
            left = [leases, drained, *self._running, *([changed] if changed else [])]
            self._running.clear()
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _fill(self) -> Claim:
        """Start jobs in the slots that are free."""
        free = self._slots - len(self._running)
        if not free:
            return Claim()
        try:
            if self._renewal_failed:  # or the claim could take over this worker's own jobs
                await self._renew()
            claim = await self._store.claim(self._name, free, self._rules, self._clock())
        except StoreError as error:
            logger.warning("the job store failed, trying again: %s", error)
            return Claim(retry_at=self._clock() + _RESTART_SECONDS, held=True)
        for job in claim.jobs:
            self._running[asyncio.create_task(self._perform(job))] = job
        return claim

    def _pause(self, retry_at: float | None) -> float | None:
        # At most one second, because the clock may be changed.
        return None if retry_at is None else min(max(0.0, retry_at - self._clock()), _LONGEST_PAUSE)

    async def _keep_leases(self) -> None:
        """Renew the leases every third of a lease, until cancelled."""
        while True:
            await asyncio.sleep(self._rules.lease / 3)
            try:
                await self._renew()
            except StoreError:
                self._renewal_failed = True

    async def _renew(self) -> None:
        jobs = list(self._running.values())
        await self._store.renew(jobs, self._name, self._rules, self._clock())
        self._renewal_failed = False

    async def _perform(self, job: Job) -> None:
        try:
            result = await self._call(job.payload)
            outcome = AttemptOutcome(state="done", result=_checked(result))
        except Exception as error:  # noqa: BLE001 - decided on below and kept with the job
            outcome = after_failure(
                job, error, self._rules.retries, now=self._clock(), rng=self._rng
            )
        now = self._clock()
        if not await self._acknowledge(job, outcome, now):
            logger.warning(
                "job %s was taken over before it was done; is its lease too short?", job.id
            )
        elif outcome.state != "waiting":
            self._ended(
                replace(
                    job,
                    state=outcome.state,
                    result=outcome.result,
                    error=outcome.error,
                    error_kind=outcome.error_kind,
                    finished_at=now,
                )
            )

    async def _call(self, payload: Any) -> Any:
        if self._is_async:
            return await self._handler(payload)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, Context().run, self._handler, payload)
        return await result if isinstance(result, Awaitable) else result

    async def _acknowledge(self, job: Job, outcome: AttemptOutcome, now: float) -> bool:
        """Retry until the store has the outcome: a result that was paid for is only in memory."""
        attempt, pause = 1, 0.2
        while True:
            try:
                return await self._store.acknowledge(job, self._name, outcome, now)
            except StoreError as error:
                if attempt >= _LAST_TRIES and self._draining.is_set():
                    raise
                logger.warning("a finished job could not be stored, trying again: %s", error)
                await asyncio.sleep(pause)
            attempt, pause = attempt + 1, min(2 * pause, _LONGEST_PAUSE)


def _checked(result: Any) -> Any:
    try:
        dump_json(result, "handler's result")
    except ConfigurationError as error:
        raise ConfigurationError(f"the job ran and was billed, but {error}") from None
    return result
