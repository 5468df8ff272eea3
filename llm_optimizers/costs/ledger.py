"""The ledger: an append-only store of calls and notes, in a SQLite file or in memory.

The ledger fails open. Writing never raises and never waits long: if the file is locked, full,
read-only or corrupt, the record is dropped and counted, and a warning is logged once. Reading
raises, since figures from an incomplete ledger would be wrong.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from llm_optimizers.connections.forks import ProcessLock
from llm_optimizers.connections.sqlite import Database
from llm_optimizers.costs import ledger_rows
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.records import JSON, CallRecord, LedgerNote
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise_rows
from llm_optimizers.errors import BusyError, ConfigurationError, SchemaError, StoreError
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import Clock

__all__ = ["Ledger"]

T = TypeVar("T")
_Row: TypeAlias = tuple[Any, ...]

_log = safe_logger(__name__)
_ALWAYS = 2**63 - 1
_PAGE = 1_000
# Seconds to wait for another process that is writing.
_WAIT = 1.0
_SHORT_WAIT = 0.02  # in an event loop, and while the file stays locked: calls must not be slowed
_LONG_WAIT = 5.0  # in the background thread
_MAX_DELAYED = 10_000


class Ledger(PickledAsArguments):
    """A store of calls with their cost and savings; in memory if no `path` is given.

    Safe to share between threads and event loops; several processes may append to one file.
    `dropped` counts the records that this object could not write. A ledger in memory grows by
    about one kilobyte per call and ends with the process; it cannot be pickled, since the records
    of its copy would be lost. A pickled ledger with a file opens it again.

    Raises:
        SchemaError: the file holds a ledger of another version, or another program's tables.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        prices: PriceBook | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.prices = PriceBook() if prices is None else prices
        self.dropped = 0
        self._clock = clock
        self._warned = False
        self._closed = False
        self._locked = False
        self._database = Database(path, ledger_rows.SCHEMA, wait=_WAIT, undecodable_as_bytes=True)
        self._delayed_rows = _DelayedRows(self._database, self._drop)
        try:
            self._database.open()
        except SchemaError:
            raise
        except StoreError as error:
            self._warn(error)

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        if self._database.path is None:
            raise ConfigurationError(
                "a ledger in memory cannot be pickled: what its copy records in another process "
                "would be lost; give it a file with Ledger(path=…)"
            )
        return {"path": self._database.path}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"prices": self.prices}

    def record(self, record: CallRecord) -> None:
        """Append a call. Never raises.

        A second record with the same id is ignored, except that the framework's record of a
        cache hit replaces the cache's own record of it.
        """
        try:
            self._append(ledger_rows.INSERT_CALL, ledger_rows.call_row(record))
        except Exception as error:  # noqa: BLE001 - a broken ledger must not cost an answer
            self._drop(error)

    def note(
        self,
        kind: str,
        payload: Mapping[str, JSON],
        *,
        id: str | None = None,  # noqa: A002 - as in the record
    ) -> None:
        """Append a note about an event; a second note with the same id is ignored.

        Raises:
            ConfigurationError: the payload is not JSON. A failing file does not raise.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        note = LedgerNote(id=id or uuid.uuid4().hex, time=now, kind=kind, payload=payload)
        try:
            row = ledger_rows.note_row(note)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the payload of a {kind!r} note must be JSON") from error
        try:
            self._append(ledger_rows.INSERT_NOTE, row)
        except Exception as error:  # noqa: BLE001 - as in record
            self._drop(error)

    def records(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[CallRecord]:
        """Iterate over the calls with `since` <= time < `until`, in the order written.

        Of a damaged row, what can be read is returned; `Summary.damaged` counts them.

        Raises:
            StoreError: the ledger cannot be read.
        """
        return (record for record, _ in self._calls(since, until) if record is not None)

    def notes(self, kind: str, since: datetime | None = None) -> Iterator[LedgerNote]:
        """Iterate over the notes of a kind from `since` on, in the order written.

        Raises:
            StoreError: the ledger cannot be read.
        """
        first = -_ALWAYS if since is None else ledger_rows.micros(since)
        found = self._read(ledger_rows.SELECT_NOTES, (kind, first), ledger_rows.read_note)
        return (note for note, _ in found if note is not None)

    def summary(
        self,
        *,
        premium_model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Summary:
        """Return the totals of all calls with `since` <= time < `until`.

        Raises:
            StoreError: the ledger cannot be read.
        """
        return summarise_rows(self._calls(since, until), premium_model=premium_model)

    def close(self) -> None:
        """Close the file; later records are dropped and counted."""
        self._delayed_rows.finish()
        self._closed = True
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, insert: str, row: _Row) -> None:
        """Write one row in a separate transaction: a killed process loses at most this one."""
        self._check_open()
        if self._delayed_rows.waiting and self._delayed_rows.add_if_waiting(insert, row):
            return
        in_loop = _in_event_loop()
        wait = _SHORT_WAIT if in_loop or self._locked else None
        try:
            with self._database.connection(wait=wait) as connection:
                connection.execute(insert, row)
        except BusyError:
            self._locked = True
            if not in_loop:
                raise
            self._delayed_rows.add(insert, row)
        else:
            self._locked = False

    def _calls(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[tuple[CallRecord | None, bool]]:
        """Iterate over the calls, each with whether its row is damaged."""
        first = -_ALWAYS if since is None else ledger_rows.micros(since)
        last = _ALWAYS if until is None else ledger_rows.micros(until)
        return self._read(ledger_rows.SELECT_CALLS, (first, last), ledger_rows.read_call)

    def _read(
        self, select: str, where: tuple[Any, ...], read: Callable[[sqlite3.Row], T]
    ) -> Iterator[T]:
        """Read rows by `seq`, in pages, so that writers do not wait for a slow reader."""
        seen = 0
        self._delayed_rows.finish()
        while True:
            try:
                self._check_open()
                with self._database.connection() as connection:
                    page = connection.execute(select, (seen, *where, _PAGE)).fetchall()
                values = [read(row) for row in page]
            except (StoreError, LookupError, ArithmeticError, TypeError, ValueError) as error:
                raise StoreError(f"{self._database.name} cannot be read: {error}") from error
            yield from values
            if len(page) < _PAGE:
                return
            seen = page[-1]["seq"]

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the ledger is closed")

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        _log.warning(
            "%s cannot be written: records are dropped and counted in Ledger.dropped (%s: %s)",
            self._database.name,
            type(error).__name__,
            error,
        )


class _DelayedRows:
    """Rows kept in memory while another process has the file locked.

    A background thread writes them, so that no event loop waits for the lock. Rows added
    in the meantime are written after them.
    """

    def __init__(self, database: Database, drop: Callable[[Exception], None]) -> None:
        self._database = database
        self._drop = drop
        self._rows: list[tuple[str, _Row]] = []
        self._writer: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = ProcessLock()

    @property
    def waiting(self) -> bool:
        """Whether there may be rows to write."""
        return self._writer is not None

    def add(self, insert: str, row: _Row) -> None:
        """Add a row; raises StoreError if too many are waiting."""
        with self._lock:
            self._reset_after_fork()
            if len(self._rows) >= _MAX_DELAYED:
                raise StoreError(f"{_MAX_DELAYED} records already wait for the locked file")
            self._rows.append((insert, row))
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="ledger")
                self._writer.start()

    def add_if_waiting(self, insert: str, row: _Row) -> bool:
        """Add a row after the waiting ones; False if there are none."""
        with self._lock:
            self._reset_after_fork()
            if self._writer is None:
                return False
            self.add(insert, row)
            return True

    def finish(self) -> None:
        """Wait until every row is written or dropped."""
        with self._lock:
            self._reset_after_fork()
            writer = self._writer
        if writer is not None:
            writer.join()

    def _write(self) -> None:
        while True:
            with self._lock:
                rows, self._rows = self._rows, []
                if not rows:
                    self._writer = None
                    return
            try:
                with self._database.transaction(wait=_LONG_WAIT) as connection:
                    for insert, row in rows:
                        connection.execute(insert, row)
            except Exception as error:  # noqa: BLE001 - as in record
                for _ in rows:
                    self._drop(error)

    def _reset_after_fork(self) -> None:
        """Start empty in a forked child: the thread and its rows are the parent's."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._rows, self._writer = [], None


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
