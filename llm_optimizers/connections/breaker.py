"""A circuit breaker: what keeps failing is left alone for a while.

After M. Nygard, "Release It!" (2007). Calls that can do without the failing part should not wait
for it: closed, every call goes through; open, none does; half-open, one does, and what becomes of
it decides.
"""

from __future__ import annotations

from typing import Literal

from llm_optimizers.connections.forks import ProcessLock
from llm_optimizers.types import Clock

__all__ = ["BreakerState", "CircuitBreaker"]

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Opens at a failure, for `first_pause` seconds; each further failure doubles the pause.

    Safe to share between threads. A clock that is set back ends the pause instead of making it
    longer.
    """

    def __init__(
        self, clock: Clock, *, first_pause: float = 1.0, longest_pause: float = 60.0
    ) -> None:
        self._clock = clock
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._pause = 0.0
        self._since = 0.0
        self._lock = ProcessLock()

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands now."""
        if not self._pause:
            return "closed"
        return "open" if 0.0 <= self._clock() - self._since < self._pause else "half-open"

    def allow(self) -> bool:
        """Whether a call may be tried; report what becomes of it by `succeeded` or `failed`.

        A half-open breaker lets one call through and stays open for another pause; a call that
        is never reported on (a cancelled one) blocks nothing for longer than that.
        """
        if not self._pause:
            return True
        with self._lock:
            state = self.state
            if state == "half-open":
                self._since = self._clock()
            return state != "open"

    def failed(self) -> None:
        """A call failed: open, for twice as long as the last time."""
        with self._lock:
            self._pause = min(max(self._pause * 2, self._first_pause), self._longest_pause)
            self._since = self._clock()

    def succeeded(self) -> None:
        """A call succeeded: close."""
        if self._pause:
            self._pause = 0.0
