"""An outage of what may fail for a while: announced when it begins and when it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from llm_optimizers.errors import BusyError, LLMOptimizersError
from llm_optimizers.events import (
    Notice,
    StoreFailed,
    StoreRecovered,
    StrategyReturned,
    StrategyWithdrawn,
    emit,
)
from llm_optimizers.forks import ProcessLock

__all__ = ["Outage", "reason_of", "store_outage", "strategy_outage"]

_AGAIN_S = 60.0


class Outage:
    """One thing that may fail and work again: emits `begin` and `end`, each with its message.

    What has several parts, such as reading and writing, works again once all of them do. What fails
    every other second fills no log: an outage that begins within a minute of the last one that was
    logged is `repeated`. What is only in use by another (BusyError) has failed once that lasted for
    `busy_s` seconds. Safe to share between threads.
    """

    def __init__(
        self,
        begin: Callable[..., Notice],
        end: Callable[..., Notice],
        *,
        failed: str,
        recovered: str,
        busy_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin, self._end = begin, end
        self._failed, self._recovered = failed, recovered
        self._clock = clock
        self._broken: set[str] = set()
        self._repeated = False
        self._busy_s = busy_s
        self._busy_since: float | None = None
        self._logged_at = -math.inf
        self._lock = ProcessLock()

    def failed(self, error: Exception, part: str = "") -> None:
        """Announce a failure, unless the outage lasts already."""
        now = self._clock()
        with self._lock:
            if isinstance(error, BusyError) and self._is_new(now):
                return
            lasts = bool(self._broken)
            self._broken.add(part)
            if lasts:
                return
            self._repeated = repeated = now - self._logged_at < _AGAIN_S
            if not repeated:
                self._logged_at = now
        reason = reason_of(error)
        emit(self._begin(reason=reason, message=f"{self._failed}: {reason}", repeated=repeated))

    def _is_new(self, now: float) -> bool:
        if self._busy_since is None:
            self._busy_since = now
        return now - self._busy_since < self._busy_s

    def worked(self, part: str = "") -> None:
        """Announce that it works again, if this was the last part of it that did not."""
        self._busy_since = None
        if part in self._broken:
            with self._lock:
                lasted = bool(self._broken)
                self._broken.discard(part)
                over = lasted and not self._broken
            if over:
                emit(self._end(message=self._recovered, repeated=self._repeated))


def store_outage(
    component: str,
    store: str,
    *,
    failed: str,
    recovered: str,
    busy_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> Outage:
    """Return the outage of a store; "<failed>: <reason>" and `recovered` are for the log."""
    begin = partial(StoreFailed, component=component, store=store)
    end = partial(StoreRecovered, component=component, store=store)
    return Outage(begin, end, failed=failed, recovered=recovered, busy_s=busy_s, clock=clock)


def strategy_outage(
    component: str,
    strategy: str,
    *,
    failed: str,
    recovered: str,
    clock: Callable[[], float] = time.monotonic,
) -> Outage:
    """Return the outage of a strategy, such as "cache.semantic", in the same way."""
    begin = partial(StrategyWithdrawn, component=component, strategy=strategy)
    end = partial(StrategyReturned, component=component, strategy=strategy)
    return Outage(begin, end, failed=failed, recovered=recovered, clock=clock)


def reason_of(error: Exception) -> str:
    """Return an error's text if it is our own, else its class: its text may hold a prompt."""
    return str(error) if isinstance(error, LLMOptimizersError) else type(error).__name__
