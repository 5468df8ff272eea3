"""Single flight: identical concurrent calls are made once.

The first caller is the leader and makes the call; the others wait for its answer. Errors are not
shared: if the leader fails, is cancelled or takes too long, every waiter makes its own call, as it
would have without a cache.
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
    """A call in flight and its leader: a thread, and a task if there is one.

    The task is a weak reference: a cancelled task would keep alive the frames that hold this call.
    """

    future: Future[R | None]
    thread: int
    task: weakref.ref[asyncio.Task[Any]] | None


class InFlightCall(Generic[R]):
    """One caller's view of a call in flight: `leading` if it makes the call, else it waits.

    `timed_out` is True after a wait that took too long.
    """

    def __init__(self, call: _Call[R], *, leading: bool) -> None:
        self._call = call
        self.leading = leading
        self.timed_out = False

    def result(self, timeout: float) -> R | None:
        """Return the leader's answer; None after `timeout` seconds or if it brings none."""
        future = self._call.future
        if self._call.thread == threading.get_ident() and not future.done():
            # The leader needs this thread to go on: waiting here would be a deadlock.
            return None
        try:
            return future.result(min(timeout, threading.TIMEOUT_MAX))
        except FutureTimeoutError:
            self.timed_out = True
            return None

    async def aresult(self, timeout: float) -> R | None:  # noqa: ASYNC109 - the same as `result`
        """Wait as `result` does, asynchronously; works across event loops."""
        future = self._call.future
        task = self._call.task
        if task is not None and task() is asyncio.current_task() and not future.done():
            return None
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: Future[R | None]) -> None:
            # The waiter's loop may be closed by the time the leader completes the call.
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
    """The calls in flight in this process, by key; shared by threads and event loops.

    `completed` counts the calls that have ended. If it has not changed since a lookup, no other
    caller can have stored the answer since.
    """

    def __init__(self) -> None:
        self._reset()

    def join(self, key: str) -> InFlightCall[R]:
        """Join the call in flight for this key, or lead a new one."""
        if self._pid != os.getpid():
            # After a fork the leaders are in the other process, and one may have held the lock.
            self._reset()
        with self._lock:
            known = self._calls.get(key)
            if known is not None:
                return InFlightCall(known, leading=False)
            call: _Call[R] = _Call(Future(), threading.get_ident(), _current_task())
            self._calls[key] = call
            return InFlightCall(call, leading=True)

    def complete(self, key: str, call: InFlightCall[R], answer: R | None) -> None:
        """Give the leader's answer to the waiters; with None each waiter makes its own call."""
        with self._lock:
            self._remove(key, call)
            self.completed += 1
        call._call.future.set_result(answer)

    def forget(self, key: str, call: InFlightCall[R]) -> None:
        """Let no further caller join this call: the next one leads a new call."""
        with self._lock:
            self._remove(key, call)

    def _remove(self, key: str, call: InFlightCall[R]) -> None:
        if self._calls.get(key) is call._call:
            del self._calls[key]

    def _reset(self) -> None:
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
