"""Threads for calls: they end when they have no more work, and never keep the interpreter alive.

A `ThreadPoolExecutor` waits at exit until the last call is answered, which may be never; keeps its
threads until it is deleted; and has already taken the work when it fails to start a thread for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["CallThreads"]


class CallThreads:
    """As many threads as there is work at the same time; each ends after `idle` seconds without.

    They belong to one process: make new ones in a forked child.
    """

    def __init__(self, name: str, *, idle: float = 1.0) -> None:
        self._name = name
        self._idle_seconds = idle
        self._changed = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Do the work in a thread; it must not raise.

        Raises:
            RuntimeError: no thread can be started; the work is not done.
        """
        with self._changed:
            self._work.append(work)
            if self._idle >= len(self._work):
                self._changed.notify()
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._changed:
                self._threads.discard(thread)
                if self._threads or work not in self._work:
                    return  # a thread that is at work will do it, or has done it
                self._work.remove(work)
            raise

    def close(self, *, wait: bool) -> None:
        """Let the threads end once their work is done; with `wait`, wait for that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        if wait:
            for thread in threads:
                if thread is not threading.current_thread() and thread.ident is not None:
                    thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
            del work  # or an idle thread would keep what was asked and answered

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._work or self._closed, self._idle_seconds)
            finally:
                self._idle -= 1
            if self._work:
                return self._work.popleft()
            self._threads.discard(threading.current_thread())
            return None
