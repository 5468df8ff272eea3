"""What a ledger's entries are kept in: an SQLite file, memory, or a database server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

from llm_optimizers.costs.ledger.rollups import ALWAYS
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.costs.tally import Tally

__all__ = ["Counts", "Entry", "LedgerStore", "Stored"]

T = TypeVar("T")
Entry: TypeAlias = CallRecord | LedgerNote


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """An entry as it was read: its place in the order written, and whether its row is damaged.

    A damaged row is read as far as it can be; `value` is None if that gives no entry.
    """

    seq: int
    value: T | None
    damaged: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many calls are stored, and how many notes of each kind."""

    calls: int
    notes: Mapping[str, int]


class LedgerStore(Protocol):
    """Keeps entries in the order written; safe to share between threads and forked processes.

    Times are in microseconds since 1970, `since` included and `until` not.

    Raises (from every use):
        BusyError: another writer held it for longer than `wait`; try later.
        StoreError: it cannot be read or written now; the message says what to do. What was to be
            written is kept and tried again.
        Any other error of `write`: one of the entries cannot be stored, now or later.
        SchemaError: it belongs to another program or version; it was not changed.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def try_s(self) -> float:
        """For how many seconds one try to write waits for other writers."""

    @property
    def path(self) -> Path | None:
        """Its file, None if there is none."""

    def open(self) -> None:
        """Open it now and check it."""

    def last_change(self) -> object:
        """Return what differs once anybody has written; None if that cannot be seen."""

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """Append all entries in one transaction, or none of them.

        An id that is stored already is ignored, except that the framework's record of a cache hit
        replaces the cache's own record of it.
        """

    def calls(
        self, after: int, *, since: int, until: int, most: int, run: str | None = None
    ) -> Sequence[Stored[CallRecord]]:
        """Return the next calls after a place, at most `most`; those of a `run` by an index.

        A call whose time cannot be read is in every period.
        """

    def notes(
        self, after: int, *, kind: str | None, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """Return the next notes of a kind, or of all, after a place, at most `most`."""

    def totals(self, *, since: int, until: int) -> Tally:
        """Return the sums over all calls of a period, to the last digit.

        Those of whole hours may have been kept. A call that another program changed, added or
        deleted counts as it is now.
        """

    def check(self, *, repair: bool) -> Sequence[int]:
        """Return the hours since 1970 whose kept totals are wrong; `repair` corrects them.

        It also makes totals that are missing, or that counted other calls than there are. These are
        not returned: they are never used, and the next report makes them again. A pruned hour has
        no calls to compare with.
        """

    def prune(self, before: int, *, most: int) -> int:
        """Delete the calls of the oldest whole hours before a time, of at most so many hours.

        Returns how many calls that were. If there were none, space that is no longer used is given
        back. The totals of the hours are kept, so that a summary of them stays as it was.
        """

    def prune_notes(self, before: int, *, kinds: Sequence[str], most: int) -> int:
        """Delete at most `most` notes of some kinds before a time; return how many."""

    def counts(self, before: int = ALWAYS) -> Counts:
        """Return how many calls and notes were before a time."""

    def pruned(self) -> frozenset[int]:
        """Return the hours since 1970 whose calls were deleted."""

    def known(self, entries: Sequence[Entry]) -> int:
        """Return how many of some entries are stored already, by their ids."""

    def problems(self) -> Sequence[str]:
        """Return what the database itself finds wrong with its files."""

    def close(self) -> None:
        """Close it; a later use opens it again. What is in memory is lost."""
