"""What waits in the buffers of ledgers is written before the process forks, exits or is stopped.

SIGTERM and SIGHUP end a Python process without any of its exit hooks. Where nothing else handles
them, a ledger's process writes first, and then ends by the same signal.
"""

from __future__ import annotations

import atexit
import signal
import threading
import time
import weakref
from contextlib import suppress
from typing import Protocol

from llm_optimizers.connections.forks import first_at_fork
from llm_optimizers.errors import StoreError
from llm_optimizers.forks import ProcessLock

__all__ = [
    "KnownWriters",
    "WriterThread",
    "known_writers",
    "process_ends",
    "write_before_signals_end",
]

_SHORT_S = 1.0
_SIGNAL_S = 2.0
_EXIT_S = 70.0  # more than a writer tries before it gives up
_KNOWN_S = 1.0  # for a lock that is only held for microseconds
_STOPPING = ("SIGTERM", "SIGHUP")


class _Writer(Protocol):
    """See `LedgerWriter`."""

    @property
    def name(self) -> str: ...

    @property
    def fails(self) -> bool: ...

    def wait(self, seconds: float | None = None) -> StoreError | None: ...


class WriterThread(threading.Thread):
    """A thread that writes.

    It is no daemon: the interpreter then waits at its end until the entries are written, also in a
    child of `multiprocessing`, which runs no hooks at its exit.
    """


def process_ends() -> bool:
    """Return whether the process ends: nothing but daemons and writers runs any more."""
    main = threading.main_thread()
    return not main.is_alive() and all(
        each is main or each.daemon or isinstance(each, WriterThread)
        for each in threading.enumerate()
    )


class KnownWriters:
    """All writers of this process."""

    def __init__(self) -> None:
        self._writers: weakref.WeakSet[_Writer] = weakref.WeakSet()
        self._lock = ProcessLock()
        self.threads_can_start = True
        """False once the interpreter no longer waits for new threads."""

    def add(self, writer: _Writer) -> None:
        """Remember a writer while it exists."""
        with self._lock:
            self._writers.add(writer)

    def wait_for(self, name: str) -> StoreError | None:
        """Have all written that goes to one store; return why something is not."""
        with self._lock:
            writers = [each for each in self._writers if each.name == name]
        errors = [each.wait() for each in writers]
        return next((error for error in errors if error is not None), None)

    def write_all(self) -> None:
        """Have all written that can be written within a second."""
        self._write([each for each in self._all() if not each.fails], _SHORT_S)

    def before_fork(self) -> None:
        """Have all written, so that a parent which ends at the fork loses nothing."""
        self.write_all()

    def at_signal(self) -> None:
        """Have all written, in a signal's handler."""
        self._write(self._all(), _SIGNAL_S)

    def at_exit(self) -> None:
        """Have all written that was recorded after the interpreter had waited for the threads."""
        self._write(self._all(), _EXIT_S)
        self.threads_can_start = False

    def _write(self, writers: list[_Writer], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for each in writers:
            each.wait(max(0.0, deadline - time.monotonic()))

    def _all(self) -> list[_Writer]:
        # Not for ever: the thread that holds the lock may wait for the one that forks.
        held = self._lock.acquire(_KNOWN_S)
        try:
            return list(self._writers) if held else []
        finally:
            if held:
                self._lock.release()


def write_before_signals_end() -> None:
    """Have ledgers written before a signal ends this process, where nothing handles the signal.

    A handler that is there stays, and one that the app sets later takes the place of this one.
    Only the main thread can set one.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _STOPPING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            with suppress(ValueError):  # an interpreter inside another
                signal.signal(number, _write_and_end)


def _write_and_end(number: int, _: object) -> None:
    """Write, then end by the same signal, so that the exit status says so.

    A handler that was set later may call this one, and then decides itself.
    """
    try:
        known_writers.at_signal()
    finally:
        if signal.getsignal(number) is _write_and_end:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


known_writers = KnownWriters()

first_at_fork(known_writers.before_fork)
atexit.register(known_writers.at_exit)
