"""Handles for the submitter of a job: wait for it, add a callback, read dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from llm_optimizers.arguments import function, number, optional, whole
from llm_optimizers.batching.queue.job import Job, check_key
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import DeadlineError, ItemError
from llm_optimizers.events import Notice, emit
from llm_optimizers.types import Clock

__all__ = ["LONGEST_WAIT", "AskStore", "DeadLetters", "JobHandle"]

T = TypeVar("T")

_ALL = 1_000_000
LONGEST_WAIT = 1e9
"""Seconds; a thread cannot wait much longer."""


class AskStore(Protocol):
    """Runs a coroutine of the store in the queue's event loop and waits for its result."""

    def __call__(self, ask: Callable[[JobStore], Coroutine[Any, Any, T]]) -> T:
        """Return what the store returned."""


class JobHandle:
    """A submitted job; `await handle` or `handle.result()` returns its result.

    Waiting may be stopped and started again at any time: it has no effect on the job.
    """

    def __init__(self, id: str, watch: Callable[[str], Future[Job]]) -> None:  # noqa: A002
        self.id = check_key("id", id)
        self._watch = function("watch", watch)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the job in this thread and return its result.

        Raises:
            DeadlineError: the job was not started within its `max_wait`; nothing was billed.
            ItemError: the job failed permanently; it is among the dead letters.
            TimeoutError: it was not finished within `timeout` seconds; it continues.
        """
        optional(number, "timeout", timeout, least=0, most=LONGEST_WAIT)
        return _outcome(self._watch(self.id).result(timeout))

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    def add_callback(self, callback: Callable[[Job], None]) -> None:
        """Call back with the finished job in the queue's thread; the callback must not block.

        An error in it is only logged, because it runs in the queue's event loop.
        """
        function("callback", callback)

        def finished(future: Future[Job]) -> None:
            if future.cancelled() or future.exception() is not None:
                return
            try:
                callback(future.result())
            except BaseException as error:  # noqa: BLE001 - it is the user's own code
                # Without the traceback: its text could hold a payload or a result.
                name = type(error).__name__
                message = f"a callback of job {self.id} failed: {name}"
                emit(Notice(component=__name__, message=message))

        self._watch(self.id).add_done_callback(finished)

    async def _result(self) -> Any:
        return _outcome(await asyncio.wrap_future(self._watch(self.id)))


class DeadLetters:
    """Jobs that failed permanently: list, show, replay or delete them."""

    def __init__(self, ask: AskStore, *, rules: QueueRules, clock: Clock) -> None:
        self._ask = ask
        self._rules = rules
        self._clock = clock

    def list(self, limit: int = 100) -> list[Job]:
        """Return the dead letters, newest first."""
        whole("limit", limit, least=1, most=_ALL)
        return self._ask(lambda store: store.dead(limit))

    def show(self, id: str) -> Job | None:  # noqa: A002 - as `Job.id`
        """Return one dead letter with its payload and error, or None."""
        check_key("id", id)
        (job,) = self._ask(lambda store: store.get([id], self._clock()))
        return job if job is not None and job.state == "dead" else None

    def replay(self, *ids: str) -> int:
        """Queue these again with all their attempts, or all without ids; return how many."""
        chosen = self._chosen(ids)
        return self._ask(lambda store: store.replay(chosen, self._clock(), self._rules))

    def purge(self, *ids: str) -> int:
        """Delete these permanently, or all without ids; return how many."""
        chosen = self._chosen(ids)
        return self._ask(lambda store: store.purge(chosen))

    def _chosen(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        for each in ids:
            check_key("ids", each)
        return ids or tuple(job.id for job in self.list(limit=_ALL))


def _outcome(job: Job) -> Any:
    """Return a finished job's result, or raise its error."""
    if job.state == "done":
        return job.result
    if job.state == "expired":
        raise DeadlineError(f"job {job.id} was not started in time, so nothing was billed")
    raise ItemError(
        f"job {job.id} failed after {job.attempts} attempts: {job.error_kind}: {job.error}",
        kind=job.error_kind or "ItemError",
    )
