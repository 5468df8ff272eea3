"""Stay correct when the process forks, as web servers do after loading the app.

A connection must not be used by both processes: use `at_fork`. For locks, use
`llm_optimizers.forks.ProcessLock`.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from llm_optimizers.forks import ProcessLock

__all__ = ["ForkAware", "Unforked", "at_fork", "first_at_fork"]

_FORK_TIMEOUT_S = 1.0  # a fork waits this long for other threads to finish their work


class ForkAware(Protocol):
    """An object with a connection that must not be in use when its process forks."""

    def before_fork(self, timeout: float) -> bool:
        """Stop in a state from which both processes can go on; False if that is not possible."""

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the parent or the child; only called after a successful `before_fork`."""


class _HeldInForks(ProcessLock):
    """A lock that the thread that forks holds meanwhile, and so has in both processes."""

    __slots__ = ()

    def before_fork(self, timeout: float) -> bool:
        """See `ForkAware.before_fork`."""
        return self.acquire(timeout)

    def after_fork(self, *, child: bool) -> None:
        """See `ForkAware.after_fork`."""
        del child
        self.release()


class Unforked(_HeldInForks):
    """A lock for what a fork must not interrupt, such as the loading of a library.

    The library's own locks, and Python's of a module that is being imported, would stay locked in
    the child. So a fork waits for it, up to a second.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        at_fork(self)

    def __reduce__(self) -> tuple[type[Unforked], tuple[()]]:
        return Unforked, ()


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_aware_lock = _HeldInForks()
_first: list[Callable[[], None]] = []


class _Stopped(threading.local):
    """What this thread's fork has stopped: other threads may fork at the same time."""

    def __init__(self) -> None:
        self.resources: list[ForkAware] = []


_here = _Stopped()


def at_fork(resource: ForkAware) -> None:
    """Call the resource's `before_fork` and `after_fork` at every fork while it exists."""
    with _aware_lock:
        _aware.add(resource)


def first_at_fork(work: Callable[[], None]) -> None:
    """Call a function before every fork, while the connections can still be used."""
    _first.append(work)


def _before() -> None:
    for work in _first:
        work()
    deadline = time.monotonic() + _FORK_TIMEOUT_S
    if _aware_lock.acquire(_FORK_TIMEOUT_S):
        _here.resources.append(_aware_lock)
    _here.resources.extend(
        resource
        for resource in list(_aware)
        if resource.before_fork(max(0.0, deadline - time.monotonic()))
    )


def _after(*, child: bool) -> None:
    while _here.resources:
        _here.resources.pop().after_fork(child=child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
