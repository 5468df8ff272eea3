"""`JobQueue`: work that need not be answered now, done in the order of its urgency.

Nothing is lost: a job is stored before `submit` returns, a worker that dies is noticed by its
lease, and a result is looked up before it is paid again (give a `key` to submissions that may be
repeated). Delivery is at least once: of a killed worker, the jobs under way are done again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llm_optimizers.batching.queue.handles import DeadLetters, JobHandle
from llm_optimizers.batching.queue.job import (
    Job,
    Priority,
    QueueStats,
    check_priority,
    dump_json,
)
from llm_optimizers.batching.queue.rules import QueueRules, Rates, RetryPolicy
from llm_optimizers.batching.queue.loop import BacklogAlert, LoopThread, QueueRuntime
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.batching.queue.worker import Handler, JobWorker
from llm_optimizers.connections.forks import ProcessLock
from llm_optimizers.errors import ConfigurationError, RefusedError
from llm_optimizers.types import Clock

__all__ = ["JobQueue"]

T = TypeVar("T")

_MOST_TOKENS = 2**53  # what Redis and SQLite both count without rounding


class JobQueue:
    """Jobs of one kind, usually of one model: one queue a model keeps their limits apart.

    In memory; or durable in the SQLite file `path`, shared by the processes of one machine; or on
    the Redis at `url`, shared by many (extra `redis`). With a `handler` this process works; one
    without only submits and looks. A forked child has a worker of its own, and its parent's jobs
    where they are durable.

    Args:
        handler: takes a payload, returns a result (both JSON); a function or coroutine function.
        name: the queue's name; several queues may share a file or a Redis.
        concurrency: jobs at the same time in this process.
        requests_per_minute, tokens_per_minute: limits of all workers together.
        max_wait: seconds after which a job that was not started is refused unpaid.
        retries: how often and when a failed attempt is repeated.
        aging: seconds of waiting after which a job overtakes newer ones a priority above.
        lease: seconds without a sign of life after which a worker's jobs are taken over.
        alert: who is told when the queue falls behind.
        clock: seconds since the epoch.
        rng: dice for the spread of retries.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        name: str = "default",
        path: str | Path | None = None,
        url: str | None = None,
        concurrency: int = 5,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_wait: float | None = None,
        retries: RetryPolicy | None = None,
        aging: float = 60.0,
        lease: float = 30.0,
        alert: BacklogAlert | None = None,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; give at least 1")
        rates = Rates(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
        self.name = name
        self.clock = clock
        self.rules = QueueRules(
            rates=rates, retries=retries or RetryPolicy(), aging=aging, lease=lease
        )
        self.dead = DeadLetters(self.run, rules=self.rules, clock=clock)
        self._durable = path is not None or url is not None
        self._max_wait = max_wait
        self._alert = alert
        self._make_store = partial(_store, name, path=path, url=url)
        make = partial(JobWorker, slots=concurrency, rules=self.rules, clock=clock, rng=rng)
        self._make_worker = None if handler is None else partial(make, handler=handler)
        self._lock = ProcessLock()
        self._thread: LoopThread | None = None
        self._closed = False
        self._begin()

    def start(self) -> None:
        """Open the store and begin to work; every other method does it when it is needed.

        Raises:
            StoreError: the store cannot be opened.
            RefusedError: the queue was closed.
        """
        self._started()

    def submit(
        self,
        payload: Any,
        *,
        priority: Priority = "medium",
        key: str | None = None,
        max_wait: float | None = None,
        tokens: int = 0,
        callback: Callable[[Job], None] | None = None,
    ) -> JobHandle:
        """Store a job; when this returns it cannot be lost (in memory: while the process lives).

        `key` makes it safe to submit twice: the same key is the same job, whatever became of it.
        `tokens` is what the job will use, as far as known, for the token rate.

        Raises:
            ConfigurationError: the payload is no JSON, or the key stands for another payload.
            StoreError: the store failed; the job is not in it.
        """
        job = self._job(payload, priority, key, max_wait, tokens)
        (handle,) = self._started().wait(self._add([job]))
        if callback is not None:
            handle.add_callback(callback)
        return handle

    async def asubmit(
        self,
        payload: Any,
        *,
        priority: Priority = "medium",
        key: str | None = None,
        max_wait: float | None = None,
        tokens: int = 0,
    ) -> JobHandle:
        """`submit` without blocking the event loop."""
        job = self._job(payload, priority, key, max_wait, tokens)
        thread = await asyncio.to_thread(self._started)
        (handle,) = await asyncio.wrap_future(thread.submit(self._add([job])))
        return handle

    def submit_many(
        self, payloads: Iterable[Any], *, priority: Priority = "medium", tokens: int = 0
    ) -> list[JobHandle]:
        """Store many jobs in one step, all or none."""
        jobs = [self._job(payload, priority, None, None, tokens) for payload in payloads]
        return self._started().wait(self._add(jobs))

    def get(self, id: str) -> Job | None:  # noqa: A002 - the job's own word
        """The job as it is now, or None when it is unknown or long forgotten."""
        return self.run(lambda store: store.get([id], self.clock()))[0]

    def handle(self, id: str) -> JobHandle:  # noqa: A002 - the job's own word
        """A handle for a job submitted earlier or by another process."""
        self.start()
        return JobHandle(id, self._watch)

    def stats(self) -> QueueStats:
        """Depth by priority, what runs and is settled, ages and latencies."""
        return self.run(lambda store: store.stats(self.clock()))

    def run(self, ask: Callable[[JobStore], Coroutine[Any, Any, T]]) -> T:
        """Ask the store something, waiting in this thread."""
        return self._started().wait(ask(self._store))

    def close(self, *, finish: bool | None = None, timeout: float | None = None) -> None:
        """Stop working; the jobs under way are done first.

        With `finish` those that wait are done too. Without it, it depends: in memory they are
        done, for nobody could do them later; a durable queue keeps them. Who still waits for a
        job then gets a RefusedError.

        Raises:
            TimeoutError: work was left after `timeout` seconds; it is abandoned.
        """
        with self._lock:
            self._leave_to_parent()
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        finish = not self._durable if finish is None else finish
        try:
            thread.wait(self._runtime.close(finish=finish, timeout=timeout))
        finally:
            thread.stop()

    def __enter__(self) -> JobQueue:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._thread = None
        self._store = self._make_store()
        worker = None if self._make_worker is None else self._make_worker(self._store)
        self._runtime = QueueRuntime(
            self._store, worker, rules=self.rules, clock=self.clock, alert=self._alert
        )

    def _started(self) -> LoopThread:
        """The thread in which everything runs; raises what `start` raises."""
        with self._lock:
            self._leave_to_parent()
            if self._closed:
                raise RefusedError("the queue is closed; open a new one to go on")
            if self._thread is None:
                thread = LoopThread(f"queue-{self.name}")
                try:
                    thread.wait(self._runtime.open())
                except BaseException:
                    thread.stop()
                    raise
                self._thread = thread
            return self._thread

    def _leave_to_parent(self) -> None:
        """In a forked child, begin again: the parent's thread and what it does stayed there."""
        if self._pid != os.getpid():
            # Kept and never closed, for its connections are the parent's.
            self._inherited = (self._thread, self._runtime)
            self._begin()

    def _job(
        self,
        payload: Any,
        priority: str,
        key: str | None,
        max_wait: float | None,
        tokens: int,
    ) -> Job:
        dump_json(payload, "payload")
        if key is not None and not isinstance(key, str):
            raise ConfigurationError(f"key is {key!r}; give a string")
        if type(tokens) is not int or not 0 <= tokens < _MOST_TOKENS:
            raise ConfigurationError(f"tokens is {tokens!r}; give a whole number of 0 or more")
        wait = self._max_wait if max_wait is None else max_wait
        now = self.clock()
        return Job(
            id=key or uuid.uuid4().hex,
            queue=self.name,
            payload=payload,
            priority=check_priority(priority),
            tokens=tokens,
            submitted_at=now,
            expires_at=None if wait is None else now + wait,
        )

    async def _add(self, jobs: list[Job]) -> list[JobHandle]:
        kept = await self._store.add(jobs, self.rules)
        return [JobHandle(job.id, self._watch) for job in kept]

    def _watch(self, id_: str) -> Future[Job]:
        watched: Future[Job] = Future()
        self._started().submit(self._runtime.watch(id_, watched))
        return watched


def _store(name: str, *, path: str | Path | None, url: str | None) -> JobStore:
    """Memory, or the SQLite file at `path`, or the Redis at `url`, whose driver comes only then.

    Raises:
        ConfigurationError: both are given.
        ImportError: the `redis` extra is missing.
    """
    if path is not None and url is not None:
        raise ConfigurationError("give a path or a url, not both: one queue has one store")
    if url is None:
        return SQLiteJobStore(name, path)
    from llm_optimizers.batching.queue.redis import RedisJobStore

    return RedisJobStore(name, url)
