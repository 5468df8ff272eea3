"""What a ledger's entries are kept in: an SQLite file, memory, or a database server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

from llm_optimizers.costs.records import CallRecord, LedgerNote

__all__ = ["Entry", "LedgerStore", "Stored"]

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


class LedgerStore(Protocol):
    """Keeps entries in the order written; safe to share between threads and forked processes.

    Times are in microseconds since
    1970, `since` included and `until` not.

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
    def path(self) -> Path | None:
        """Its file, None if there is none."""

    def open(self) -> None:
        """Open it now and check it."""

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """Append all entries in one transaction, or none of them.

        An id that is stored already is ignored, except that the framework's record of a cache hit
        replaces the cache's own record of it.
        """

    def calls(
        self, after: int, *, since: int, until: int, most: int
    ) -> Sequence[Stored[CallRecord]]:
        """Return the next calls after a place, at most `most`."""

    def notes(
        self, after: int, *, kind: str, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """Return the next notes of a kind after a place, at most `most`."""

    def close(self) -> None:
        """Close it; a later use opens it again. What is in memory is lost."""
