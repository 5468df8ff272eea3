"""What must hold when a process forks, as web servers do after the app is loaded.

A lock that another thread held at that moment would stay locked in the child for ever, for that
thread does not exist there: `ProcessLock`. A connection must not be used by both: `at_fork`.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from types import TracebackType
from typing import Protocol

__all__ = ["ForkAware", "ProcessLock", "at_fork"]

_PATIENCE_S = 1.0  # for what other threads are doing when this process forks


class ProcessLock:
    """A re-entrant lock between the threads of one process, new in every forked child."""

    __slots__ = ("_lock", "_pid")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def acquire(self, timeout: float = -1) -> bool:
        """Take the lock; False if it stayed taken for `timeout` seconds (-1: wait for ever)."""
        if self._pid != os.getpid():
            self._lock = threading.RLock()
            self._pid = os.getpid()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


class ForkAware(Protocol):
    """Something with a connection that must not be in use when its process forks."""

    def before_fork(self, timeout: float) -> bool:
        """Stop in a state that both processes can go on from; False if that is not possible."""

    def after_fork(self, *, child: bool) -> None:
        """Go on, in this process or in the child; only called after a successful `before_fork`."""


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_aware_lock = ProcessLock()
_stopped: list[ForkAware] = []


def at_fork(resource: ForkAware) -> None:
    """Stop the resource at every fork, as long as it exists."""
    with _aware_lock:
        _aware.add(resource)


def _before() -> None:
    deadline = time.monotonic() + _PATIENCE_S
    _aware_lock.acquire()
    _stopped.extend(
        resource
        for resource in list(_aware)
        if resource.before_fork(max(0.0, deadline - time.monotonic()))
    )


def _after(*, child: bool) -> None:
    while _stopped:
        _stopped.pop().after_fork(child=child)
    if not child:
        _aware_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
