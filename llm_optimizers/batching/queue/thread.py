"""The event loop of a queue, in its own thread.

The store is used only in this loop, so it does not matter when a caller's loop is closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

from llm_optimizers.errors import ConfigurationError, RefusedError, StoreError

__all__ = ["CALL_SECONDS", "STOP_SECONDS", "LoopThread", "cancel"]

T = TypeVar("T")

CALL_SECONDS = 30.0
"""How long a call waits for the queue's event loop; the store has shorter deadlines of its own."""

STOP_SECONDS = 5.0
"""How long the end of a queue waits for tasks that were cancelled."""


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

    def wait(self, work: Coroutine[Any, Any, T], *, seconds: float | None = CALL_SECONDS) -> T:
        """Run a coroutine in the loop and wait for it in this thread, at most so many seconds.

        Raises:
            ConfigurationError: this is the loop's own thread, where waiting would never end.
            StoreError: the time passed.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise ConfigurationError(
                "an asynchronous handler must not block its own queue; await asubmit instead"
            )
        future = self.submit(work)
        try:
            return future.result(seconds)
        except TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise _unanswered(seconds) from error

    async def await_(
        self, work: Coroutine[Any, Any, T], *, seconds: float | None = CALL_SECONDS
    ) -> T:
        """`wait` in another event loop."""
        future = self.submit(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                raise
            raise _unanswered(seconds) from error

    def stop(self) -> None:
        """Cancel the tasks that are left, and end the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(cancel(asyncio.all_tasks(self._loop)))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they end; one that refuses is left."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_SECONDS)


def _unanswered(seconds: float | None) -> StoreError:
    return StoreError(
        f"the queue did not answer within {seconds:.0f} s; is its store hung, or does an "
        "asynchronous handler block its event loop? A job that has a `key` can be submitted again"
    )
