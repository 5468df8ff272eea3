"""The worker of a queue: claims jobs, calls the handler, renews leases, stores outcomes."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llm_optimizers.batching.queue.calls import Handler, HandlerCalls
from llm_optimizers.batching.queue.job import AttemptOutcome, Claim, Job
from llm_optimizers.batching.queue.rules import QueueRules, after_failure
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import StoreError
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import store_outage
from llm_optimizers.types import Clock

__all__ = ["LAST_SECONDS", "Handler", "JobWorker"]

LAST_SECONDS = 10.0
"""How long a queue that is being closed waits for a store that fails."""

_LONGEST_PAUSE = 1.0
_RESTART_SECONDS = 1.0
_BUSY_S = 5.0  # others may use the store for so long before it counts as failing


class JobWorker:
    """Runs the jobs of one queue, `slots` at the same time, until drained.

    A finished job keeps its slot until its outcome is stored: a result that was paid for is held
    in memory while the store fails, and no more jobs are started than can be held.

    `unsaved` has the jobs whose outcome could not be stored before the end, as they ended.
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
        self.unsaved: list[Job] = []
        self._store = store
        self._calls = HandlerCalls(handler, slots)
        self._slots = slots
        self._rules = rules
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, no security
        self._name = uuid.uuid4().hex
        self._running: dict[asyncio.Task[Any], Job] = {}
        self._renewed_at = time.monotonic()
        self._claims = store_outage(
            __name__,
            "job store",
            failed="the job store failed, trying again",
            recovered="the job store works again",
            busy_s=_BUSY_S,
        )
        self._outcomes = store_outage(
            __name__,
            "job store",
            failed="a finished job could not be stored, trying again",
            recovered="finished jobs are stored again",
            busy_s=_BUSY_S,
        )
        self._itself = store_outage(
            __name__,
            "job store",
            failed="the worker failed, trying again",
            recovered="the worker works again",
        )

    async def run(self, draining: asyncio.Event, ended: Callable[[Job], None]) -> None:
        """Work until `draining` is set and the running jobs are finished.

        Calls `ended` with every job that was done or died. A failure of the store is logged, and
        work continues when the store works again.
        """
        self._draining = draining
        self._ended = ended
        leases = asyncio.create_task(self._keep_leases())
        try:
            while True:
                try:
                    return await self._work()
                except Exception as error:  # noqa: BLE001 - must not stop the worker
                    self._itself.failed(error)
                await asyncio.sleep(_RESTART_SECONDS)
        finally:
            left = [leases, *self._running]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            self._calls.close()

    @property
    def busy_with(self) -> set[str]:
        """The ids of the jobs that it does now, or whose results it holds."""
        return {job.id for job in self._running.values()}

    async def _work(self) -> None:
        """Keep the slots filled until draining, then wait for the running jobs."""
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
                self._itself.worked()
        finally:
            left = [drained, *([changed] if changed else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _fill(self) -> Claim:
        """Start jobs in the slots that are free."""
        free = self._slots - len(self._running)
        if not free:
            return Claim()
        try:
            # Late, the claim could take over this worker's own jobs.
            if time.monotonic() - self._renewed_at > self._rules.lease / 2:
                await self._renew()
            claim = await self._store.claim(self._name, free, self._rules, self._clock())
        except StoreError as error:
            self._claims.failed(error)
            return Claim(retry_at=self._clock() + _RESTART_SECONDS, held=True)
        self._claims.worked()
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
            except Exception as error:  # noqa: BLE001 - must go on; the next claim renews first
                self._renewed_at = float("-inf")
                self._claims.failed(error)

    async def _renew(self) -> None:
        jobs = list(self._running.values())
        await self._store.renew(jobs, self._name, self._rules, self._clock())
        self._renewed_at = time.monotonic()

    async def _perform(self, job: Job) -> None:
        result, error = await self._calls.call(job.payload)
        now = self._clock()
        if error is None:
            outcome = AttemptOutcome(state="done", result=result)
        else:
            outcome = after_failure(job, error, self._rules.retries, now=now, rng=self._rng)
        finished = _finished(job, outcome, now)
        try:
            kept = await self._store_outcome(job, outcome, finished)
        except asyncio.CancelledError:
            self._give_up(job, finished)
            raise
        if not kept:
            message = f"job {job.id} was taken over before it was done; is its lease too short?"
            emit(Notice(component=__name__, message=message))
        elif finished is not None:
            self._ended(finished)

    async def _store_outcome(self, job: Job, outcome: AttemptOutcome, finished: Job | None) -> bool:
        """Try until the outcome is stored: a result that was paid for is only in memory.

        What waits for the result in this process gets it at once. A worker that is being closed
        tries for `LAST_SECONDS` more. False if another worker has ended the job.
        """
        pause, since = 0.2, time.monotonic()
        while True:
            try:
                kept = await self._store.acknowledge(job, self._name, outcome, self._clock())
            except Exception as error:  # noqa: BLE001 - no error may cost a result
                self._outcomes.failed(error)
            else:
                self._outcomes.worked()
                return kept
            if outcome.state == "done" and finished is not None:
                self._ended(finished)
            if not self._draining.is_set():
                since = time.monotonic()
            elif time.monotonic() - since > LAST_SECONDS:
                self._give_up(job, finished)
                return True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _give_up(self, job: Job, finished: Job | None) -> None:
        self.unsaved.append(finished or job)
        if finished is not None:
            self._ended(finished)


def _finished(job: Job, outcome: AttemptOutcome, now: float) -> Job | None:
    """Return the job as it ends, None if it is to be started again."""
    if outcome.state == "waiting":
        return None
    return replace(
        job,
        state=outcome.state,
        payload=None if outcome.state == "done" else job.payload,
        result=outcome.result,
        error=outcome.error,
        error_kind=outcome.error_kind,
        finished_at=now,
    )
