"""`JobQueue`: jobs that can wait, done by priority.

A job is stored before `submit` returns, and when a worker dies, another takes its jobs over after
the lease. Delivery is at least once: the jobs running in a killed worker are done again. Give a
`key` to submissions that may be repeated: a job with a result is not done again.

How long a stored job is safe depends on the store:

- in memory: as long as its process lives;
- in an SQLite file: for good, whatever happens to the process; if the machine crashes or loses
  power, the jobs and results of the last moments may be gone (`synchronous = NORMAL`);
- on Redis: as the server keeps its data. With `appendonly yes` and `appendfsync always` for good,
  with `everysec` a crash costs about a second, with snapshots (RDB) alone all since the last one,
  without persistence everything. `maxmemory-policy` must be `noeviction`: other policies delete
  jobs when memory is short.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
import warnings
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from llm_optimizers.arguments import (
    flag,
    function,
    instance,
    number,
    one_of,
    optional,
    refuse,
    values,
    whole,
)
from llm_optimizers.batching.queue.clock import QueueClock
from llm_optimizers.batching.queue.handles import LONGEST_WAIT, DeadLetters, JobHandle
from llm_optimizers.batching.queue.job import (
    MOST_TOKENS,
    PRIORITIES,
    Job,
    Priority,
    QueueStats,
    check_key,
    dump_json,
)
from llm_optimizers.batching.queue.loop import BacklogAlert, QueueRuntime
from llm_optimizers.batching.queue.rules import QueueRules, Rates, RetryPolicy, too_large
from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.batching.queue.thread import CALL_SECONDS, LoopThread
from llm_optimizers.batching.queue.worker import Handler, JobWorker
from llm_optimizers.connections.opening import database_path
from llm_optimizers.errors import ConfigurationError, RefusedError, StoreError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import NotPickled
from llm_optimizers.types import Clock

__all__ = ["JobQueue"]

T = TypeVar("T")

_AGAIN = "a job that has a `key` can be submitted again and is not done twice"
_JOBS_A_SECOND = 1_000  # fewer than any store takes; limits the wait for many jobs


class JobQueue(NotPickled):
    """Jobs of one kind, usually of one model: one queue per model keeps their limits apart.

    In memory; or durable in the SQLite file `path`, shared by the processes of one machine; or on
    the Redis at `url`, shared by machines (extra `redis`). With a `handler` this process does jobs;
    without one it only submits and reads. A forked child starts its own worker, and sees its
    parent's jobs if they are durable.

    Args:
        handler: takes a payload, returns a result (both JSON); a function or coroutine function.
            It runs without the submitter's tenant: put that into the payload, and `tenant(...)`
            around the calls in the handler.
        name: the queue's name; several queues may share a file or a Redis.
        concurrency: jobs at the same time in this process.
        requests_per_minute, tokens_per_minute: limits of all workers together.
        max_wait: seconds after which a job that was not started expires, unpaid.
        retries: how often and when a failed attempt is repeated.
        aging: seconds after which a job overtakes newer ones of the next higher priority.
        lease: seconds after which the jobs of a dead worker are taken over; workers renew it.
        alert: what is called when the queue falls behind.
        clock: seconds since the epoch; by default the time of the store (on Redis the server's),
            which does not change when this computer's clock is set.
        rng: spreads retries at random.
        ageing: the former name of `aging`.
    """

    pickle_advice = "create one in each process, with the same path or url"

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        name: str = "default",
        path: str | os.PathLike[str] | None = None,
        url: str | None = None,
        concurrency: int = 5,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_wait: float | None = None,
        retries: RetryPolicy | None = None,
        aging: float = 60.0,
        lease: float = 30.0,
        alert: BacklogAlert | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        ageing: float | None = None,
    ) -> None:
        if ageing is not None:
            warnings.warn("JobQueue(ageing=) is now aging=", DeprecationWarning, stacklevel=2)
            aging = ageing
        optional(function, "handler", handler, or_async=True)
        optional(instance, "rng", rng, random.Random)
        whole("concurrency", concurrency, least=1)
        rates = Rates(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
        self.name = check_key("name", name)
        self.clock = QueueClock(optional(function, "clock", clock))
        self.rules = QueueRules(
            rates=rates,
            retries=RetryPolicy() if retries is None else retries,
            aging=aging,
            lease=lease,
        )
        self.dead = DeadLetters(self.run, rules=self.rules, clock=self.clock)
        self._durable = url is not None or database_path(path, url="url") is not None
        self._max_wait = optional(number, "max_wait", max_wait, above=0, most=LONGEST_WAIT)
        self._alert = optional(instance, "alert", alert, BacklogAlert)
        optional(check_key, "url", url)
        self._make_store = partial(_store, name, path=path, url=url)
        make = partial(JobWorker, slots=concurrency, rules=self.rules, clock=self.clock, rng=rng)
        self._make_worker = None if handler is None else partial(make, handler=handler)
        self._lock = ProcessLock()
        self._thread: LoopThread | None = None
        self._closed = False
        self._begin()

    def start(self) -> None:
        """Open the store and begin to work; every other method does so when needed.

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
        """Store a job; when this returns it is as safe as the store (see the module).

        `key` makes it safe to submit twice: the same key is the same job, also when it is done or
        dead. `tokens` is what the job is expected to use, for the token rate.

        Raises:
            ConfigurationError: the payload is not JSON, a value cannot work, or the key was used
                for another payload.
            StoreError: the store failed or did not answer; the job may be stored nevertheless, so
                give a `key` to submit it again.
        """
        optional(function, "callback", callback)
        thread, (job,) = self._prepared([payload], priority, tokens, key, max_wait)
        (handle,) = thread.wait(self._add([job]))
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
        prepared = partial(self._prepared, [payload], priority, tokens, key, max_wait)
        thread, (job,) = await asyncio.to_thread(prepared)
        (handle,) = await thread.await_(self._add([job]))
        return handle

    def submit_many(
        self, payloads: Iterable[Any], *, priority: Priority = "medium", tokens: int = 0
    ) -> list[JobHandle]:
        """Store many jobs in one step, all or none; on Redis 200 a step."""
        thread, jobs = self._prepared(payloads, priority, tokens)
        seconds = CALL_SECONDS + len(jobs) / _JOBS_A_SECOND
        return thread.wait(self._add(jobs), seconds=seconds)

    def get(self, id: str) -> Job | None:  # noqa: A002 - as `Job.id`
        """Return the job as it is now, or None if it is unknown or was deleted after `keep`."""
        check_key("id", id)
        return self.run(lambda store: store.get([id], self.clock()))[0]

    def handle(self, id: str) -> JobHandle:  # noqa: A002 - as `Job.id`
        """Return a handle for a job submitted earlier or by another process."""
        check_key("id", id)
        self.start()
        return JobHandle(id, self._watch)

    def stats(self) -> QueueStats:
        """Return jobs by priority and state, and how long they waited and ran."""
        return self.run(lambda store: store.stats(self.clock()))

    def run(self, ask: Callable[[JobStore], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of the store and wait for its result in this thread."""
        return self._started().wait(ask(self._store))

    def close(self, *, finish: bool | None = None, timeout: float | None = None) -> None:
        """Finish the running jobs, then stop.

        With `finish=True` the jobs that wait are done too, with False they are not; by default
        they are done in memory, where they would be lost, and kept in a durable queue. Handles
        give the latest results of this process afterwards too; those that still wait then raise
        RefusedError.

        Raises:
            TimeoutError: jobs were still running after `timeout` seconds; they are abandoned.
            StoreError: the store failed until the end. The message says which results are not in
                it; handles in this process have them.
        """
        optional(flag, "finish", finish)
        optional(number, "timeout", timeout, least=0, most=LONGEST_WAIT)
        with self._lock:
            self._leave_to_parent()
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        finish = not self._durable if finish is None else finish
        try:
            thread.wait(self._runtime.close(finish=finish, timeout=timeout), seconds=None)
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
        """Return the running event loop, starting it if needed; raises what `start` raises."""
        with self._lock:
            self._leave_to_parent()
            if self._closed:
                raise RefusedError("the queue is closed; open a new one")
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
        """In a forked child, begin again: the parent's thread does not run there."""
        if self._pid != os.getpid():
            # Kept and never closed, because the connections are the parent's.
            self._inherited = (self._thread, self._runtime)
            self._begin()

    def _prepared(
        self,
        payloads: Iterable[Any],
        priority: Priority,
        tokens: int,
        key: str | None = None,
        max_wait: float | None = None,
    ) -> tuple[LoopThread, list[Job]]:
        """Return the running event loop and the jobs; they are checked before a store is opened."""
        payloads = list(values("payloads", payloads, "payloads"))
        for payload in payloads:
            dump_json(payload, "`payload`")
        optional(check_key, "key", key)
        one_of("priority", priority, PRIORITIES)
        whole("tokens", tokens, least=0, most=MOST_TOKENS)
        if reason := too_large(self.rules.rates, tokens):
            refuse("tokens", tokens, f"fewer: {reason}")
        optional(number, "max_wait", max_wait, above=0, most=LONGEST_WAIT)
        thread = self._started()
        wait = self._max_wait if max_wait is None else max_wait
        jobs = []
        for payload in payloads:
            now = self.clock()  # of each, so that they keep their order
            job = Job(
                id=uuid.uuid4().hex if key is None else key,
                queue=self.name,
                payload=payload,
                priority=priority,
                tokens=tokens,
                submitted_at=now,
                expires_at=None if wait is None else now + wait,
            )
            jobs.append(job)
        return thread, jobs

    async def _add(self, jobs: list[Job]) -> list[JobHandle]:
        try:
            kept = await self._store.add(jobs, self.rules)
        except StoreError as error:
            raise type(error)(f"{error}; {_AGAIN}") from error
        return [JobHandle(job.id, self._watch) for job in kept]

    def _watch(self, id_: str) -> Future[Job]:
        future: Future[Job] = Future()
        known = self._runtime.ended(id_) if self._closed else None
        if known is not None:
            future.set_result(known)
        else:
            self._started().submit(self._runtime.watch(id_, future))
        return future


def _store(name: str, *, path: str | os.PathLike[str] | None, url: str | None) -> JobStore:
    """Return a store in memory, in the SQLite file `path` or on the Redis at `url`.

    Raises:
        ConfigurationError: both are given.
        ImportError: the `redis` extra is missing.
    """
    if path is not None and url is not None:
        raise ConfigurationError("give a path or a url, not both")
    if url is None:
        return SQLiteJobStore(name, database_path(path, url="url"))
    from llm_optimizers.batching.queue.redis import RedisJobStore

    return RedisJobStore(name, url)
