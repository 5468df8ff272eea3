"""The buffer between the code that records and the thread that writes.

Who records only adds to a queue, so no caller waits for a disk or a server. One writer takes what
waits, up to 900 entries at once, as soon as half of that waits, somebody waits for it, or the
oldest entry is a tenth of a second old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from llm_optimizers.costs.ledger.endings import process_ends
from llm_optimizers.costs.ledger.store import Entry
from llm_optimizers.effects import in_event_loop
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.forks import renew_in_children

__all__ = ["MAX_WAITING", "EntryBuffer", "Made"]

Made: TypeAlias = Callable[[], None]
"""Records an entry itself when it is called, in the writer's thread."""

MAX_WAITING = 10_000
"""Entries that may wait while they cannot be written; an entry is about a kilobyte."""
_FULL = 900  # entries with which a thread waits; a killed process loses no more than 1,000
_MANY = _FULL // 2  # are written at once: others come in while they are written
_GATHER_S = 0.1  # so that a lone entry is in the file within 0.2 seconds
_ROOM_S = 5.0  # for which a thread waits for room while nothing gets written
_LITTLE_S = 0.02  # for which it waits then, so that the buffer fills up slowly
_LOCKED_S = 5.0  # for which a reader waits for a lock while no other process writes
_LONGEST_S = 60.0  # for which anybody waits while others write and this process does not
_LOOK_S = 0.05  # between two looks whether the process ends


class EntryBuffer:
    """Entries that wait to be written, in order; safe to share between threads and event loops.

    A forked child starts with an empty one: what waits at a fork is written by the parent.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.closed = False
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Forget all entries, in a forked child: they are the parent's."""
        self.lock = threading.RLock()
        self._came = threading.Condition(self.lock)  # the writer waits for it
        self._left = threading.Condition(self.lock)  # those who wait for the writer
        self._queue: deque[Entry | Made] = deque()
        self._added = self._ended = self._wanted = 0
        self._last: int | None = None  # the last one before the process began to end
        self._oldest_at = self._progress_at = self._asked_at = 0.0
        self._trouble: StoreError | None = None
        self._trouble_since = self._tried_at = 0.0

    @property
    def waiting(self) -> int:
        """How many entries are not written yet."""
        return self._added - self._ended

    @property
    def trouble(self) -> StoreError | None:
        """Why the last try to write failed, None if it did not."""
        return self._trouble

    @property
    def ending(self) -> bool:
        """Whether the ledger is closed or the process ends: nothing is put off then."""
        return self.closed or process_ends()

    def has_ended(self) -> bool:
        """Return whether all is written that was added before the process began to end.

        So is what somebody waits for. Daemons may go on adding, and the process must not wait for
        them.
        """
        with self.lock:
            if self.closed or not process_ends():
                self._last = None
                return False
            if self._last is None:
                self._last = self._added
            return self._ended >= max(self._last, self._wanted)

    def add(self, entry: Entry | Made) -> None:
        """Add an entry; while 900 wait, a thread waits for room and an event loop does not.

        Once nobody has written for five seconds a thread waits for 20 milliseconds only, and not at
        all if the store fails for another reason than a lock.

        Raises:
            StoreError: the ledger is closed, or too many entries wait.
        """
        with self.lock:
            if self.waiting >= _FULL and not in_event_loop():
                self._wait_for_room()
            if self.closed:
                raise StoreError("the ledger is closed")
            if self.waiting >= MAX_WAITING:
                raise StoreError(f"{MAX_WAITING:,} records already wait for {self._name}")
            if not self._queue:
                self._oldest_at = time.monotonic()
                if not self.waiting:
                    self._progress_at = self._oldest_at
            self._queue.append(entry)
            self._added += 1
            if len(self._queue) in (1, _MANY):
                self._came.notify()

    def count_one_more(self) -> None:
        """Count an entry that the writer itself adds to those it writes."""
        with self.lock:
            self._added += 1

    def take(self, *, idle: float) -> list[Entry | Made]:
        """Return the next entries; none after `idle` seconds without any, or if all is ending.

        With `idle` 0 nothing is waited for.
        """
        with self.lock:
            due = time.monotonic() + idle
            while not self._queue and not self.ending and self._came_by(due):
                pass
            due = min(due, self._oldest_at + _GATHER_S)
            while self._may_gather and self._came_by(due):
                pass
            return [self._queue.popleft() for _ in range(min(len(self._queue), _FULL))]

    def end(self, count: int = 1) -> None:
        """Note that entries were written or lost."""
        with self.lock:
            self._ended += count
            self._progress_at = time.monotonic()
            self._left.notify_all()

    def work(self) -> None:
        """Note that the store works."""
        self._trouble = None

    def fail(self, error: StoreError, tried_at: float, *, in_turn: bool) -> bool:
        """Note that a try to write, begun at `tried_at`, failed; return if it is the first one.

        `in_turn`: other processes have written since the last try, so this one's turn comes.
        """
        with self.lock:
            first = self._trouble is None
            if first or in_turn:
                self._trouble_since = tried_at
            if in_turn:
                self._progress_at = tried_at
            self._trouble, self._tried_at = error, tried_at
            self._left.notify_all()
            return first

    def pause(self, seconds: float) -> None:
        """Wait before the next try; end early if somebody asks for it, or the ledger is closed."""
        with self.lock:
            until, ending = time.monotonic() + seconds, self.ending
            while self._asked_at <= self._tried_at and self.ending == ending:
                if not self._came_by(until):
                    return

    def empty(self) -> int:
        """Forget what waits in the queue; return how many entries that were."""
        with self.lock:
            lost = len(self._queue)
            self._queue.clear()
            return lost

    def wait(self, seconds: float | None = None) -> StoreError | None:
        """Wait until all that was added so far is written or lost.

        Return why it is not: the error of a try that began after the call, or after five seconds
        that another process has the file locked, in which nobody wrote; or because `seconds` have
        passed.
        """
        if not self.waiting:
            return None
        with self.lock:
            target, began = self._added, time.monotonic()
            self._wanted, self._asked_at = max(self._wanted, target), began
            self._came.notify()
            while self._ended < target:
                if seconds is not None and time.monotonic() - began >= seconds:
                    return self._trouble or BusyError(f"{self._name} takes long to be written")
                if self._has_failed(began):
                    return self._trouble
                self._left.wait(_LOOK_S)
        return None

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self.lock:
            self.closed = True
            self._came.notify()
            self._left.notify_all()

    @property
    def _may_gather(self) -> bool:
        enough = len(self._queue) >= _MANY or self._wanted > self._ended
        return bool(self._queue) and not enough and not self.ending

    def _came_by(self, due: float) -> bool:
        """Wait until something may have come; False if it is too late to wait."""
        left = due - time.monotonic()
        return left > 0 and (self._came.wait(min(left, _LOOK_S)) or True)

    def _has_failed(self, began: float) -> bool:
        """Whether it is of no use to wait longer."""
        if self._trouble is None or self._tried_at < began:
            return False
        if isinstance(self._trouble, BusyError):
            now = time.monotonic()
            return now - max(self._trouble_since, began) >= _LOCKED_S or now - began >= _LONGEST_S
        return True

    def _wait_for_room(self) -> None:
        # Event loops may keep it full: one group is waited for, which makes room for many threads.
        last, before = time.monotonic() + _LONGEST_S, self._ended
        while self.waiting >= _FULL and self._ended == before and not self.closed:
            left = min(self._progress_at + _ROOM_S, last) - time.monotonic()
            fails = self._trouble is not None and not isinstance(self._trouble, BusyError)
            if fails:
                return
            if left <= 0:
                self._left.wait(_LITTLE_S)
                return
            self._left.wait(min(left, _LOOK_S))
