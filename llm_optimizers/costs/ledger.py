"""The one account: an append-only record of calls and events, in a SQLite file or in memory.

The ledger fails open. Writing never raises and never waits long: when the file is locked, full,
read-only or corrupt, the record is dropped and counted, a warning is logged once, and the call
it describes goes on. Reading raises, since a figure from half an account would be a lie.

Several threads and processes may append to one file. Each record is committed by itself in
write-ahead mode, so a killed process loses at most the record it was writing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from llm_optimizers.costs import rows
from llm_optimizers.costs.prices import PriceBook
from llm_optimizers.costs.records import JSON, CallRecord, Note
from llm_optimizers.costs.summary import Summary, summarise
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.types import Clock

__all__ = ["Ledger"]

T = TypeVar("T")

_log = logging.getLogger(__name__)
_WAIT_MS = 2_000  # for another process that is writing
_WAIT_AFTER_FAILURE_MS = 20  # a file that stays locked must not slow every call
_PAGE = 1_000
_FOREVER = 2**62


class Ledger:
    """Calls and what they cost and saved; in memory without a `path`.

    `dropped` counts what could not be written. A ledger in memory grows by about a kilobyte a
    call and is gone with the process.

    Raises:
        StoreError: the file holds a ledger of another version, or something else's tables.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        prices: PriceBook | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.prices = PriceBook() if prices is None else prices
        self.dropped = 0
        self._path = None if path is None else Path(path).expanduser()
        self._clock = clock
        self._lock = threading.Lock()
        self._warned = False
        self._closed = False
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._open()
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def record(self, record: CallRecord) -> None:
        """Append a call; the same id a second time is ignored. Never raises."""
        try:
            row = rows.call_row(record)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            self._drop(error)
        else:
            self._append(rows.INSERT_CALL, row)

    def note(self, kind: str, payload: Mapping[str, JSON], *, id: str | None = None) -> None:  # noqa: A002 - as in CallRecord
        """Append an event; the same id a second time is ignored. A failing file never raises.

        Raises:
            ConfigurationError: the payload is not JSON.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        note = Note(id=id or uuid.uuid4().hex, time=now, kind=kind, payload=payload)
        try:
            row = rows.note_row(note)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the payload of a {kind!r} note must be JSON") from error
        self._append(rows.INSERT_NOTE, row)

    def records(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[CallRecord]:
        """Calls in the order they were written, from `since` on and before `until`.

        Raises:
            StoreError: the ledger cannot be read.
        """
        first = -_FOREVER if since is None else rows.micros(since)
        last = _FOREVER if until is None else rows.micros(until)
        return self._pages(rows.SELECT_CALLS, (first, last), rows.read_call)

    def notes(self, kind: str, since: datetime | None = None) -> Iterator[Note]:
        """Events of a kind in the order they were written, from `since` on.

        Raises:
            StoreError: the ledger cannot be read.
        """
        first = -_FOREVER if since is None else rows.micros(since)
        return self._pages(rows.SELECT_NOTES, (kind, first), rows.read_note)

    def summary(
        self,
        *,
        premium_model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Summary:
        """The figures of all calls from `since` on and before `until`.

        Raises:
            StoreError: the ledger cannot be read.
        """
        return summarise(self.records(since, until), premium_model=premium_model)

    def close(self) -> None:
        """Close the file; what is recorded later is dropped and counted."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None and self._pid == os.getpid():
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, statement: str, row: tuple[Any, ...]) -> None:
        try:
            with self._lock:
                self._connected().execute(statement, row)
        except (sqlite3.Error, OSError, StoreError) as error:
            self._drop(error)

    def _pages(
        self, select: str, where: tuple[Any, ...], read: Callable[[Mapping[str, Any]], T]
    ) -> Iterator[T]:
        seen = 0
        while True:
            try:
                with self._lock:
                    page = self._connected().execute(select, (seen, *where, _PAGE)).fetchall()
                values = [read(row) for row in page]
            except (sqlite3.Error, OSError, ArithmeticError, TypeError, ValueError) as error:
                raise StoreError(f"the ledger {self._path} cannot be read: {error}") from error
            yield from values
            if len(page) < _PAGE:
                return
            seen = page[-1]["seq"]

    def _connected(self) -> sqlite3.Connection:
        """The connection of this process; called with the lock held."""
        if self._closed:
            raise StoreError("the ledger is closed")
        if self._pid != os.getpid():
            # SQLite forbids carrying a connection across a fork; memory stays behind as a copy.
            self._pid = os.getpid()
            if self._path is not None:
                self._connection = None
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        target = ":memory:" if self._path is None else str(self._path)
        connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
            _prepare(connection, target)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self, error: Exception) -> None:
        with self._lock:
            self.dropped += 1
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        _log.warning(
            "the cost ledger %s cannot be written (%s: %s); calls go on unrecorded and are "
            "counted in Ledger.dropped",
            self._path or "in memory",
            type(error).__name__,
            error,
        )


def _prepare(connection: sqlite3.Connection, target: str) -> None:
    """Make a new file a ledger, or check that it is one.

    Raises:
        StoreError: it is a ledger of another version, or no ledger.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have made the tables meanwhile.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(f"{target} is a database of something else; give another path")
            for statement in rows.SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {rows.SCHEMA_VERSION}")
        connection.execute("COMMIT")
        version = rows.SCHEMA_VERSION if version == 0 else version
    if version != rows.SCHEMA_VERSION:
        raise StoreError(
            f"{target} is a ledger of version {version} and this package reads version "
            f"{rows.SCHEMA_VERSION}; upgrade llm-optimizers or give another path"
        )
    # Safe against a killed process; only a power cut can lose the last records.
    connection.execute("PRAGMA synchronous = NORMAL")
