"""What a ledger could not write: counted, and announced each time its store fails."""

from __future__ import annotations

from llm_optimizers.costs.ledger.buffer import MAX_WAITING
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.events import Notice, RecordsLost, emit
from llm_optimizers.failures import reason_of, store_outage
from llm_optimizers.forks import ProcessLock

__all__ = ["Losses"]


class Losses:
    """See `Outcome` in writer.py; `count` is the number of entries that were lost."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._lock = ProcessLock()
        self._bad_record = False
        self._outage = store_outage(
            __name__,
            name,
            failed=(
                f"{name} cannot be written: up to {MAX_WAITING:,} records wait in memory until it "
                "can be; what is lost then is counted in Ledger.dropped"
            ),
            recovered=f"{name} can be written again",
        )

    def lost(self, error: Exception, count: int = 1) -> None:
        """Count entries that will never be written."""
        reason, of_store = reason_of(error), isinstance(error, StoreError)
        with self._lock:
            self.count += count
            repeated = self._bad_record
            self._bad_record = repeated or not of_store
        if of_store:
            self._outage.failed(StoreError(reason))  # also said of a lock, which lasted too long
        else:
            message = f"a record cannot be written, and is counted in Ledger.dropped: {reason}"
            emit(Notice(component=__name__, message=message, repeated=repeated))
        emit(RecordsLost(component=__name__, store=self._name, count=count, reason=reason))

    def broken(self, error: StoreError) -> None:
        """Announce that the store fails, but for another process's lock, which ends by itself."""
        if not isinstance(error, BusyError):
            self._outage.failed(error)

    def worked(self) -> None:
        """Announce that the store works again, if it failed."""
        self._outage.worked()
