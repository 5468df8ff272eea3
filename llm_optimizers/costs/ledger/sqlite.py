"""A ledger in an SQLite file or in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llm_optimizers.connections.sqlite import Database
from llm_optimizers.costs.ledger import rows
from llm_optimizers.costs.ledger.store import Entry, Stored
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.errors import StoreError

__all__ = ["SQLiteLedgerStore"]

T = TypeVar("T")
_OF_AN_ENTRY = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
_UNREADABLE = (LookupError, ArithmeticError, TypeError, ValueError)


class SQLiteLedgerStore:
    """See `LedgerStore`; `wait` is the number of seconds to wait for another process."""

    def __init__(self, path: str | os.PathLike[str] | None, *, wait: float) -> None:
        self._database = Database(path, rows.SCHEMA, wait=wait, undecodable_as_bytes=True)

    @property
    def name(self) -> str:
        """See `LedgerStore`."""
        return self._database.name

    @property
    def path(self) -> Path | None:
        """See `LedgerStore`."""
        return self._database.path

    def open(self) -> None:
        """See `LedgerStore`."""
        self._database.open()

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """See `LedgerStore`."""
        made = [rows.row_of(entry) for entry in entries]
        try:
            with self._database.transaction(wait=wait) as connection:
                for insert, row in made:
                    connection.execute(insert, row)
        except StoreError as error:
            if isinstance(error.__cause__, _OF_AN_ENTRY):
                raise error.__cause__ from None
            raise

    def calls(
        self, after: int, *, since: int, until: int, most: int
    ) -> Sequence[Stored[CallRecord]]:
        """See `LedgerStore`."""
        return self._read(rows.SELECT_CALLS, (after, since, until, most), rows.read_call)

    def notes(
        self, after: int, *, kind: str, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """See `LedgerStore`."""
        return self._read(rows.SELECT_NOTES, (after, kind, since, most), rows.read_note)

    def close(self) -> None:
        """See `LedgerStore`."""
        self._database.close()

    def _read(
        self,
        select: str,
        where: tuple[Any, ...],
        read: Callable[[Any], tuple[T | None, bool]],
    ) -> list[Stored[T]]:
        try:
            with self._database.connection() as connection:
                page = connection.execute(select, where).fetchall()
            return [Stored(row["seq"], *read(row)) for row in page]
        except _UNREADABLE as error:
            raise StoreError(f"{self.name} cannot be read: {error}") from error
