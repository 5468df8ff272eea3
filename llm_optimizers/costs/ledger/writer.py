"""The thread that writes what waits in a ledger's buffer, many entries in one transaction.

It starts with the first entry and ends after a second without any, when the ledger is closed or
with the process. What cannot be written because the store fails (it is locked, full, read-only,
damaged or away) is kept and tried again; an entry that no store could keep is lost alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from llm_optimizers.costs.ledger.buffer import EntryBuffer, Made
from llm_optimizers.costs.ledger.endings import WriterThread, known_writers, process_ends
from llm_optimizers.costs.ledger.store import Entry, LedgerStore
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.forks import renew_in_children

__all__ = ["LedgerWriter", "Outcome"]

_LOCKED_PAUSE_S = 0.01  # between two tries, so that readers in this process get the connection
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_LAST_PAUSE_S = 0.2
_LAST_TRIES_S = 1.0  # after `close`, or once the process ends
_LAST_LOCKED_S = 5.0  # with a lock, while no other process writes
_LONGEST_S = 60.0  # while others write and this process does not
_IDLE_S = 1.0


class Outcome(Protocol):
    """What a writer reports to; called in the thread that writes."""

    def lost(self, error: Exception, count: int = 1) -> None:
        """Entries will never be written."""

    def broken(self, error: StoreError) -> None:
        """The store fails: entries wait in memory."""

    def worked(self) -> None:
        """The store works; called after every write."""


class LedgerWriter:
    """Writes entries to a store, in the order they were added; see the module.

    `beside` is called in the thread after something was written. It never raises.

    Safe to share between threads and event loops, and in forked children.
    """

    def __init__(
        self, store: LedgerStore, outcome: Outcome, *, beside: Callable[[], None] | None = None
    ) -> None:
        self.name = store.name
        self._store = store
        self._beside = beside
        self._outcome = outcome
        self._buffer = EntryBuffer(store.name)
        self.renew()
        renew_in_children(self)
        known_writers.add(self)

    def renew(self) -> None:
        """Begin without a thread, in a forked child."""
        self._thread: threading.Thread | None = None
        self._taken: deque[Entry | Made] = deque()  # out of the buffer, not made yet
        self._entries: list[Entry] = []  # made, not written yet
        self._stands_for_entry = False  # a function that is called and has added none yet
        self._pause_s = _PAUSE_S
        self._gives_up_at: float | None = None
        self._gives_up_last = 0.0
        self._last_change: object = None
        self._in_turn = False  # others wrote between the last two tries

    @property
    def closed(self) -> bool:
        """Whether nothing more is written."""
        return self._buffer.closed

    @property
    def runs_here(self) -> bool:
        """Whether the running code is called by the writer, to make an entry."""
        return self._thread is threading.current_thread()

    def add(self, entry: Entry | Made) -> None:
        """Have an entry written; a function is called in the writer's thread and adds its own.

        Raises:
            StoreError: the ledger is closed, or too many entries wait.
        """
        if self.runs_here and isinstance(entry, CallRecord | LedgerNote):
            if self._stands_for_entry:
                self._stands_for_entry = False
            else:
                self._buffer.count_one_more()
            self._entries.append(entry)
            return
        self._buffer.add(entry)
        if self._thread is None:
            self._start()

    def wait(self, seconds: float | None = None) -> StoreError | None:
        """Wait until all that was added so far is written or lost; see `EntryBuffer.wait`."""
        if self.runs_here:
            return None
        if self._buffer.waiting and self._thread is None:
            self._start()
            if self._thread is None:  # it was tried here
                return self._buffer.trouble if self._buffer.waiting else None
        return self._buffer.wait(seconds)

    def close(self) -> None:
        """Write what waits, or give it up after a few seconds, and end the thread."""
        self._buffer.close()
        if self._buffer.waiting and self._thread is None:
            self._start()
        with self._buffer.lock:
            thread = self._thread
        if thread is not None and not self.runs_here:
            thread.join()

    @property
    def fails(self) -> bool:
        """Whether the last try to write failed."""
        return self._buffer.trouble is not None

    def _start(self) -> None:
        """Start the thread; if there can be none, as the process is ending, write here."""
        with self._buffer.lock:
            if self._thread is not None:
                return
            if threading.current_thread().daemon and process_ends():
                return  # the process would never end; the hook at its exit has this written
            thread = WriterThread(target=self._run, name="ledger")
            self._thread = thread if known_writers.threads_can_start else None
            try:
                if self._thread is not None:
                    thread.start()
                    return
            except RuntimeError:
                pass
            self._thread = threading.current_thread()
        self._run_here()

    def _run(self) -> None:
        try:
            while self._take(idle=_IDLE_S):
                if not self._written():
                    self._wait_for_store()
                elif self._beside is not None and not self._buffer.ending:
                    self._beside()
        finally:
            self._leave()

    def _run_here(self) -> None:
        """Write all that waits, in a thread that is not the writer's."""
        try:
            while self._take(idle=0.0):
                if not self._written():
                    if not self._buffer.ending:
                        return
                    self._wait_for_store()
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._buffer.lock:
            if self.runs_here:
                self._thread = None

    def _take(self, *, idle: float) -> bool:
        """Have entries to write; False if there are none, and the thread is to end."""
        if not (self._entries or self._taken):
            with self._buffer.lock:
                if not self._buffer.has_ended():
                    self._taken.extend(self._buffer.take(idle=idle))
                if not self._taken:
                    self._thread = None
                    return False
        while self._taken:
            self._make(self._taken.popleft())
        return True

    def _make(self, entry: Entry | Made) -> None:
        if isinstance(entry, CallRecord | LedgerNote):
            self._entries.append(entry)
            return
        # Its first entry takes its place among those that are waited for, until that is written.
        self._stands_for_entry = True
        try:
            entry()
        except Exception as error:  # noqa: BLE001 - a broken record must not lose the others
            self._outcome.lost(error)
        except BaseException as error:  # noqa: BLE001 - SystemExit, a cancellation: likewise
            self._outcome.lost(RuntimeError(type(error).__name__))
        finally:
            if self._stands_for_entry:
                self._stands_for_entry = False
                self._buffer.end()

    def _written(self) -> bool:
        """Write the entries; False if the store fails, and those left are to be tried again."""
        if not self._entries:
            return True
        began = time.monotonic()
        try:
            try:
                self._write(len(self._entries))
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - one of the entries is the reason
                self._write_separately()
        except StoreError as error:
            before, self._last_change = self._last_change, self._store.last_change()
            self._in_turn = isinstance(error, BusyError) and before != self._last_change
            if self._buffer.fail(error, began, in_turn=self._in_turn):
                self._outcome.broken(error)
            return False
        self._pause_s, self._gives_up_at = _PAUSE_S, None
        self._buffer.work()
        self._outcome.worked()
        return True

    def _write(self, count: int) -> None:
        self._store.write(self._entries[:count], wait=self._store.try_s)
        del self._entries[:count]
        self._buffer.end(count)

    def _write_separately(self) -> None:
        while self._entries:
            try:
                self._write(1)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a broken record must not lose the others
                del self._entries[0]
                self._outcome.lost(error)
                self._buffer.end()

    def _wait_for_store(self) -> None:
        """Wait before the next try; give up what waits if the process or the ledger is ending."""
        error, now = self._buffer.trouble, time.monotonic()
        locked = isinstance(error, BusyError)
        if not self._buffer.ending:
            self._buffer.pause(_LOCKED_PAUSE_S if locked else self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            return
        if self._gives_up_at is None:
            self._gives_up_at = now + (_LAST_LOCKED_S if locked else _LAST_TRIES_S)
            self._gives_up_last = now + _LONGEST_S
        elif self._in_turn:
            self._gives_up_at = min(now + _LAST_LOCKED_S, self._gives_up_last)
        if now < self._gives_up_at:
            self._buffer.pause(_LOCKED_PAUSE_S if locked else _LAST_PAUSE_S)
            return
        assert error is not None, "only called after a failure"
        lost = len(self._entries) + len(self._taken) + self._buffer.empty()
        self._entries.clear()
        self._taken.clear()
        self._outcome.lost(error, lost)
        self._buffer.end(lost)
