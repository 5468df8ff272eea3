"""Old calls deleted while an app runs, in steps so small that its records do not wait."""

from __future__ import annotations

from llm_optimizers.costs.ledger.rollups import HOUR
from llm_optimizers.costs.ledger.store import LedgerStore
from llm_optimizers.events import Notice, emit
from llm_optimizers.types import Clock

__all__ = ["Retention"]

_DAY_S = 86_400.0


class Retention:
    """Keeps the calls of so many days; the totals of older hours stay.

    `step` is called by the thread that writes, after it has written, and never raises. Once a day
    it begins to delete what is too old, the calls of one hour at a time.
    """

    def __init__(self, store: LedgerStore, days: float, clock: Clock) -> None:
        self._store = store
        self._kept_s = days * _DAY_S
        self._clock = clock
        self._due_at = clock()
        self._begun = self._failed = False

    def step(self) -> None:
        """Delete the calls of the oldest hour that is too old, if any and if it is time."""
        now = self._clock()
        # A clock that was set back does not put it off for long.
        if self._due_at - _DAY_S <= now < self._due_at:
            return
        before = int((now - self._kept_s) * 1_000_000) // HOUR * HOUR
        try:
            if self._begun or self._store.counts(before).calls:
                self._begun = self._store.prune(before, most=1) > 0
            if self._begun:
                return
            self._failed = False
        except Exception as error:  # noqa: BLE001 - records must be written all the same
            self._say(error)
        self._due_at = now + _DAY_S

    def _say(self, error: Exception) -> None:
        emit(
            Notice(
                component=__name__,
                message=f"old calls of {self._store.name} were not deleted, which is tried again "
                f"in a day ({error})",
                repeated=self._failed,
            )
        )
        self._failed = True
