"""The ledger: an append-only store of calls and notes, in a file, on a server or in memory.

The ledger fails open. Recording never raises and only adds to a buffer, which a thread writes
(`buffer.py`, `writer.py`). While the store is locked, full, read-only, damaged or away, records
wait in memory, and what finds no room there is counted. Reading raises then, since figures from an
incomplete ledger would be wrong.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Self, TypeVar

from llm_optimizers.arguments import (
    function,
    instance,
    number,
    optional,
    string,
    text,
    with_methods,
)
from llm_optimizers.costs.ledger.endings import known_writers, write_before_signals_end
from llm_optimizers.costs.ledger.fields import micros, tags
from llm_optimizers.costs.ledger.losses import Losses
from llm_optimizers.costs.ledger.opening import store_at
from llm_optimizers.costs.ledger.pages import PAGE, pages
from llm_optimizers.costs.ledger.retention import Retention
from llm_optimizers.costs.ledger.rollups import ALWAYS
from llm_optimizers.costs.ledger.store import Stored
from llm_optimizers.costs.ledger.unpriced import UnpricedModels
from llm_optimizers.costs.ledger.words import RUN
from llm_optimizers.costs.ledger.writer import LedgerWriter
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.records import JSON, CallRecord, LedgerNote, RecordSource
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import Tally
from llm_optimizers.effects import in_event_loop
from llm_optimizers.errors import ConfigurationError, SchemaError, StoreError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.types import Clock
from llm_optimizers.warming import WarmsUp

__all__ = ["Ledger"]

T = TypeVar("T")

_MOST_DAYS = 1_000_000
_WAIT = 1.0  # seconds that a reader waits for another process that is writing


class Ledger(WarmsUp, PickledAsArguments):
    """A store of calls with their cost and savings; in memory if no `path` or `url` is given.

    `path` is a file, which several processes of one machine may append to; `url` is a Postgres
    server for several machines (postgresql://…; needs the extra `postgres`). Safe to share between
    threads and event loops. A ledger in memory grows by about one kilobyte per call and ends with
    the process; it cannot be pickled, since the records of its copy would be lost. A pickled ledger
    with a file or server opens it again.

    What is recorded is in the file within 0.2 seconds: a thread writes many records at once. It
    also writes before the process forks, exits or is ended by SIGTERM or SIGHUP, and for `flush`,
    `close` and everything that reads. While 900 records wait, a thread that records waits for
    them, so that a killed process loses few; an event loop never waits.

    While the store is locked, full, read-only, damaged or away, up to 10,000 records wait for it,
    and are still tried for a second after `close` or the end of the process (while it is locked,
    for five in which no other process writes). `dropped` counts those that were lost.

    With `keep_days` older calls are deleted once a day, an hour of them at a time, after something
    was written. Reports keep the sums of whole hours; single calls and the sums of runs are
    gone. Notes stay: `llm-optimizers ledger prune --kind` deletes them.

    Raises:
        SchemaError: the file holds a ledger of another version, or another program's tables.
        ImportError: `url` needs the extra `postgres`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        url: str | None = None,
        prices: PriceBook | None = None,
        keep_days: float | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.prices = PriceBook() if prices is None else instance("prices", prices, PriceBook)
        self._clock = function("clock", clock)
        optional(number, "keep_days", keep_days, above=0, most=_MOST_DAYS)
        self._store = store_at(path, url, wait=_WAIT)
        self._losses = Losses(self._store.name)
        self._unpriced = UnpricedModels()
        retention = None if keep_days is None else Retention(self._store, keep_days, self._clock)
        self._writer = LedgerWriter(
            self._store, self._losses, beside=None if retention is None else retention.step
        )
        self._lasting = url is not None or self._store.path is not None
        self._sources: weakref.WeakSet[RecordSource] = weakref.WeakSet()
        self._sources_lock = ProcessLock()
        if self._lasting:
            write_before_signals_end()
        try:
            self._store.open()
        except SchemaError:
            raise
        except StoreError as error:
            self._losses.broken(error)

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        if not self._lasting:
            raise ConfigurationError(
                "a ledger in memory cannot be pickled: what its copy records in another process "
                "would be lost; give it a file with Ledger(path=…)"
            )
        return {} if self._store.path is None else {"path": self._store.path}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"prices": self.prices}

    def record(self, record: CallRecord) -> None:
        """Append a call. Never raises.

        A second record with the same id is ignored, except that the framework's record of a
        cache hit replaces the cache's own record of it.
        """
        try:
            self._writer.add(instance("record", record, CallRecord))
            self._unpriced.look(record)
        except Exception as error:  # noqa: BLE001 - a broken ledger must not cost an answer
            self._losses.lost(error)

    def record_made(self, make: Callable[[], CallRecord]) -> None:
        """Append the call that `make` returns; in an event loop `make` runs in another thread.

        For a record whose making may wait: prices and vocabularies are loaded from files on first
        use, and long texts are counted. Never raises; a `make` that fails counts as a drop.
        """
        try:
            if in_event_loop():
                self._writer.add(lambda: self.record(make()))
            else:
                self.record(make())
        except Exception as error:  # noqa: BLE001 - as in record
            self._losses.lost(error)

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
            as_now = json.loads(json.dumps(note.payload, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the payload of a {kind!r} note must be JSON") from error
        try:
            self._writer.add(replace(note, payload=as_now))
        except Exception as error:  # noqa: BLE001 - as in record
            self._losses.lost(error)

    def records(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        run: str | None = None,
    ) -> Iterator[CallRecord]:
        """Iterate over the calls with `since` <= time < `until`, in the order written.

        With `run` only those with this tag `run`, found by an index. Of a damaged row, what can be
        read is returned; `Summary.damaged` counts them.

        Raises:
            StoreError: the ledger cannot be read.
        """
        return (record for record, _ in self._calls(since, until, run) if record is not None)

    def notes(self, kind: str, since: datetime | None = None) -> Iterator[LedgerNote]:
        """Iterate over the notes of a kind from `since` on, in the order written.

        Raises:
            StoreError: the ledger cannot be read.
        """
        first = -ALWAYS if since is None else micros(since, "since")
        text("kind", kind)

        def page(seen: int) -> Sequence[Stored[LedgerNote]]:
            return self._store.notes(seen, kind=kind, since=first, most=PAGE)

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
        optional(text, "premium_model", premium_model)
        first, last = _period(since, until)
        total = self._reading(lambda: self._store.totals(since=first, until=last))
        return total.summary(premium_model=premium_model)

    def by_run(self, run: str, *, premium_model: str | None = None) -> Summary:
        """Return the totals of one run: of all calls with this tag `run`, nested ones too.

        Raises:
            StoreError: the ledger cannot be read.
        """
        optional(text, "premium_model", premium_model)
        rows = self._calls(None, None, text("run", run))
        return Tally().add_rows(rows).summary(premium_model=premium_model)

    def warm_up(self) -> None:
        """Load the prices now, which the first record would do."""
        self.prices.warm_up()

    @property
    def dropped(self) -> int:
        """How many records this object could not write; those that still wait are not among them.

        `flush` first for the final number.
        """
        return self._losses.count

    def flush(self) -> None:
        """Wait until everything recorded so far is written or lost; reading does so by itself.

        In an event loop call it, `summary` and `close` in a thread, as with all that reads a file.

        Raises:
            StoreError: the store fails, or has been locked for five seconds in which nobody wrote;
                records wait for it.
        """
        _raise(self._writer.wait())

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _calls(
        self, since: datetime | None, until: datetime | None, run: str | None = None
    ) -> Iterator[tuple[CallRecord | None, bool]]:
        """Iterate over the calls, each with whether its row is damaged."""
        first, last = _period(since, until)
        stored = None if run is None else tags({RUN: text("run", run)})[RUN]

        def page(seen: int) -> Sequence[Stored[CallRecord]]:
            return self._store.calls(seen, since=first, until=last, most=PAGE, run=stored)

        return self._read(page)

    def _read(self, page: Callable[[int], Sequence[Stored[T]]]) -> Iterator[tuple[T | None, bool]]:
        for found in pages(lambda seen: self._reading(partial(page, seen), first=not seen)):
            yield from ((each.value, each.damaged) for each in found)

    def _reading(self, read: Callable[[], T], *, first: bool = True) -> T:
        """Read from the store, at first after what waits was written."""
        if first:
            for source in self._all_sources():
                source.settle()
        try:
            self._write_all()
            self._check_open()
            return read()
        except StoreError as error:
            raise StoreError(f"{self._store.name} cannot be read: {error}") from error

    def _write_all(self) -> None:
        """Have written what this process recorded, also with another object for the same file."""
        if self._lasting:
            _raise(known_writers.wait_for(self._store.name))
        else:
            self.flush()

    def _all_sources(self) -> list[RecordSource]:
        with self._sources_lock:
            return list(self._sources)

    def _check_open(self) -> None:
        if self._writer.closed:
            raise StoreError("the ledger is closed")


def _period(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    first = -ALWAYS if since is None else micros(since, "since")
    return first, ALWAYS if until is None else micros(until, "until")


def _raise(error: StoreError | None) -> None:
    if error is not None:
        raise type(error)(f"records wait to be written: {error}") from error


def checked_ledger(ledger: Ledger | None) -> Ledger | None:
    """Return a component's `ledger`; a path is not taken for one.

    Raises:
        ConfigurationError: it is no ledger; the message says how to make one.
    """
    if ledger is not None:
        with_methods("ledger", ledger, "note", give="a Ledger('costs.sqlite')")
    return ledger
