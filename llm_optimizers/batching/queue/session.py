"""What runs in a queue's own event loop while it is open: the worker, the waiters, the watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future

from llm_optimizers.batching.queue.alerts import BacklogAlert
from llm_optimizers.batching.queue.job import Job
from llm_optimizers.batching.queue.store import JobStore, QueueRules
from llm_optimizers.batching.queue.worker import JobWorker
from llm_optimizers.errors import ItemError, RefusedError, StoreError
from llm_optimizers.types import Clock

__all__ = ["QueueSession"]

_LOOK_SECONDS = 0.05
_LOOKS_A_SECOND = 4_000
_UPKEEP_SECONDS = 1.0
_FORGET_EVERY = 60
_LATEST = 1_000

logger = logging.getLogger(__name__)


class QueueSession:
    """Everything here runs in one event loop.

    Jobs done in this process are told to their waiters at once; those done elsewhere are looked
    up, the less often the more there are.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        rules: QueueRules,
        clock: Clock,
        alert: BacklogAlert | None,
        worker: Callable[[Callable[[Job], None]], JobWorker] | None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._alert = alert
        self._make_worker = worker
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._latest: dict[str, Job] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._worker: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and begin to work and to watch."""
        await self._store.open()
        self._draining = asyncio.Event()
        self._asked = asyncio.Event()
        if self._make_worker is not None:
            worker = self._make_worker(self._done_here)
            self._worker = asyncio.create_task(worker.run(self._draining))
        self._tasks = [
            asyncio.create_task(self._look_out()),
            asyncio.create_task(self._keep_up()),
        ]

    async def watch(self, id_: str, watched: Future[Job]) -> None:
        """Settle the future once the job is settled, at once if it is."""
        self._waiters.setdefault(id_, []).append(watched)
        if id_ in self._latest:
            self._tell(self._latest[id_])
            return
        await self._look([id_])
        self._asked.set()

    async def close(self, *, finish: bool, timeout: float | None) -> None:  # noqa: ASYNC109
        """Drain, disconnect, and tell who still waits."""
        try:
            async with asyncio.timeout(timeout):
                if self._worker is not None:
                    await self._drain(self._worker, finish=finish)
                await self._look(list(self._waiters))
        except TimeoutError:
            raise TimeoutError(
                f"jobs were still under way {timeout} s after close(); a durable queue's are "
                "taken over when their lease ends"
            ) from None
        finally:
            left = [*self._tasks, *([self._worker] if self._worker else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._store.close()
            for id_ in list(self._waiters):
                self._fail(id_, RefusedError(f"the queue was closed while job {id_} waited"))

    async def _drain(self, worker: asyncio.Task[None], *, finish: bool) -> None:
        while finish and not worker.done():
            stats = await self._store.stats(self._clock())
            if not stats.depth and not stats.running:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._draining.set()
        await worker

    def _done_here(self, job: Job) -> None:
        """Tell waiters, and remember what is done for those about to ask.

        A dead job is not remembered, for it may be replayed.
        """
        if job.state == "done":
            self._latest[job.id] = job
            if len(self._latest) > _LATEST:
                del self._latest[next(iter(self._latest))]
        self._tell(job)

    def _tell(self, job: Job) -> None:
        for watched in self._waiters.pop(job.id, ()):
            if watched.set_running_or_notify_cancel():
                watched.set_result(job)

    def _fail(self, id_: str, error: Exception) -> None:
        for watched in self._waiters.pop(id_, ()):
            if watched.set_running_or_notify_cancel():
                watched.set_exception(error)

    async def _look_out(self) -> None:
        while True:
            if not self._waiters:
                self._asked.clear()
                await self._asked.wait()
            for id_, waiting in list(self._waiters.items()):
                if all(watched.cancelled() for watched in waiting):
                    del self._waiters[id_]
            await self._look(list(self._waiters))
            await asyncio.sleep(max(_LOOK_SECONDS, len(self._waiters) / _LOOKS_A_SECOND))

    async def _look(self, ids: list[str]) -> None:
        """Ask the store about jobs somebody waits for."""
        try:
            jobs = await self._store.get(ids, self._clock())
        except StoreError as error:
            logger.warning("the job store cannot be read, trying again: %s", error)
            return
        for id_, job in zip(ids, jobs, strict=True):
            if job is None:
                self._fail(id_, ItemError(f"no job {id_} is known; it may have been forgotten"))
            elif job.settled:
                self._tell(job)

    async def _keep_up(self) -> None:
        """Raise the alert and forget old jobs, as long as the queue is open."""
        raised = False
        beats = 0
        while True:
            with contextlib.suppress(StoreError):  # said where it matters, in submit and work
                raised = await self._alarm(raised)
                if beats % _FORGET_EVERY == 0:
                    await self._store.forget(self._clock() - self._rules.keep)
            beats += 1
            await asyncio.sleep(_UPKEEP_SECONDS)

    async def _alarm(self, before: bool) -> bool:
        if self._alert is None:
            return False
        stats = await self._store.stats(self._clock())
        raised = self._alert.raised(stats, before=before)
        if raised and not before:
            await asyncio.to_thread(self._alert.tell, stats)
        return raised
