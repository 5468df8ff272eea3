"""Single flight: identical calls under way at once are one call.

The first caller leads and makes the call; the others wait for its answer. Errors are not
shared: when the leader fails, is cancelled or takes too long, every waiter calls for itself,
just as it would have done without a cache.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["InFlightCall", "SingleFlight"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Call(Generic[R]):
    """A call under way, and who makes it: a thread, and its task where there is one.

    The task is only referred to: a cancelled one keeps the frames that hold this call alive.
    """

    future: Future[R | None]
    thread: int
    task: weakref.ref[asyncio.Task[Any]] | None


class InFlightCall(Generic[R]):
    """A seat on a call under way; `leading` tells its maker from those who wait for it.

    `timed_out` is True after a wait that ran out of time.
    """

    def __init__(self, call: _Call[R], *, leading: bool) -> None:
        self._call = call
        self.leading = leading
        self.timed_out = False

    def wait(self, timeout: float) -> R | None:
        """The leader's answer, or None after `timeout` seconds or when there will be none."""
        future = self._call.future
        if self._call.thread == threading.get_ident() and not future.done():
            # The leader needs this very thread to go on: waiting would never end.
            return None
        try:
            return future.result(min(timeout, threading.TIMEOUT_MAX))
        except FutureTimeoutError:
            self.timed_out = True
            return None

    async def aresult(self, timeout: float) -> R | None:  # noqa: ASYNC109 - a plain number serves both twins
        """The asynchronous twin of `wait`; works across event loops."""
        future = self._call.future
        task = self._call.task
        if task is not None and task() is asyncio.current_task() and not future.done():
            return None
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: Future[R | None]) -> None:
            # The waiter's loop may be closed by the time the leader lands.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        future.add_done_callback(wake)
        try:
            await asyncio.wait_for(done.wait(), timeout)
        except TimeoutError:
            self.timed_out = True
            return None
        return future.result()


class SingleFlight(Generic[R]):
    """The calls under way in this process, by key; threads and event loops share them.

    `completed` counts those that have ended: where it has not changed since a lookup, no other
    caller can have stored the answer since.
    """

    def __init__(self) -> None:
        self._start()

    def join(self, key: str) -> InFlightCall[R]:
        """Join the call under way for this key, or lead a new one."""
        if self._pid != os.getpid():
            # After a fork the leaders are in the other process, and one may have held the lock.
            self._start()
        with self._lock:
            known = self._calls.get(key)
            if known is not None:
                return InFlightCall(known, leading=False)
            call: _Call[R] = _Call(Future(), threading.get_ident(), _current_task())
            self._calls[key] = call
            return InFlightCall(call, leading=True)

    def complete(self, key: str, flight: InFlightCall[R], answer: R | None) -> None:
        """End a led flight; None sends the waiters to call for themselves."""
        with self._lock:
            self._remove(key, flight)
            self.completed += 1
        flight._call.future.set_result(answer)

    def forget(self, key: str, flight: InFlightCall[R]) -> None:
        """Let no other caller join: the next one leads a new flight."""
        with self._lock:
            self._remove(key, flight)

    def _remove(self, key: str, flight: InFlightCall[R]) -> None:
        if self._calls.get(key) is flight._call:
            del self._calls[key]

    def _start(self) -> None:
        self.completed = 0
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._calls: dict[str, _Call[R]] = {}


def _current_task() -> weakref.ref[asyncio.Task[Any]] | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else weakref.ref(task)
