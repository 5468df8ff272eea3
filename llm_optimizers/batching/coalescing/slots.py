"""A bounded number of places that threads and coroutines of any event loop wait for in turn.

`asyncio.Semaphore` belongs to one loop and `threading.Semaphore` would block it; here each waiter
holds a `concurrent.futures.Future`, which a thread waits on and a coroutine wraps.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future

from llm_optimizers.errors import ConfigurationError, DeadlineError, RefusedError

__all__ = ["Slots"]


class Slots:
    """`limit` places, handed out first come, first served."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ConfigurationError(f"the limit is {limit}; give at least 1")
        self._limit = limit
        self._taken = 0
        self._waiters: deque[Future[None]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def acquire(self, timeout: float | None = None) -> None:
        """Wait for a place in this thread.

        Raises:
            DeadlineError: none came free within `timeout` seconds.
            RefusedError: the places were closed.
        """
        ticket = self._ask()
        try:
            ticket.result(timeout)
        except TimeoutError as error:
            self._give_up(ticket)
            raise DeadlineError(
                f"no place came free within {timeout} s: too many requests are waiting; "
                "raise max_pending or send fewer at once"
            ) from error
        except BaseException:
            self._give_up(ticket)
            raise

    async def acquire_async(self) -> None:
        """Wait for a place without blocking the event loop; cancelling loses none.

        Raises:
            RefusedError: the places were closed.
        """
        ticket = self._ask()
        if ticket.done():
            return ticket.result()
        try:
            return await asyncio.wrap_future(ticket)
        except BaseException:
            self._give_up(ticket)
            raise

    def release(self) -> None:
        """Hand the place to the next waiter, or free it."""
        with self._lock:
            while self._waiters:
                ticket = self._waiters.popleft()
                if ticket.set_running_or_notify_cancel():
                    break
            else:
                self._taken -= 1
                return
        ticket.set_result(None)

    def close(self) -> None:
        """Refuse every waiter and everybody who comes later; places taken stay taken."""
        with self._lock:
            self._closed = True
            waiters = [t for t in self._waiters if t.set_running_or_notify_cancel()]
            self._waiters.clear()
        for ticket in waiters:
            ticket.set_exception(_closed())

    def _ask(self) -> Future[None]:
        ticket: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise _closed()
            if self._taken >= self._limit:
                self._waiters.append(ticket)
                return ticket
            self._taken += 1
        ticket.set_result(None)
        return ticket

    def _give_up(self, ticket: Future[None]) -> None:
        # A ticket that cannot be cancelled was granted meanwhile (or refused by `close`).
        if not ticket.cancel() and not ticket.cancelled() and ticket.exception() is None:
            self.release()


def _closed() -> RefusedError:
    return RefusedError("closed: no more requests are taken; make a new one to go on")
