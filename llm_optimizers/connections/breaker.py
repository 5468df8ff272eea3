"""A circuit breaker: skip calls to something that keeps failing (M. Nygard, "Release It!", 2007).

Closed, every call goes through. Open, none does. Half-open, one call goes through, and its success
or failure closes or reopens the breaker.
"""

from __future__ import annotations

from typing import Literal

from llm_optimizers.forks import ProcessLock
from llm_optimizers.types import Clock

__all__ = ["BreakerState", "CircuitBreaker"]

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Opens on a failure for `first_pause` seconds; each further failure doubles the pause.

    The pause is at most `longest_pause` seconds. Safe to share between threads. Setting the clock
    back ends a pause instead of prolonging it.
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
        """The state now: "closed", "open" or "half-open"."""
        if not self._pause:
            return "closed"
        return "open" if 0.0 <= self._clock() - self._since < self._pause else "half-open"

    def allow(self) -> bool:
        """Whether a call may be tried; report its outcome with `succeeded` or `failed`.

        A half-open breaker lets one call through and is open for another pause meanwhile. If
        that call is never reported (it was cancelled, say), the next one goes through after it.
        """
        if not self._pause:
            return True
        with self._lock:
            state = self.state
            if state == "half-open":
                self._since = self._clock()
            return state != "open"

    def failed(self) -> None:
        """Record a failure: open for twice as long as the last time."""
        with self._lock:
            self._pause = min(max(self._pause * 2, self._first_pause), self._longest_pause)
            self._since = self._clock()

    def succeeded(self) -> None:
        """Record a success: close."""
        if self._pause:
            self._pause = 0.0
