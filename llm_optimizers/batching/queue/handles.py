"""The submitter's end of a job: wait for it, await it, be called back, or look it up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from llm_optimizers.batching.queue.job import Job
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import DeadlineError, ItemError
from llm_optimizers.types import Clock

__all__ = ["AskStore", "DeadLetters", "JobHandle"]

T = TypeVar("T")


class AskStore(Protocol):
    """Runs a question to the store in the queue's event loop and waits for the answer."""

    def __call__(self, ask: Callable[[JobStore], Coroutine[Any, Any, T]]) -> T:
        """What the store answers."""


class JobHandle:
    """A job that was handed in; `await handle` or `handle.result()` gives its result.

    Waiting may be given up and taken up again; it never changes what becomes of the job.
    """

    def __init__(self, id: str, watch: Callable[[str], Future[Job]]) -> None:  # noqa: A002
        self.id = id
        self._watch = watch

    def result(self, timeout: float | None = None) -> Any:
        """The job's result, waiting for it in this thread.

        Raises:
            DeadlineError: the job was not started within its `max_wait`, and is unpaid.
            ItemError: the job failed for good; it is among the dead letters.
            TimeoutError: it was not settled within `timeout` seconds; it goes on.
        """
        return _outcome(self._watch(self.id).result(timeout))

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    def add_callback(self, callback: Callable[[Job], None]) -> None:
        """Call back with the settled job, in the queue's thread: be brief."""

        def settled(future: Future[Job]) -> None:
            if not future.cancelled() and future.exception() is None:
                callback(future.result())

        self._watch(self.id).add_done_callback(settled)

    async def _result(self) -> Any:
        return _outcome(await asyncio.wrap_future(self._watch(self.id)))


class DeadLetters:
    """Jobs that failed for good, to be looked at, tried again or deleted."""

    def __init__(self, ask: AskStore, *, rules: QueueRules, clock: Clock) -> None:
        self._ask = ask
        self._rules = rules
        self._clock = clock

    def list(self, limit: int = 100) -> list[Job]:
        """The dead letters, the latest first."""
        return self._ask(lambda store: store.dead(limit))

    def show(self, id: str) -> Job | None:  # noqa: A002 - the job's own word
        """One dead letter with its payload and error, or None."""
        (job,) = self._ask(lambda store: store.get([id], self._clock()))
        return job if job is not None and job.state == "dead" else None

    def replay(self, *ids: str) -> int:
        """Let these wait again with all their attempts, or all without ids; returns how many."""
        chosen = ids or tuple(job.id for job in self.list(limit=1_000_000))
        return self._ask(lambda store: store.replay(chosen, self._clock(), self._rules))

    def purge(self, *ids: str) -> int:
        """Delete these for good, or all without ids; returns how many."""
        chosen = ids or tuple(job.id for job in self.list(limit=1_000_000))
        return self._ask(lambda store: store.purge(chosen))


def _outcome(job: Job) -> Any:
    """A settled job's result, or its error raised."""
    if job.state == "done":
        return job.result
    if job.state == "expired":
        raise DeadlineError(f"job {job.id} was not started in time, so nothing was paid")
    raise ItemError(
        f"job {job.id} failed after {job.attempts} attempts: {job.error_kind}: {job.error}",
        kind=job.error_kind or "ItemError",
    )
