"""The time of a queue: setting the computer's clock does not move it."""

from __future__ import annotations

import time

from llm_optimizers.forks import ProcessLock
from llm_optimizers.types import Clock

__all__ = ["QueueClock"]


class QueueClock:
    """Seconds since the epoch that never go back.

    By default the time that the store states, carried on by the monotonic clock. With a clock that
    was `given`, its time; where that is set back, this one goes on from where it was.
    """

    def __init__(self, given: Clock | None) -> None:
        self._given = given
        self._lock = ProcessLock()
        self._last = float("-inf")
        self._ahead = 0.0 if given is not None else time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time now."""
        if self._given is None:
            return time.monotonic() + self._ahead
        with self._lock:
            now = self._given()
            if now < self._last:
                self._ahead += self._last - now
            self._last = now
            return now + self._ahead

    def set(self, shared: float | None) -> None:
        """Take the time of a store that several processes share; None changes nothing."""
        if self._given is None and shared is not None:
            self._ahead = shared - time.monotonic()
