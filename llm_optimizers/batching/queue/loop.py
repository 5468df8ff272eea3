"""The event loop of a queue, in its own thread, and what runs in it while the queue is open.

The worker, the look-up of jobs that other processes do, the backlog alert. The store is used only
in this loop, so it does not matter when a caller's loop is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from llm_optimizers.batching.queue.job import Job, QueueStats
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.batching.queue.worker import JobWorker
from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.errors import ConfigurationError, ItemError, RefusedError, StoreError
from llm_optimizers.lazy import renamed_attributes
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import Clock

__all__ = ["BacklogAlert", "LoopThread", "QueueRuntime"]

T = TypeVar("T")

_LOOK_SECONDS = 0.05
_LOOKS_A_SECOND = 4_000
_UPKEEP_SECONDS = 1.0
_FORGET_EVERY = 60
_LATEST = 1_000

logger = safe_logger(__name__)


class LoopThread:
    """An event loop that runs until `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; raises RefusedError once it has stopped.

        It runs in an empty context: the first caller's, with its tenant, would last for all jobs.
        """
        try:
            return Context().run(asyncio.run_coroutine_threadsafe, work, self._loop)
        except RuntimeError as error:
            work.close()
            raise RefusedError("the queue is closed; open a new one") from error

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it in this thread.

        Raises:
            ConfigurationError: this is the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise ConfigurationError(
                "an asynchronous handler must not block its own queue; await asubmit instead"
            )
        return self.submit(work).result()

    def stop(self) -> None:
        """Cancel the tasks that are left, and end the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


def _log(stats: QueueStats) -> None:
    logger.warning(
        "queue %r is falling behind: %d jobs are waiting, the oldest for %.0f s",
        stats.queue,
        stats.depth,
        stats.oldest_waiting_s or 0.0,
    )


@renamed_attributes(tell="send")
@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogAlert:
    """Calls `notify` (by default logs a warning) when `depth` jobs wait or one waits `oldest_s`.

    It calls again only after both have fallen below half.
    """

    depth: int = 1_000
    oldest_s: float = 3_600.0
    notify: Callable[[QueueStats], None] = _log

    def send(self, stats: QueueStats) -> None:
        """Call `notify`; an error in it is only logged, because the queue works without it."""
        try:
            self.notify(stats)
        except Exception as error:  # noqa: BLE001 - it is the user's own code
            logger.warning("the backlog alert failed: %s", type(error).__name__)

    def raised(self, stats: QueueStats, *, before: bool) -> bool:
        """Return whether the alert is on, given whether it was on `before`."""
        scale = 0.5 if before else 1.0
        age = stats.oldest_waiting_s or 0.0
        return stats.depth >= self.depth * scale or age >= self.oldest_s * scale


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
        clock: Clock,
        alert: BacklogAlert | None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._alert = alert
        self._worker = worker
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._latest: LRUCache[str, Job] = LRUCache(_LATEST)
        self._tasks: list[asyncio.Task[None]] = []
        self._work: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and start the worker and the look-ups."""
        await self._store.open()
        self._draining = asyncio.Event()
        self._watching = asyncio.Event()
        if self._worker is not None:
            self._work = asyncio.create_task(self._worker.run(self._draining, self._ended_here))
        self._tasks = [
            asyncio.create_task(self._look_up_all()),
            asyncio.create_task(self._upkeep()),
        ]

    async def watch(self, id_: str, future: Future[Job]) -> None:
        """Complete the future with the job once it is finished."""
        self._waiters.setdefault(id_, []).append(future)
        done = self._latest.get(id_)
        if done is not None:
            self._complete(done)
            return
        await self._look_up([id_])
        self._watching.set()

    async def close(self, *, finish: bool, timeout: float | None) -> None:  # noqa: ASYNC109
        """Drain, disconnect, and fail the futures that are left."""
        try:
            async with asyncio.timeout(timeout):
                if self._work is not None:
                    await self._drain(self._work, finish=finish)
                await self._look_up(list(self._waiters))
        except TimeoutError:
            raise TimeoutError(
                f"jobs were still running {timeout} s after close(); those of a durable queue are "
                "taken over when their lease ends"
            ) from None
        finally:
            left = [*self._tasks, *([self._work] if self._work else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._store.close()
            for id_ in list(self._waiters):
                self._fail(id_, RefusedError(f"the queue was closed while job {id_} waited"))

    async def _drain(self, work: asyncio.Task[None], *, finish: bool) -> None:
        while finish and not work.done():
            stats = await self._store.stats(self._clock())
            if not stats.depth and not stats.running:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._draining.set()
        await work

    def _ended_here(self, job: Job) -> None:
        """Complete the futures of a job, and keep it if it is done: a dead one may be replayed."""
        if job.state == "done":
            self._latest.put(job.id, job)
        self._complete(job)

    def _complete(self, job: Job) -> None:
        for future in self._waiters.pop(job.id, ()):
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
        except StoreError as error:
            logger.warning("the job store cannot be read, trying again: %s", error)
            return
        for id_, job in zip(ids, jobs, strict=True):
            if job is None:
                self._fail(id_, ItemError(f"no job {id_} is known; it may have been deleted"))
            elif job.finished:
                self._complete(job)

    async def _upkeep(self) -> None:
        """Check the alert every second and delete old jobs every minute."""
        raised = False
        rounds = 0
        while True:
            with contextlib.suppress(StoreError):  # reported by submit and by the worker
                raised = await self._alarm(raised)
                if rounds % _FORGET_EVERY == 0:
                    await self._store.forget(self._clock() - self._rules.keep)
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
