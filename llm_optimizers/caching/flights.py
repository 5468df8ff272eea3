"""Single flight: identical calls under way at once are one call.

The first caller leads and makes the call; the others wait for its answer. Errors are not
shared: when the leader fails, is cancelled or takes too long, every waiter calls for itself,
just as it would have done without a cache.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Flight", "Flights"]

R = TypeVar("R")


class Flight(Generic[R]):
    """A call under way; `leading` tells its maker from those who wait for it."""

    def __init__(self, future: Future[R | None], *, leading: bool, thread: int) -> None:
        self._future = future
        self._thread = thread
        self.leading = leading

    def wait(self, timeout: float) -> R | None:
        """The leader's answer, or None after `timeout` seconds or when there will be none."""
        if self._thread == threading.get_ident() and not self._future.done():
            # Whoever leads needs this very thread to go on: waiting would never end.
            return None
        try:
            return self._future.result(timeout)
        except FutureTimeoutError:
            return None

    async def await_(self, timeout: float) -> R | None:  # noqa: ASYNC109 - a plain number serves both twins
        """The asynchronous twin of `wait`; works across event loops."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: Future[R | None]) -> None:
            # The waiter's loop may be closed by the time the leader lands.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        self._future.add_done_callback(wake)
        try:
            await asyncio.wait_for(done.wait(), timeout)
        except TimeoutError:
            return None
        return self._future.result()


class Flights(Generic[R]):
    """The calls under way in this process, by key; threads and event loops share them."""

    def __init__(self) -> None:
        self._futures: dict[str, tuple[Future[R | None], int]] = {}
        self._lock = threading.Lock()

    def join(self, key: str) -> Flight[R]:
        """Board the flight of this key, leading it if there is none."""
        with self._lock:
            known = self._futures.get(key)
            if known is not None:
                return Flight(known[0], leading=False, thread=known[1])
            future: Future[R | None] = Future()
            self._futures[key] = (future, threading.get_ident())
            return Flight(future, leading=True, thread=threading.get_ident())

    def land(self, key: str, flight: Flight[R], answer: R | None) -> None:
        """End a led flight; None sends the waiters to call for themselves."""
        with self._lock:
            known = self._futures.get(key)
            if known is not None and known[0] is flight._future:
                del self._futures[key]
        flight._future.set_result(answer)
