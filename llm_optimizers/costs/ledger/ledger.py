"""The ledger: an append-only store of calls and notes, in a SQLite file or in memory.

The ledger fails open. Writing never raises and never waits long. An event loop never waits: a
thread writes what it records (`writer`). While another process has the file locked, records
wait in memory. If the file is full, read-only or corrupt, the record is dropped and counted, and a
warning is logged once. Reading raises, since figures from an incomplete ledger would be wrong.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from llm_optimizers.arguments import function, instance, optional, string, text, with_methods
from llm_optimizers.costs.ledger.fields import micros
from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore
from llm_optimizers.costs.ledger.store import Entry, LedgerStore, Stored
from llm_optimizers.costs.ledger.writer import LedgerWriter
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.records import JSON, CallRecord, LedgerNote, RecordSource
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise_rows
from llm_optimizers.effects import in_event_loop
from llm_optimizers.errors import BusyError, ConfigurationError, SchemaError, StoreError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import Clock
from llm_optimizers.warming import WarmsUp

__all__ = ["Ledger"]

T = TypeVar("T")

_log = safe_logger(__name__)
_ALWAYS = 2**63 - 1
_PAGE = 1_000
# Seconds to wait for another process that is writing.
_WAIT = 1.0
_WRITE_WAIT = 0.25  # a record that cannot be written by then waits in memory
_SHORT_WAIT = 0.02  # while the file stays locked: calls must not be slowed
_READ_WAIT = 5.0  # for records that wait for the lock


class Ledger(WarmsUp, PickledAsArguments):
    """A store of calls with their cost and savings; in memory if no `path` is given.

    Safe to share between threads and event loops; several processes may append to one file.
    `dropped` counts the records that this object could not write. A ledger in memory grows by
    about one kilobyte per call and ends with the process; it cannot be pickled, since the records
    of its copy would be lost. A pickled ledger with a file opens it again.

    What is recorded outside an event loop is in the file when `record` returns. What is recorded
    in one is written by a thread within milliseconds, before the process forks or ends, and by
    `flush`, `close` and everything that reads; a process killed in between loses it. The same holds
    for all records while another process has the file locked: up to 10,000 wait for it, and the
    last ones for five seconds after `close`.

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
        self.prices = PriceBook() if prices is None else instance("prices", prices, PriceBook)
        self._dropped = 0
        self._clock = function("clock", clock)
        self._warned = False
        self._count_lock = ProcessLock()
        self._locked = False
        self._store: LedgerStore = SQLiteLedgerStore(path, wait=_WAIT)
        self._writer = LedgerWriter(self._store, self._drop)
        self._sources: weakref.WeakSet[RecordSource] = weakref.WeakSet()
        self._sources_lock = ProcessLock()
        try:
            self._store.open()
        except SchemaError:
            raise
        except StoreError as error:
            self._warn(error)

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        if self._store.path is None:
            raise ConfigurationError(
                "a ledger in memory cannot be pickled: what its copy records in another process "
                "would be lost; give it a file with Ledger(path=…)"
            )
        return {"path": self._store.path}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"prices": self.prices}

    def record(self, record: CallRecord) -> None:
        """Append a call. Never raises.

        A second record with the same id is ignored, except that the framework's record of a
        cache hit replaces the cache's own record of it.
        """
        try:
            self._append(instance("record", record, CallRecord))
        except Exception as error:  # noqa: BLE001 - a broken ledger must not cost an answer
            self._drop(error)

    def record_made(self, make: Callable[[], CallRecord]) -> None:
        """Append the call that `make` returns; in an event loop `make` runs in another thread.

        For a record whose making may wait: prices and vocabularies are loaded from files on first
        use, and long texts are counted. Never raises; a `make` that fails counts as a drop.
        """
        try:
            if not in_event_loop() or not self._writer.add(lambda: self.record(make())):
                self.record(make())
        except Exception as error:  # noqa: BLE001 - as in record
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
        own = optional(string, "id", id)
        now = datetime.fromtimestamp(self._clock(), UTC)
        note = LedgerNote(id=own or uuid.uuid4().hex, time=now, kind=kind, payload=payload)
        try:
            json.dumps(note.payload, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the payload of a {kind!r} note must be JSON") from error
        try:
            self._append(note)
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
        first = -_ALWAYS if since is None else micros(since, "since")
        text("kind", kind)

        def page(seen: int) -> Sequence[Stored[LedgerNote]]:
            return self._store.notes(seen, kind=kind, since=first, most=_PAGE)

        return (note for note, _ in self._read(page) if note is not None)

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

    def warm_up(self) -> None:
        """Load the prices now, which the first record would do."""
        self.prices.warm_up()

    @property
    def dropped(self) -> int:
        """How many records this object could not write; those that still wait are not among them.

        `flush` first for the final number.
        """
        return self._dropped

    def flush(self) -> None:
        """Wait until everything recorded so far is written or dropped; reading does so by itself.

        In an event loop call it, `summary` and `close` in a thread, as with all that reads a file.

        Raises:
            StoreError: another process has the file locked, and records still wait for it.
        """
        if not self._writer.wait(_READ_WAIT, locked_only=True):
            raise BusyError(
                f"{self._store.name} is locked by another process, and records wait for it: "
                "wait for that process or stop it"
            )

    def add_source(self, source: RecordSource) -> None:
        """Let a source write its records before the ledger is read or closed, while it exists."""
        with self._sources_lock:
            self._sources.add(source)

    def close(self) -> None:
        """Write what waits and close the file; later records are dropped and counted.

        Calls still in flight are recorded as abandoned.
        """
        for source in self._all_sources():
            source.end_all()
        self._writer.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, entry: Entry) -> None:
        """Have one entry written by the thread, in an event loop, or write it now.

        Each is a separate transaction outside a loop: a killed process loses at most this one.
        """
        if not self._writer.runs_here:
            self._check_open()
        if in_event_loop():
            if not self._writer.add(lambda: entry):
                self._write(entry)
        elif not self._writer.waiting:
            self._write(entry)
        elif self._writer.add(lambda: entry):  # after the waiting ones
            self._locked = not self._writer.wait(self._patience)
        else:
            self._write(entry)

    def _write(self, entry: Entry) -> None:
        try:
            self._store.write([entry], wait=self._patience)
        except BusyError:
            self._locked = True
            if not self._writer.add(lambda: entry):
                raise
        else:
            self._locked = False

    @property
    def _patience(self) -> float:
        return _SHORT_WAIT if self._locked else _WRITE_WAIT

    def _calls(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[tuple[CallRecord | None, bool]]:
        """Iterate over the calls, each with whether its row is damaged."""
        first = -_ALWAYS if since is None else micros(since, "since")
        last = _ALWAYS if until is None else micros(until, "until")

        def page(seen: int) -> Sequence[Stored[CallRecord]]:
            return self._store.calls(seen, since=first, until=last, most=_PAGE)

        return self._read(page)

    def _read(self, page: Callable[[int], Sequence[Stored[T]]]) -> Iterator[tuple[T | None, bool]]:
        """Read entries in pages, so that writers do not wait for a slow reader."""
        seen = 0
        for source in self._all_sources():
            source.settle()
        self.flush()
        while True:
            try:
                self._check_open()
                found = page(seen)
            except StoreError as error:
                raise StoreError(f"{self._store.name} cannot be read: {error}") from error
            yield from ((each.value, each.damaged) for each in found)
            if len(found) < _PAGE:
                return
            seen = found[-1].seq

    def _all_sources(self) -> list[RecordSource]:
        with self._sources_lock:
            return list(self._sources)

    def _check_open(self) -> None:
        if self._writer.closed:
            raise StoreError("the ledger is closed")

    def _drop(self, error: Exception) -> None:
        with self._count_lock:
            self._dropped += 1
        self._warn(error)

    def _warn(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        _log.warning(
            "%s cannot be written: records are dropped and counted in Ledger.dropped (%s: %s)",
            self._store.name,
            type(error).__name__,
            error,
        )


def checked_ledger(ledger: Ledger | None) -> Ledger | None:
    """Return a component's `ledger`; a path is not taken for one.

    Raises:
        ConfigurationError: it is no ledger; the message says how to make one.
    """
    if ledger is not None:
        with_methods("ledger", ledger, "note", give="a Ledger('costs.sqlite')")
    return ledger
