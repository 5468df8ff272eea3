"""Locks of one process: new in a forked child, where the thread that held one does not exist.

Web servers fork after they have loaded the app (gunicorn with `--preload`), and `multiprocessing`
may fork at any time. A lock that another thread holds at that moment would stay locked in the
child for ever, so no part of this package uses `threading.Lock` for what a child can reach.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

__all__ = ["ProcessLock", "Renewed", "renew_in_children"]


class Renewed(Protocol):
    """What holds threads or locks of its process."""

    def renew(self) -> None:
        """Go on in a forked child, in which only the thread that forked exists."""


_renewed: WeakSet[Renewed] = WeakSet()


def renew_in_children(each: Renewed) -> None:
    """Call the object's `renew` in every forked child, while it exists."""
    _renewed.add(each)


class ProcessLock:
    """A re-entrant lock between the threads of one process, new in every forked child and copy.

    If the thread that forks holds it, it holds it in the child too.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def acquire(self, timeout: float = -1) -> bool:
        """Acquire the lock; False after `timeout` seconds without success (-1: no timeout)."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock in a forked child if a thread holds it that is not there."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[ProcessLock], tuple[()]]:
        return ProcessLock, ()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


_locks: WeakSet[ProcessLock] = WeakSet()


def _in_child() -> None:
    """Renew locks, then what uses them, before any other code of the child runs."""
    for each in (*_locks, *_renewed):
        each.renew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
