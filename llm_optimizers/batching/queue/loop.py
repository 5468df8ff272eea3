"""What runs in a queue's event loop while the queue is open.

The worker, the look-up of jobs that other processes do, the backlog alert.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from llm_optimizers.arguments import function, number, whole
from llm_optimizers.batching.queue.clock import QueueClock
from llm_optimizers.batching.queue.job import Job, QueueStats
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.batching.queue.thread import STOP_SECONDS, cancel
from llm_optimizers.batching.queue.worker import LAST_SECONDS, JobWorker
from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.errors import ItemError, RefusedError, StoreError
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import store_outage
from llm_optimizers.lazy import renamed_attributes

__all__ = ["BacklogAlert", "QueueRuntime"]

_LOOK_SECONDS = 0.05
_LOOKS_A_SECOND = 4_000
_UPKEEP_SECONDS = 1.0
_FORGET_EVERY = 60
_LATEST, _LATEST_BYTES = 1_000, 2**24
_SHOWN = 10


def _announce(stats: QueueStats) -> None:
    message = (
        f"queue {stats.queue!r} is falling behind: {stats.depth} jobs are waiting, the oldest for "
        f"{stats.oldest_waiting_s or 0.0:.0f} s"
    )
    emit(Notice(component=__name__, message=message))


@renamed_attributes(tell="send")
@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogAlert:
    """Calls `notify` when `depth` jobs wait or one waits `oldest_s`; by default it is logged.

    It calls again only after both have fallen below half.
    """

    depth: int = 1_000
    oldest_s: float = 3_600.0
    notify: Callable[[QueueStats], None] = _announce

    def __post_init__(self) -> None:
        whole("depth", self.depth, least=1)
        number("oldest_s", self.oldest_s, above=0)
        function("notify", self.notify)

    def send(self, stats: QueueStats) -> None:
        """Call `notify`; an error in it is only announced, because the queue works without it."""
        try:
            self.notify(stats)
        except BaseException as error:  # noqa: BLE001 - it is the user's own code
            message = f"the backlog alert failed: {type(error).__name__}"
            emit(Notice(component=__name__, message=message))

    def raised(self, stats: QueueStats, *, before: bool) -> bool:
        """Return whether the alert is on, given whether it was on `before`."""
        scale = 0.5 if before else 1.0
        age = stats.oldest_waiting_s or 0.0
        return stats.depth >= self.depth * scale or age >= self.oldest_s * scale


def _size_of(job: Job) -> int:
    """Return about how many bytes a job takes in memory."""
    return 1_000 + 4 * (len(repr(job.payload)) + len(repr(job.result)))


class QueueRuntime:
    """What runs in a queue's event loop while it is open.

    A job of this process completes its futures at once. Jobs of other processes are looked up in
    the store, less often the more there are.
    """

    def __init__(
        self,
        store: JobStore,
        worker: JobWorker | None,
        *,
        rules: QueueRules,
        clock: QueueClock,
        alert: BacklogAlert | None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._alert = alert
        self._worker = worker
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._latest: LRUCache[str, Job] = LRUCache(
            _LATEST, max_bytes=_LATEST_BYTES, size=lambda _, job: _size_of(job)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._work: asyncio.Task[None] | None = None
        self._reading = store_outage(
            __name__,
            "job store",
            failed="the job store cannot be read, trying again",
            recovered="the job store can be read again",
        )

    async def open(self) -> None:
        """Connect, and start the worker and the look-ups."""
        await self._store.open()
        self._clock.set(await self._store.time())
        self._draining = asyncio.Event()
        self._watching = asyncio.Event()
        if self._worker is not None:
            self._work = asyncio.create_task(self._worker.run(self._draining, self._ended_here))
        self._tasks = [
            asyncio.create_task(self._look_up_all()),
            asyncio.create_task(self._upkeep()),
        ]

    def ended(self, id_: str) -> Job | None:
        """Return a job that ended here, if it is still in memory; for any thread."""
        unsaved = () if self._worker is None else self._worker.unsaved
        known = next((job for job in unsaved if job.id == id_ and job.finished), None)
        return self._latest.get(id_) if known is None else known

    async def watch(self, id_: str, future: Future[Job]) -> None:
        """Complete the future with the job once it is finished."""
        self._waiters.setdefault(id_, []).append(future)
        done = self._latest.get(id_)
        if done is not None:
            self._complete(id_, done)
            return
        await self._look_up([id_])
        self._watching.set()

    async def close(self, *, finish: bool, timeout: float | None) -> None:  # noqa: ASYNC109
        """Drain, disconnect, and fail the futures that are left.

        Raises:
            TimeoutError: jobs were still running after `timeout` seconds.
            StoreError: outcomes could not be stored, or not all waiting jobs be done.
        """
        late = False
        failure: StoreError | None = None
        try:
            async with asyncio.timeout(timeout):
                if self._work is not None:
                    failure = await self._drain(self._work, finish=finish)
                if failure is None and not (self._worker and self._worker.unsaved):
                    await self._look_up(list(self._waiters))
        except TimeoutError:
            late = True
        finally:
            await cancel([*self._tasks, *([self._work] if self._work else [])])
            await self._disconnect()
            for id_ in list(self._waiters):
                self._fail(id_, RefusedError(f"the queue was closed while job {id_} waited"))
        unsaved = "" if self._worker is None else _unsaved(self._worker.unsaved)
        if late:
            raise TimeoutError(
                f"jobs were still running {timeout} s after close(); those of a durable queue are "
                f"taken over when their lease ends{unsaved and '; ' + unsaved}"
            )
        if unsaved:
            raise StoreError(unsaved)
        if failure is not None:
            raise failure

    async def _drain(self, work: asyncio.Task[None], *, finish: bool) -> StoreError | None:
        """Finish the jobs; return the error of a store that cannot say which ones still wait."""
        failure = await self._finish(work) if finish else None
        self._draining.set()
        await work
        return failure

    async def _finish(self, work: asyncio.Task[None]) -> StoreError | None:
        answered = time.monotonic()
        while not work.done():
            try:
                stats = await self._store.stats(self._clock())
            except StoreError as error:
                if time.monotonic() - answered > LAST_SECONDS:
                    return error
            else:
                answered = time.monotonic()
                if not stats.depth and not stats.running:
                    break
            await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def _disconnect(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._store.close()
        except (StoreError, OSError) as error:  # what was to be stored is stored
            message = f"the job store could not be closed: {type(error).__name__}"
            emit(Notice(component=__name__, message=message))

    def _ended_here(self, job: Job) -> None:
        """Complete the futures of a job, and keep it if it is done: a dead one may be replayed."""
        if job.state == "done":
            self._latest.put(job.id, job)
        self._complete(job.id, job)

    def _complete(self, id_: str, job: Job) -> None:
        for future in self._waiters.pop(id_, ()):
            if future.set_running_or_notify_cancel():
                future.set_result(job)

    def _fail(self, id_: str, error: Exception) -> None:
        for future in self._waiters.pop(id_, ()):
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    async def _look_up_all(self) -> None:
        while True:
            if not self._waiters:
                self._watching.clear()
                await self._watching.wait()
            for id_, waiting in list(self._waiters.items()):
                if all(future.cancelled() for future in waiting):
                    del self._waiters[id_]
            await self._look_up(list(self._waiters))
            await asyncio.sleep(max(_LOOK_SECONDS, len(self._waiters) / _LOOKS_A_SECOND))

    async def _look_up(self, ids: list[str]) -> None:
        """Complete the futures of these jobs if the store has them finished."""
        try:
            jobs = await self._store.get(ids, self._clock())
        except Exception as error:  # noqa: BLE001 - or what waits would wait forever
            self._reading.failed(error)
            return
        self._reading.worked()
        here = set() if self._worker is None else self._worker.busy_with
        for id_, job in zip(ids, jobs, strict=True):
            if id_ in here:
                continue  # whatever happened to what is stored: its outcome comes from here
            if job is None:
                self._fail(id_, ItemError(f"no job {id_} is known; it may have been deleted"))
            elif job.finished:
                self._complete(id_, job)

    async def _upkeep(self) -> None:
        """Check the alert every second; delete old jobs and set the clock every minute."""
        raised = False
        rounds = 0
        while True:
            try:
                raised = await self._alarm(raised)
                if rounds % _FORGET_EVERY == 0:
                    self._clock.set(await self._store.time())
                    await self._store.forget(self._clock() - self._rules.keep)
            except StoreError:  # reported by submit and by the worker
                pass
            except Exception as error:  # noqa: BLE001 - the alert must not stay silent from now on
                self._reading.failed(error)
            rounds += 1
            await asyncio.sleep(_UPKEEP_SECONDS)

    async def _alarm(self, before: bool) -> bool:
        if self._alert is None:
            return False
        stats = await self._store.stats(self._clock())
        raised = self._alert.raised(stats, before=before)
        if raised and not before:
            await asyncio.to_thread(self._alert.send, stats)
        return raised


def _unsaved(jobs: Sequence[Job]) -> str:
    """Say which jobs ended without being stored; an empty text for none."""
    if not jobs:
        return ""
    shown = ", ".join(job.id for job in jobs[:_SHOWN]) + ", …" * (len(jobs) > _SHOWN)
    return (
        f"the outcomes of {len(jobs)} finished jobs could not be stored ({shown}); handles in this "
        "process have the results; a durable queue does these jobs again once it can be written"
    )
