"""A limited number of slots, which threads and coroutines of any event loop wait for in order.

`asyncio.Semaphore` belongs to one loop and `threading.Semaphore` would block it. Here each waiter
has a `concurrent.futures.Future`, which a thread waits on and a coroutine wraps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future

from llm_optimizers.arguments import whole
from llm_optimizers.errors import DeadlineError, RefusedError
from llm_optimizers.forks import ProcessLock

__all__ = ["Slots"]


class Slots:
    """`limit` slots, granted in the order of the requests."""

    def __init__(self, limit: int) -> None:
        self._limit = whole("max_pending", limit, least=1)
        self._taken = 0
        self._waiters: deque[Future[None]] = deque()
        self._lock = ProcessLock()
        self._closed = False

    def acquire(self, timeout: float | None = None) -> None:
        """Wait for a slot in this thread.

        Raises:
            DeadlineError: none became free within `timeout` seconds.
            RefusedError: the slots are closed.
        """
        waiter = self._request()
        try:
            waiter.result(timeout)
        except TimeoutError as error:
            self._give_up(waiter)
            raise DeadlineError(
                f"no slot became free within {timeout} s: too many requests are waiting; "
                "raise max_pending or send fewer at once"
            ) from error
        except BaseException:
            self._give_up(waiter)
            raise

    async def acquire_async(self) -> None:
        """Wait for a slot in the event loop; cancelling loses no slot.

        Raises:
            RefusedError: the slots are closed.
        """
        waiter = self._request()
        if waiter.done():
            return waiter.result()
        try:
            return await asyncio.wrap_future(waiter)
        except BaseException:
            self._give_up(waiter)
            raise

    def release(self) -> None:
        """Pass the slot to the next waiter, or free it."""
        with self._lock:
            while self._waiters:
                waiter = self._waiters.popleft()
                if waiter.set_running_or_notify_cancel():
                    break
            else:
                self._taken -= 1
                return
        waiter.set_result(None)

    def close(self) -> None:
        """Refuse all waiters and later callers; slots in use stay in use."""
        with self._lock:
            self._closed = True
            waiters = [w for w in self._waiters if w.set_running_or_notify_cancel()]
            self._waiters.clear()
        for waiter in waiters:
            waiter.set_exception(_closed_error())

    def _request(self) -> Future[None]:
        waiter: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._taken >= self._limit:
                self._waiters.append(waiter)
                return waiter
            self._taken += 1
        waiter.set_result(None)
        return waiter

    def _give_up(self, waiter: Future[None]) -> None:
        # A waiter that cannot be cancelled has a slot by now (or was refused by `close`).
        if not waiter.cancel() and not waiter.cancelled() and waiter.exception() is None:
            self.release()


def _closed_error() -> RefusedError:
    return RefusedError("the coalescer is closed; create a new one")
