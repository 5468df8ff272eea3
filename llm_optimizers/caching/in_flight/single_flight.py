"""Single flight: identical concurrent calls are made once.

The first caller is the leader and makes the call; the others wait for its answer. Errors are not
shared: if the leader fails or takes too long, every waiter makes its own call, as it would have
without a cache.

A leader that streams waits for two parties in turn: the provider, then the reader of its stream.
Waiters wait for the provider only. Once the reader has held the stream for longer than
`READER_PAUSE_S`, or the leader gave up its call (its stream was closed, its task cancelled, its
event loop stopped), one of the waiters leads a new call, and the others wait for that one.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from llm_optimizers.forks import ProcessLock, renew_in_children

__all__ = ["READER_PAUSE_S", "InFlightCall", "SingleFlight"]

R = TypeVar("R")
READER_PAUSE_S = 0.25
"""Seconds, in total, that a waiter waits for the reader of the leader's stream."""
_LOOK_S = 0.05  # between two looks at a leader that waits for the provider


class _Call(Generic[R]):
    """A call in flight and its leader: a thread, and a task and event loop if there are any.

    The task is a weak reference: a cancelled task would keep alive the frames that hold this call.
    Only the leader sets `paused_s`, the seconds that its reader has held the stream in earlier
    turns, and `paused_at`, the time at which the reader's present turn began.
    """

    __slots__ = ("future", "given_up", "loop", "paused_at", "paused_s", "task", "thread")

    def __init__(self) -> None:
        self.future: Future[R | None] = Future()
        self.thread = threading.get_ident()
        self.task: weakref.ref[asyncio.Task[Any]] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            self.loop = asyncio.get_running_loop()
            task = asyncio.current_task()
            self.task = None if task is None else weakref.ref(task)
        self.given_up = False
        self.paused_s = 0.0
        self.paused_at: float | None = None

    def held_s(self, now: float) -> float:
        """Return for how many seconds, up to now, the reader has held the stream."""
        paused_at = self.paused_at
        return self.paused_s + (0.0 if paused_at is None else max(0.0, now - paused_at))

    def is_led_here(self) -> bool:
        """Whether the leader needs this thread to go on: waiting in it would be a deadlock."""
        return self.thread == threading.get_ident()

    def is_led_by_this_task(self) -> bool:
        """Whether the running task leads the call."""
        return self.task is not None and self.task() is asyncio.current_task()


class InFlightCall(Generic[R]):
    """One caller's view of a call in flight: `leading` if it makes the call, else it waits.

    `timed_out` is True after a wait that took too long, `stalled` after one in which the leader
    made no progress or gave up.
    """

    def __init__(
        self, call: _Call[R], *, leading: bool, clock: Callable[[], float], waited_s: float = 0.0
    ) -> None:
        self._call = call
        self._clock = clock
        self._waited_s = waited_s
        self._paused_before = call.paused_s
        self.leading = leading
        self.timed_out = False
        self.stalled = False

    def pause(self) -> None:
        """Note that the leader's stream waits for its reader."""
        self._call.paused_at = self._clock()

    def resume(self) -> None:
        """Note that the leader's stream waits for the provider again."""
        call = self._call
        call.paused_s, call.paused_at = call.held_s(self._clock()), None

    def result(self, timeout: float) -> R | None:
        """Return the leader's answer; None if it brings none, stalls, or takes too long.

        `timeout` is in seconds and counts from the first wait for this key.
        """
        future = self._call.future
        if self._call.is_led_here() and not future.done():
            return None
        wait = _Wait(self, timeout)
        while not future.done():
            seconds = wait.next_s()
            if seconds is None:
                return None
            with suppress(TimeoutError):
                future.result(seconds)
        return self._outcome()

    async def aresult(self, timeout: float) -> R | None:  # noqa: ASYNC109 - the same as `result`
        """Wait as `result` does, asynchronously; works across event loops."""
        future = self._call.future
        if self._call.is_led_by_this_task() and not future.done():
            return None
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: Future[R | None]) -> None:
            # The waiter's loop may be closed by the time the leader completes the call.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        future.add_done_callback(wake)
        wait = _Wait(self, timeout)
        while not future.done():
            seconds = wait.next_s()
            if seconds is None:
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), seconds)
        return self._outcome()

    def _outcome(self) -> R | None:
        answer = self._call.future.result()
        self.stalled = answer is None and self._call.given_up
        return answer


class _Wait:
    """One wait for a leader: says how long to wait before looking at its progress again."""

    def __init__(self, caller: InFlightCall[Any], timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout
        self._looked = caller._clock()
        self._stopped_s = 0.0

    def next_s(self) -> float | None:
        """Return the seconds to wait, None if the wait is over; the caller then says why."""
        caller, call = self._caller, self._caller._call
        now = caller._clock()
        caller._waited_s += now - self._looked
        if call.loop is not None and not call.loop.is_running():
            self._stopped_s += now - self._looked
        self._looked = now
        held_s = call.held_s(now) - caller._paused_before + self._stopped_s
        caller.timed_out = caller._waited_s >= self._timeout
        caller.stalled = not caller.timed_out and held_s >= READER_PAUSE_S
        if caller.timed_out or caller.stalled:
            return None
        left_s = READER_PAUSE_S - held_s
        return min(
            self._timeout - caller._waited_s,
            left_s if call.paused_at is not None else max(left_s, _LOOK_S),
        )


class SingleFlight(Generic[R]):
    """The calls in flight in this process, by key; shared by threads and event loops.

    `completed` counts the calls that have ended. If it has not changed since a lookup, no other
    caller can have stored the answer since. `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.completed = 0
        self._calls: dict[str, _Call[R]] = {}
        self._lock = ProcessLock()
        renew_in_children(self)

    def join(self, key: str, stalled: InFlightCall[R] | None = None) -> InFlightCall[R]:
        """Join the call in flight for this key, or lead a new one.

        A waiter of a `stalled` call leads a new one, unless another waiter already does.
        """
        waited_s = 0.0 if stalled is None else stalled._waited_s
        with self._lock:
            if stalled is not None:
                self._remove(key, stalled)
            known = self._calls.get(key)
            call = self._calls[key] = _Call() if known is None else known
        return InFlightCall(call, leading=known is None, clock=self._clock, waited_s=waited_s)

    def complete(
        self, key: str, call: InFlightCall[R], answer: R | None, *, given_up: bool = False
    ) -> None:
        """Give the leader's answer to the waiters; with None each waiter makes its own call.

        If the leader was stopped before its call ended (`given_up`), one waiter leads instead.
        """
        with self._lock:
            self._remove(key, call)
            self.completed += 1
        call._call.given_up = given_up
        call._call.future.set_result(answer)

    def forget(self, key: str, call: InFlightCall[R]) -> None:
        """Let no further caller join this call: the next one leads a new call."""
        with self._lock:
            self._remove(key, call)

    def _remove(self, key: str, call: InFlightCall[R]) -> None:
        if self._calls.get(key) is call._call:
            del self._calls[key]

    def renew(self) -> None:
        """Wait for no call of the parent in a forked child: its leader is not there."""
        self._calls = {}
