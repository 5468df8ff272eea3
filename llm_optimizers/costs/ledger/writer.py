"""The thread that writes a ledger's rows for event loops, which must not wait for a disk or a lock.

A loop only adds to the queue. The thread starts with the first row, writes what waits in one
transaction, in order, and ends after a second without rows, at `close` or with the process. While
another process has the file locked, rows wait; no other failure is waited for.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from llm_optimizers.costs.ledger.store import Entry, LedgerStore
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.forks import ProcessLock, renew_in_children

__all__ = ["MAX_WAITING", "LedgerWriter", "MakeEntry"]

MakeEntry: TypeAlias = Callable[[], Entry | None]
"""Returns an entry, or None if it has added one itself; called in the writer's thread."""

MAX_WAITING = 10_000
"""Rows that may wait; a row is about a kilobyte."""
_AT_ONCE = 500
_TRY_S = 0.1  # for one try to get the file's lock
_PAUSE_S = 0.05  # between two tries, so that readers in this process get the connection
_LAST_TRIES_S = 5.0  # after `close`, or once the main thread has ended
_IDLE_S = 1.0
_LOOK_S = 0.05  # between two looks whether the main thread has ended
_FORK_S = 1.0
_KNOWN_S = 0.1  # for a lock that is only held for microseconds


class LedgerWriter:
    """A queue of rows and the thread that writes them; `drop` gets the reason for each lost row.

    Safe to share between threads and event loops. A forked child starts with an empty queue: what
    waits at a fork is written by the parent.
    """

    def __init__(self, store: LedgerStore, drop: Callable[[Exception], None]) -> None:
        self._store = store
        self._drop = drop
        self.closed = False
        self._gives_up_at: float | None = None
        self.renew()
        renew_in_children(self)
        with _known:
            _writers.add(self)

    @property
    def waiting(self) -> bool:
        """Whether there are rows that are not written yet."""
        return self._added != self._ended

    @property
    def runs_here(self) -> bool:
        """Whether the running code is the writer's thread, which makes a row."""
        return self._thread is threading.current_thread()

    def add(self, make: MakeEntry) -> bool:
        """Queue a row; False if there can be no thread any more, as the process is ending.

        Raises:
            StoreError: the writer is closed, or too many rows wait.
        """
        with self._changed:
            if self.runs_here:
                self._added += 1
                self._queue.appendleft(make)  # what is being made recorded it
                return True
            if self.closed:
                raise StoreError("the ledger is closed")
            if self._added - self._ended >= MAX_WAITING:
                raise StoreError(f"{MAX_WAITING:,} records already wait for {self._store.name}")
            self._queue.append(make)
            self._added += 1
            if self._thread is None and not self._start():
                self._queue.pop()
                self._added -= 1
                return False
            if self._idle:
                self._changed.notify_all()
            return True

    def wait(self, seconds: float, *, locked_only: bool = False) -> bool:
        """Wait until all rows added so far are written or dropped; False after `seconds`.

        With `locked_only` the time counts only while another process has the file locked.
        """
        if not self.waiting or self.runs_here:
            return True
        with self._changed:
            target, began = self._added, time.monotonic()
            while self._ended < target:
                since = self._locked_since if locked_only else began
                left = seconds if since is None else max(since, began) + seconds - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, _LOOK_S))
        return True

    def close(self) -> None:
        """Write what waits, drop it if the file stays locked for seconds, and end the thread."""
        with self._changed:
            self.closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and not self.runs_here:
            thread.join()

    def before_fork(self) -> None:
        """Let what waits be written, so that a parent which ends at the fork loses nothing."""
        if self._locked_since is None:
            self.wait(_FORK_S)

    def renew(self) -> None:
        """Forget all rows, in a forked child: they and the thread are the parent's."""
        self._changed = threading.Condition()
        self._queue: deque[MakeEntry] = deque()
        self._added = self._ended = 0
        self._thread: threading.Thread | None = None
        self._idle = False
        self._locked_since: float | None = None

    def _start(self) -> bool:
        # No daemon: the interpreter then waits at its end until the rows are written.
        thread = threading.Thread(target=self._run, name="ledger")
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        rows: deque[Entry] = deque()
        while self._take(rows):
            try:
                self._write(rows)
            except BusyError as error:
                self._wait_for_lock(rows, error)
            else:
                self._locked_since = None

    def _take(self, rows: deque[Entry]) -> bool:
        """Add the next rows to `rows`; False if the thread is to end, since there are none."""
        with self._changed:
            ends = time.monotonic() + _IDLE_S
            while not (self._queue or rows):
                if self._ending() or time.monotonic() > ends:
                    self._thread = None
                    return False
                self._idle = True
                self._changed.wait(_LOOK_S)
                self._idle = False
        while self._queue and len(rows) < _AT_ONCE:
            try:
                row = self._queue.popleft()()
            except Exception as error:  # noqa: BLE001 - a broken record must not lose the others
                self._end(error)
            else:
                if row is None:
                    self._end(None)
                else:
                    rows.append(row)
        return True

    def _write(self, rows: deque[Entry]) -> None:
        """Write all rows, one by one if they cannot be written together.

        Raises:
            BusyError: the file is locked; `rows` holds what is not written.
        """
        try:
            self._store.write(rows, wait=_TRY_S)
        except BusyError:
            raise
        except Exception:  # noqa: BLE001 - one row may be the reason
            self._write_separately(rows)
        else:
            written = len(rows)
            rows.clear()
            self._end(None, written)

    def _write_separately(self, rows: deque[Entry]) -> None:
        while rows:
            lost: Exception | None = None
            try:
                self._store.write([rows[0]], wait=_TRY_S)
            except BusyError:
                raise
            except Exception as error:  # noqa: BLE001 - a broken ledger must not cost an answer
                lost = error
            rows.popleft()
            self._end(lost)

    def _wait_for_lock(self, rows: deque[Entry], error: BusyError) -> None:
        """Wait before the next try; drop the rows if the process or the ledger is ending."""
        now = time.monotonic()
        with self._changed:
            if self._locked_since is None:
                self._locked_since = now
            if self._ending():
                if self._gives_up_at is None:
                    self._gives_up_at = now + _LAST_TRIES_S
                elif now > self._gives_up_at:
                    self._drop_all(rows, error)
                    return
            self._changed.wait(_PAUSE_S)

    def _drop_all(self, rows: deque[Entry], error: BusyError) -> None:
        lost = len(rows) + len(self._queue)
        rows.clear()
        self._queue.clear()
        for _ in range(lost):
            self._drop(error)
        self._ended += lost
        self._changed.notify_all()

    def _end(self, lost: Exception | None, count: int = 1) -> None:
        """Note that rows were written, or that one was lost."""
        if lost is not None:
            self._drop(lost)
        with self._changed:
            self._ended += count
            self._changed.notify_all()

    def _ending(self) -> bool:
        return self.closed or not threading.main_thread().is_alive()


_writers: weakref.WeakSet[LedgerWriter] = weakref.WeakSet()
_known = ProcessLock()


def _all_writers() -> list[LedgerWriter]:
    # Not for ever: the thread that holds the lock may wait for the one that forks.
    held = _known.acquire(_KNOWN_S)
    try:
        return list(_writers) if held else []
    finally:
        if held:
            _known.release()


def _before_fork() -> None:
    for writer in _all_writers():
        writer.before_fork()


def _at_exit() -> None:
    """Write what loops recorded after the interpreter has waited for the threads."""
    for writer in _all_writers():
        writer.wait(_LAST_TRIES_S)


# Hooks before a fork run in reverse order: this one before `connections.forks` closes the files.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
atexit.register(_at_exit)
