"""What a ledger could not write: counted and announced; also that its store fails, and works."""

from __future__ import annotations

import time

from llm_optimizers.costs.ledger.buffer import MAX_WAITING
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.events import RecordsLost, emit
from llm_optimizers.failures.outage import reason_of, store_outage
from llm_optimizers.forks import ProcessLock

__all__ = ["Losses"]

_COMPONENT = "llm_optimizers.costs.ledger"
_EVERY_S = 1.0  # between two events, in which many losses are one


class Losses:
    """See `Outcome` in writer.py; `count` is the number of entries that were lost."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._outage = store_outage(
            _COMPONENT,
            name,
            failed=f"{name} cannot be written, and up to {MAX_WAITING:,} records wait in memory",
            recovered=f"{name} can be written again",
        )
        self._untold = 0  # lost, but in no event yet
        self._reason = ""
        self._logged = False
        self._emitted_at: float | None = None
        self._lock = ProcessLock()

    def lost(self, error: Exception, count: int = 1) -> None:
        """Count entries that will never be written."""
        with self._lock:
            self.count += count
            self._untold += count
            self._reason = reason_of(error)
            now = time.monotonic()
            if self._emitted_at is not None and now - self._emitted_at < _EVERY_S and count == 1:
                return
            self._emitted_at = now
        self._tell()

    def broken(self, error: StoreError) -> None:
        """Announce that the store fails; not a lock of another process, which ends by itself."""
        if not isinstance(error, BusyError):
            self._outage.failed(error)

    def mended(self) -> None:
        """Announce that the store works again, and what was lost meanwhile."""
        self._tell()
        self._logged, self._emitted_at = False, None
        self._outage.worked()

    def _tell(self) -> None:
        with self._lock:
            count, self._untold = self._untold, 0
            logged, self._logged = self._logged, True
        if count:
            emit(
                RecordsLost(
                    component=_COMPONENT,
                    store=self._name,
                    count=count,
                    reason=self._reason,
                    message=f"records cannot be written to {self._name} and are lost, as counted "
                    f"in Ledger.dropped: {self._reason}",
                    repeated=logged,
                )
            )
