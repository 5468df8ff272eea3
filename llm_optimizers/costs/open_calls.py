"""The calls that have begun and not yet ended: each is recorded once, however it ends.

A framework reports the end of most calls, but not of all: not of a call whose caller was cancelled,
of a stream that nobody reads, or of what is in flight when the process ends. Such a call is given
up: it is recorded as abandoned, with an estimated cost.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from llm_optimizers.costs.call import Call
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.usage import Usage
from llm_optimizers.failures import FailOpen
from llm_optimizers.forks import ProcessLock

__all__ = ["MAX_OPEN", "OpenCalls"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
MAX_OPEN = 20_000
"""With more open calls than this, the oldest is given up."""
_SOON_S = 0.01
_Key: TypeAlias = Hashable
_busy: set[OpenCalls[Any]] = set()
"""Those with calls to record, which outlive their handler."""
_busy_lock = ProcessLock()


class GiveUp(Protocol[T_contra]):
    """Records a call without an end."""

    def __call__(self, call: T_contra, /, *, cancelled: bool) -> None:
        """`cancelled` is False if the call may still be running, as when the process ends."""


@dataclass(slots=True, eq=False)
class _Open(Generic[T]):
    """An open call. It is given up when one of the `watched` objects is freed."""

    call: T
    number: int
    watched: list[weakref.ref[Any]] = field(default_factory=list)


class OpenCalls(Generic[T]):
    """Open calls by key; safe to share between threads and event loops.

    What was given up is recorded soon after, at the latest before the ledger is read or closed, or
    when the process ends. A call whose end comes after that is not recorded again. A forked process
    starts without open calls: its parent records them.
    """

    def __init__(
        self, give_up: GiveUp[T], ledger: Ledger | None = None, *, most: int = MAX_OPEN
    ) -> None:
        self._give_up = give_up
        self._ledger = ledger
        self._most = most
        self._calls: dict[_Key, list[_Open[T]]] = {}
        self._size = 0
        self._numbers = count()
        # Objects are freed at any time, in any thread, so that only appends what was lost.
        self._lost: deque[tuple[_Key, int, bool]] = deque()
        self._lock = ProcessLock()
        self._settling = ProcessLock()
        self._pid = os.getpid()
        if ledger is not None:
            ledger.add_source(self)

    def __len__(self) -> int:
        return self._size

    def begin(self, key: _Key, call: T) -> None:
        """Add a call; of several with one key the last one ends first."""
        with self._lock:
            self._drop_parents_calls()
            self._calls.setdefault(key, []).append(_Open(call, next(self._numbers)))
            self._size += 1
            with _busy_lock:
                _busy.add(self)
            if self._size > self._most:
                oldest = next(iter(self._calls))
                self._lost.append((oldest, self._calls[oldest][0].number, False))
        if self._lost:
            self._settle_unless_busy()

    def watch(self, key: _Key, thing: object) -> None:
        """Give the last call with this key up once `thing` is freed and the call has no end."""
        with self._lock:
            calls = self._calls.get(key)
            if calls:
                lost, number = (key, calls[-1].number, True), weakref.ref(self)
                calls[-1].watched.append(weakref.ref(thing, partial(_lose, number, lost)))

    def find(self, key: _Key) -> T | None:
        """Return the last open call with this key, None if there is none."""
        with self._lock:
            calls = self._calls.get(key)
            return calls[-1].call if calls else None

    def all_of(self, keys: Iterable[_Key]) -> list[T]:
        """Return the open calls with these keys."""
        with self._lock:
            return [each.call for key in keys for each in self._calls.get(key, ())]

    def end(self, key: _Key) -> T | None:
        """Remove and return the last call with this key; None if it was recorded already."""
        return self._take(key)

    def account(self, call: Call, count: Callable[[], Usage | None]) -> None:
        """Record an ended call."""
        if self._ledger is not None:
            call.account(self._ledger, count)

    def settle(self) -> None:
        """Record the calls that were given up; wait for a thread that is about to."""
        with self._lock:
            self._drop_parents_calls()
        with self._settling:
            while self._lost:
                key, number, cancelled = self._lost.popleft()
                call = self._take(key, number)
                if call is not None:
                    self._guarded(partial(self._give_up, call, cancelled=cancelled))

    def _settle_unless_busy(self) -> None:
        """Settle, or try again soon: another thread may wait for a file, an event loop must not."""
        if self._settling.acquire(timeout=0):
            try:
                self.settle()
            finally:
                self._settling.release()
            return
        loop = _running_loop()
        if loop is not None:
            loop.call_later(_SOON_S, self._settle_unless_busy)

    def lose(self, lost: tuple[_Key, int, bool]) -> None:
        """Note a call whose watched object was freed: at any time, so this waits for nothing."""
        self._lost.append(lost)
        loop = _running_loop()
        if loop is not None:
            with suppress(RuntimeError):  # The loop is being closed.
                loop.call_soon_threadsafe(self._settle_unless_busy)

    def end_all(self) -> None:
        """Give up all open calls: their ends will not be seen, or come too late to be recorded."""
        self.settle()
        with self._lock:
            self._drop_parents_calls()
            calls = [each.call for calls in self._calls.values() for each in calls]
            self._calls, self._size = {}, 0
            with _busy_lock:
                _busy.discard(self)
        for call in calls:
            self._guarded(partial(self._give_up, call, cancelled=False))

    def _take(self, key: _Key, number: int | None = None) -> T | None:
        with self._lock:
            self._drop_parents_calls()
            calls = self._calls.get(key, [])
            places = (n for n, each in enumerate(calls) if number in (None, each.number))
            place = max(places, default=None)
            if place is None:
                return None
            found = calls.pop(place)
            self._size -= 1
            if not calls:
                del self._calls[key]
            if not self._size:
                with _busy_lock:
                    _busy.discard(self)
            return found.call

    def _guarded(self, work: Callable[[], None]) -> None:
        with FailOpen(__name__, "a call is missing from the ledger"):
            work()

    def _drop_parents_calls(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._calls, self._size = {}, 0
            self._lost.clear()


def _lose(owner: weakref.ref[OpenCalls[Any]], lost: tuple[_Key, int, bool], _: object) -> None:
    calls = owner()
    if calls is not None:
        calls.lose(lost)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@atexit.register
def _end_all() -> None:
    with _busy_lock:
        busy = list(_busy)
    for calls in busy:
        calls.end_all()
