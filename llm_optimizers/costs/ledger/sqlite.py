"""A ledger in an SQLite file or in memory; tables.py has its tables."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from llm_optimizers.connections.schema import transaction
from llm_optimizers.connections.sqlite import Database
from llm_optimizers.costs.ledger import rows, upkeep
from llm_optimizers.costs.ledger.fields import UNREADABLE, moment, text_or_none
from llm_optimizers.costs.ledger.hours import Hours
from llm_optimizers.costs.ledger.rollups import (
    ALWAYS,
    FIRST,
    LAST,
    Period,
    bounds,
    by_hour,
    hour_of,
)
from llm_optimizers.costs.ledger.store import Counts, Entry, Stored
from llm_optimizers.costs.ledger.tables import COLUMNS, SCHEMA
from llm_optimizers.costs.ledger.words import OWN_RUN, RUN, Words, packed
from llm_optimizers.costs.parts import TAG
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.costs.tally import Tally
from llm_optimizers.errors import StoreError

__all__ = ["SQLiteLedgerStore"]

_OF_AN_ENTRY = (  # which no file could keep, see `LedgerWriter`
    *(sqlite3.IntegrityError, sqlite3.DataError),
    *(sqlite3.ProgrammingError, sqlite3.InterfaceError),
)
_PAGE = 1_000
# Everything interpolated below is a constant.
_INSERT_CALL = (
    f"INTO calls (seq, {', '.join(COLUMNS)}) VALUES (:seq, {', '.join(f':{c}' for c in COLUMNS)})"
)
_INSERT_NOTE = (
    "INSERT INTO notes (id, time, kind, payload) VALUES (:id, :time, :kind, :payload) "
    "ON CONFLICT (id) DO NOTHING"
)
_SELECT = f"SELECT seq, {', '.join(COLUMNS)} FROM calls"  # noqa: S608
_NO_TIME = f"(time IS NULL OR time < {FIRST} OR time >= {LAST})"  # text and blobs are greater
_SELECT_CALLS = (
    # In the order written: an index of times would have to be sorted for each page.
    f"{_SELECT} WHERE seq > ? AND (+time >= ? AND +time < ? OR {_NO_TIME.replace('time', '+time')})"
    " ORDER BY seq LIMIT ?"
)
_SELECT_RUN = (
    f"{_SELECT} WHERE seq IN "  # noqa: S608
    f"(SELECT seq FROM calls WHERE run <> {OWN_RUN} AND run IN (:number, :run) "
    f"UNION SELECT seq FROM calls WHERE id = :id AND run = {OWN_RUN}) AND seq > :after "
    f"AND (time >= :since AND time < :until OR {_NO_TIME}) ORDER BY seq LIMIT :most"
)
_SELECT_BETWEEN = (
    f"{_SELECT} WHERE time >= ? AND time < ? AND (time, seq) > (?, ?) ORDER BY time, seq LIMIT ?"
)
_SELECT_WITHOUT_TIME = f"{_SELECT} WHERE {_NO_TIME}"
_SELECT_NOTES = (
    "SELECT seq, id, time, kind, payload FROM notes "
    "WHERE seq > ? AND (kind = ?2 OR ?2 IS NULL) AND time >= ? ORDER BY seq LIMIT ?"
)


class SQLiteLedgerStore:
    """See `LedgerStore`; `wait` is the number of seconds to wait for another process."""

    try_s = 0.1  # readers in this process wait meanwhile

    def __init__(self, path: str | os.PathLike[str] | None, *, wait: float) -> None:
        self._database = Database(path, SCHEMA, wait=wait, undecodable_as_bytes=True)

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

    def last_change(self) -> object:
        """See `LedgerStore`."""
        return self._database.last_change()

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """See `LedgerStore`."""
        notes = [rows.note_values(entry) for entry in entries if isinstance(entry, LedgerNote)]
        calls = []
        for entry in entries:
            if isinstance(entry, CallRecord):
                values = rows.call_values(entry)
                calls.append((rows.as_stored(entry, values), values))
        more = by_hour((record, 1) for record, _ in calls)
        try:
            with self._database.transaction(wait=wait) as connection:
                connection.executemany(_INSERT_NOTE, notes)
                group = _Group(connection)
                for record, values in calls:
                    group.write(record, values)
                group.add_to_hours(more)
        except StoreError as error:
            if isinstance(error.__cause__, _OF_AN_ENTRY):
                raise error.__cause__ from None
            raise

    def calls(
        self, after: int, *, since: int, until: int, most: int, run: str | None = None
    ) -> Sequence[Stored[CallRecord]]:
        """See `LedgerStore`."""
        with self._reading() as connection:
            if run is None:
                found = connection.execute(_SELECT_CALLS, (after, since, until, most))
            else:
                keys = {"number": Words(connection).find(TAG + RUN, run), "run": run}
                where = {"after": after, "since": since, "until": until, "most": most}
                found = connection.execute(_SELECT_RUN, {**keys, "id": packed(run), **where})
            return [Stored(seq, *read) for seq, read in _read(connection, found.fetchall())]

    def notes(
        self, after: int, *, kind: str | None, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """See `LedgerStore`."""
        with self._reading() as connection:
            page = connection.execute(
                _SELECT_NOTES, (after, text_or_none(kind), since, most)
            ).fetchall()
            return [Stored(row["seq"], *rows.read_note(row)) for row in page]

    def totals(self, *, since: int, until: int) -> Tally:
        """See `LedgerStore`."""
        period = Period.of(since, until)
        total, stale = self._believed(period)
        if stale and self._repair(stale):
            total, stale = self._believed(period)
        for start, end in (*period.edges, *map(bounds, stale)):
            total.add_rows(self._between(start, end))
        with self._reading() as connection:
            page = connection.execute(_SELECT_WITHOUT_TIME).fetchall()
            total.add_rows(read for _, read in _read(connection, page))
            _see_all(connection, since, until, total)
        return total

    def check(self, *, repair: bool) -> Sequence[int]:
        """See `LedgerStore`."""
        with self._reading() as connection:
            hours = Hours(connection, Words(connection))
            known = {row[0] for row in connection.execute("SELECT hour FROM hours")}
            known.update(hours.with_calls(hour_of(FIRST), hour_of(LAST)))
        return [hour for hour in sorted(known) if not self._is_right(hour, repair=repair)]

    def prune(self, before: int, *, most: int) -> int:
        """See `LedgerStore`."""
        with self._reading() as connection:
            hours = Hours(connection, Words(connection))
            old = list(islice(hours.with_calls(hour_of(FIRST), hour_of(before)), most))
        if not old:
            self._give_back()
        return sum(self._prune_hour(hour) for hour in old)

    def prune_notes(self, before: int, *, kinds: Sequence[str], most: int) -> int:
        """See `LedgerStore`."""
        with self._database.transaction() as connection:
            return upkeep.delete_notes(connection, before, kinds, most)

    def counts(self, before: int = ALWAYS) -> Counts:
        """See `LedgerStore`."""
        with self._reading() as connection:
            return upkeep.counts(connection, before)

    def pruned(self) -> frozenset[int]:
        """See `LedgerStore`."""
        with self._reading() as connection:
            return upkeep.pruned_hours(connection)

    def known(self, entries: Sequence[Entry]) -> int:
        """See `LedgerStore`."""
        with self._reading() as connection:
            return upkeep.known(connection, entries)

    def problems(self) -> Sequence[str]:
        """See `LedgerStore`."""
        with self._reading() as connection:
            return upkeep.problems(connection)

    def close(self) -> None:
        """See `LedgerStore`."""
        self._database.close()

    def _prune_hour(self, hour: int) -> int:
        with self._database.transaction() as connection:
            hours = Hours(connection, Words(connection))
            _, stale = hours.believed(Period.of_hour(hour))
            if stale:
                hours.replace(hour, _tally(connection, hour))
            return hours.prune(hour)

    def _give_back(self) -> None:
        """Delete the names of runs that have no calls, and return free pages to the disk."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM words WHERE kind = ? AND id NOT IN "
                "(SELECT run FROM calls WHERE run <> 0)",
                (TAG + RUN,),
            )
        self._database.shrink()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.connection() as connection:
                yield connection
        except UNREADABLE as error:
            raise StoreError(f"{self.name} cannot be read: {error}") from error

    def _between(self, start: int, end: int) -> Iterator[tuple[CallRecord | None, bool]]:
        """Read the calls of a time in pages, so that writers do not wait."""
        last: tuple[object, int] = (start - 1, 0)
        while True:
            with self._reading() as connection:
                page = connection.execute(_SELECT_BETWEEN, (start, end, *last, _PAGE)).fetchall()
                found = [read for _, read in _read(connection, page)]
            yield from found
            if len(page) < _PAGE:
                return
            last = page[-1]["time"], page[-1]["seq"]

    def _believed(self, period: Period) -> tuple[Tally, list[int]]:
        with self._reading() as connection, transaction(connection, begin="BEGIN"):
            return Hours(connection, Words(connection)).believed(period)

    def _repair(self, stale: Iterable[int]) -> bool:
        """Make the totals of hours again; False if the file cannot be written now."""
        try:
            for hour in stale:
                with self._database.transaction() as connection:
                    hours = Hours(connection, Words(connection))
                    if not hours.is_pruned(hour):
                        hours.replace(hour, _tally(connection, hour))
        except (StoreError, *UNREADABLE):
            return False  # they are added up without being kept
        return True

    def _is_right(self, hour: int, *, repair: bool) -> bool:
        with self._reading() as connection, transaction(connection, begin="BEGIN"):
            hours = Hours(connection, Words(connection))
            if hours.is_pruned(hour):
                return True
            stale = bool(hours.stale(Period.of_hour(hour)))
            kept = None if stale else hours.kept(hour)
            right = stale or (kept is not None and kept.same(_tally(connection, hour)))
        if repair and (stale or not right):
            with self._database.transaction() as connection:
                found = _tally(connection, hour)
                hours = Hours(connection, Words(connection))
                hours.replace(hour, found) if found.total.calls else hours.forget(hour)
        return right


class _Group:
    """The calls that are written in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._words = Words(connection)
        self._changes: list[tuple[CallRecord, int]] = []
        self._hours = Hours(connection, self._words)

    def write(self, record: CallRecord, values: Mapping[str, Any]) -> None:
        """Write a call; one whose id is stored is ignored or replaces that one."""
        cells = self._words.small(values)
        stored = self._connection.execute(f"{_SELECT} WHERE id = ?", (cells["id"],)).fetchall()
        if not stored:
            self._connection.execute(f"INSERT {_INSERT_CALL}", {**cells, "seq": None})
            return
        ((seq, (old, damaged)),) = _read(self._connection, stored)
        if old is None or not rows.replaces(record, old):
            self._changes.append((record, -1))
            return
        before = by_hour([(old, 1)])
        with self._hours.undisturbed(() if damaged else before):
            self._connection.execute(f"REPLACE {_INSERT_CALL}", {**cells, "seq": seq})
        self._changes.append((old, -1))

    def add_to_hours(self, more: dict[int, Tally]) -> None:
        """Add what was written to the totals by hour; `more` counts each call as new."""
        for hour, change in by_hour(self._changes).items():
            more.setdefault(hour, Tally()).merge(change)
        for hour, tally in more.items():
            self._hours.add(hour, tally)


def _read(
    connection: sqlite3.Connection, page: Sequence[sqlite3.Row]
) -> list[tuple[int, tuple[CallRecord | None, bool]]]:
    return [(row["seq"], rows.read_call(row)) for row in Words(connection).full(page)]


def _tally(connection: sqlite3.Connection, hour: int) -> Tally:
    """Add up the calls of an hour."""
    cursor = connection.execute(f"{_SELECT} WHERE time >= ? AND time < ?", bounds(hour))
    total = Tally()
    while page := cursor.fetchmany(_PAGE):
        total.add_rows(read for _, read in _read(connection, page))
    return total


def _see_all(connection: sqlite3.Connection, since: int, until: int, total: Tally) -> None:
    """Set when the first and the last call of a period were."""
    first, last = connection.execute(
        "SELECT (SELECT min(time) FROM calls WHERE time >= ?1 AND time < ?2), "
        "(SELECT max(time) FROM calls WHERE time >= ?1 AND time < ?2)",
        (max(since, FIRST), min(until, LAST)),
    ).fetchone()
    if first is not None:
        total.saw(moment(first), moment(last))
