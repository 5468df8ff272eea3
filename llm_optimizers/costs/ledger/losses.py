"""What a ledger could not write: counted, and said once each time its store fails."""

from __future__ import annotations

from llm_optimizers.costs.ledger.buffer import MAX_WAITING
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.shown import safe_logger

__all__ = ["Losses"]

_log = safe_logger(__name__)


class Losses:
    """See `Outcome` in writer.py; `count` is the number of entries that were lost."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._said = False
        self._lock = ProcessLock()

    def lost(self, error: Exception, count: int = 1) -> None:
        """Count entries that will never be written."""
        with self._lock:
            self.count += count
        self._warn(error, "records are lost, which are counted in Ledger.dropped")

    def broken(self, error: StoreError) -> None:
        """Say that the store fails, but for another process's lock, which ends by itself."""
        if not isinstance(error, BusyError):
            self._warn(
                error,
                f"up to {MAX_WAITING:,} records wait in memory until it can be; what is lost then "
                "is counted in Ledger.dropped",
            )

    def mended(self) -> None:
        """Say it again when the store fails the next time."""
        self._said = False

    def _warn(self, error: Exception, what: str) -> None:
        if self._said:
            return
        self._said = True
        _log.warning(
            "%s cannot be written: %s (%s: %s)", self._name, what, type(error).__name__, error
        )
