"""A ledger in a PostgreSQL database.

Groups of entries are written one after the other, under an advisory lock that ends with the
transaction (https://www.postgresql.org/docs/current/explicit-locking.html): the numbers of an
identity column are given out before their rows can be seen, and a reader that goes on after the
highest number it saw would miss a row that is committed late. The same lock protects the totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from llm_optimizers.arguments import string
from llm_optimizers.costs.ledger import rows
from llm_optimizers.costs.ledger.fields import moment, text
from llm_optimizers.costs.ledger.postgres.hours import Hours
from llm_optimizers.costs.ledger.postgres.server import SECONDS, PostgresServer
from llm_optimizers.costs.ledger.postgres.tables import KIND, Tables, call_row, key_of, note_row
from llm_optimizers.costs.ledger.rollups import ALWAYS, FIRST, LAST, Period, bounds, by_hour
from llm_optimizers.costs.ledger.store import Counts, Entry, Stored
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.costs.tally import Tally
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.forks import ProcessLock

__all__ = ["PostgresLedgerStore"]

T = TypeVar("T")

_LONG_S = 600.0  # to add up all calls of a ledger


class PostgresLedgerStore:
    """See `LedgerStore`; for any number of threads, processes and machines.

    Args:
        url: postgresql://user:password@host:port/database; libpq's settings may follow as its
            query, and `schema`, which is `llm_optimizers` unless given.
        wait: seconds to wait for another writer.
        seconds: for writing a group or reading a page, after which a server that hangs is given up.
        create: make the tables if there are none.

    An entry that the server refuses raises `ValueError`: the others can be written.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.
    """

    path: Path | None = None
    try_s = 2.0  # writers take turns in the order they came: a shorter try loses its place

    def __init__(
        self, url: str, *, wait: float = 1.0, seconds: float = SECONDS, create: bool = True
    ) -> None:
        self.url = string("url", url)
        self._server = PostgresServer(url, KIND, self._prepare, wait=wait, seconds=seconds)
        self._tables = Tables(self._server.schema, self._server.place, create=create)
        self._writing = ProcessLock()

    @property
    def name(self) -> str:
        """See `LedgerStore`."""
        return self._server.name

    def open(self) -> None:
        """See `LedgerStore`."""
        self._server.run(_nothing)

    def last_change(self) -> object:
        """See `LedgerStore`; what other machines write is not looked at."""
        return None

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """See `LedgerStore`."""
        notes = [note_row(each) for each in entries if isinstance(each, LedgerNote)]
        calls = [call_row(each) for each in entries if not isinstance(each, LedgerNote)]

        def insert_all(connection: sa.Connection) -> None:
            if notes:
                connection.execute(self._tables.insert_note, notes)
            if calls:
                self._write_calls(connection, calls)

        self._change(insert_all, wait=wait)

    def calls(
        self, after: int, *, since: int, until: int, most: int, run: str | None = None
    ) -> Sequence[Stored[CallRecord]]:
        """See `LedgerStore`."""
        table, time = self._tables.calls, self._tables.calls.c.time
        inside = sa.and_(time >= since, time < until)
        where = sa.and_(table.c.seq > after, sa.or_(inside, time < FIRST, time >= LAST))
        if run is not None:
            where = sa.and_(where, table.c.run == key_of(run))
        return self._read(_page(table, where, most), rows.read_call)

    def notes(
        self, after: int, *, kind: str | None, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """See `LedgerStore`."""
        table = self._tables.notes
        where = sa.and_(table.c.seq > after, table.c.time >= since)
        if kind is not None:
            where = sa.and_(where, table.c.kind == key_of(text(kind)))
        return self._read(_page(table, where, most), rows.read_note)

    def totals(self, *, since: int, until: int) -> Tally:
        """See `LedgerStore`."""
        period = Period.of(since, until)

        def add_up(connection: sa.Connection) -> Tally:
            hours = Hours(connection, self._tables)
            stale = hours.stale(period)
            total = hours.total(period, stale)
            if total is None:  # the totals themselves are damaged
                total, stale = Tally(), sorted(hours.counts(period))
            for start, end in (*period.edges, *map(bounds, stale)):
                total.merge(hours.tally(start, end))
            total.merge(hours.tally_without_time())
            ends = hours.ends(since, until)
            if ends is not None:
                total.saw(moment(ends[0]), moment(ends[1]))
            return total

        self._repair(
            self._server.run(lambda c: Hours(c, self._tables).stale(period), snapshot=True)
        )
        return self._server.run(add_up, seconds=_LONG_S, snapshot=True)

    def check(self, *, repair: bool) -> Sequence[int]:
        """See `LedgerStore`."""
        ever = Period.of(FIRST, LAST)

        def all_hours(connection: sa.Connection) -> list[int]:
            hours = Hours(connection, self._tables)
            known = hours.known(ever)
            pruned = {hour for hour, calls in known.items() if calls is None}
            return sorted((known.keys() | hours.counts(ever).keys()) - pruned)

        found = self._server.run(all_hours, seconds=_LONG_S, snapshot=True)
        right = {hour: self._is_right(hour) for hour in found}
        for hour in found if repair else ():
            if right[hour] is not True:
                self._make_again(hour)
        return [hour for hour in found if right[hour] is False]

    def prune(self, before: int, *, most: int) -> int:
        """See `LedgerStore`."""
        found = self._server.run(lambda c: Hours(c, self._tables).oldest(before, most))
        return sum(self._prune(hour) for hour in found)

    def prune_notes(self, before: int, *, kinds: Sequence[str], most: int) -> int:
        """See `LedgerStore`."""
        table = self._tables.notes
        names = [key_of(text(kind)) for kind in kinds]
        old = sa.select(table.c.seq).where(table.c.kind.in_(names), table.c.time < before)
        some = sa.delete(table).where(table.c.seq.in_(old.limit(most)))
        return self._change(lambda connection: connection.execute(some).rowcount)

    def counts(self, before: int = ALWAYS) -> Counts:
        """See `LedgerStore`."""
        calls, notes = self._tables.calls, self._tables.notes
        number = sa.select(sa.func.count()).where(calls.c.time < before)
        kinds = sa.select(notes.c.kind, sa.func.count()).where(notes.c.time < before)

        def count(connection: sa.Connection) -> Counts:
            found: Any = connection.execute(kinds.group_by(notes.c.kind))
            return Counts(calls=connection.scalar(number) or 0, notes=dict(found.all()))

        return self._server.run(count, seconds=_LONG_S, snapshot=True)

    def pruned(self) -> frozenset[int]:
        """See `LedgerStore`."""
        table = self._tables.hours
        asked = sa.select(table.c.hour).where(table.c.pruned)
        return frozenset(self._server.run(lambda connection: connection.scalars(asked).all()))

    def known(self, entries: Sequence[Entry]) -> int:
        """See `LedgerStore`."""
        notes = {key_of(text(each.id)) for each in entries if isinstance(each, LedgerNote)}
        calls = {key_of(text(each.id)) for each in entries if not isinstance(each, LedgerNote)}
        asked = [
            sa.select(sa.func.count()).where(table.c.id == sa.any_(sa.bindparam(None, ids, _TEXTS)))
            for table, ids in ((self._tables.notes, list(notes)), (self._tables.calls, list(calls)))
        ]
        return self._server.run(lambda c: sum(c.scalar(each) or 0 for each in asked))

    def problems(self) -> Sequence[str]:
        """See `LedgerStore`; the server guards its own files."""
        return []

    def close(self) -> None:
        """See `LedgerStore`."""
        self._server.close()

    def _prepare(self, connection: sa.Connection) -> None:
        self._tables.ensure(connection)

    def _read(
        self,
        page: sa.Select[Any],
        read: Callable[[Mapping[str, Any]], tuple[T | None, bool]],
    ) -> list[Stored[T]]:
        found: Any = self._server.run(lambda connection: connection.execute(page).mappings().all())
        return [Stored(row["seq"], *read(row)) for row in found]

    def _change(
        self,
        use: Callable[[sa.Connection], T],
        *,
        wait: float | None = None,
        seconds: float | None = None,
    ) -> T:
        """Return what `use` gets, with no other writer in between, here or on other machines."""

        def alone(connection: sa.Connection) -> T:
            self._tables.lock_writers(connection)
            return use(connection)

        # Those of this process wait here, so that they need one connection.
        if not self._writing.acquire(-1 if wait is None else wait):
            raise BusyError(f"{self.name} is in use by another thread")
        try:
            return self._server.run(alone, wait=wait, seconds=seconds)
        finally:
            self._writing.release()

    def _write_calls(
        self, connection: sa.Connection, calls: Sequence[tuple[CallRecord, dict[str, Any]]]
    ) -> None:
        table, hours = self._tables.calls, Hours(connection, self._tables)
        names = list({row["id"] for _, row in calls})
        asked = sa.select(table).where(table.c.id == sa.any_(sa.bindparam("ids", names, _TEXTS)))
        stored = {row["id"]: rows.read_call(row) for row in _dicts(connection, asked)}
        known = {name: record for name, (record, _) in stored.items()}
        new: dict[str, dict[str, Any]] = {}
        changed: dict[str, dict[str, Any]] = {}
        changes: list[tuple[CallRecord, int]] = []
        for record, row in calls:
            name = row["id"]
            old = known.get(name)
            if name in known:
                if old is None or not rows.replaces(record, old):
                    continue
                changes.append((old, -1))
            (changed if name in stored else new)[name] = row
            known[name] = record
            changes.append((record, 1))
        if new:
            connection.execute(sa.insert(table), list(new.values()))
        for name, row in changed.items():
            connection.execute(sa.update(table).where(table.c.id == name).values(row))
        hours.add(by_hour(changes))
        for name in changed:
            was, damaged = stored[name]
            for hour in by_hour([(was, 1)]) if was is not None and damaged else ():
                hours.forget(hour)

    def _repair(self, stale: Iterable[int]) -> None:
        """Make the totals of hours again, as far as this user may write."""
        with suppress(StoreError):
            for hour in stale:
                self._make_again(hour)

    def _make_again(self, hour: int) -> None:
        def make(connection: sa.Connection) -> None:
            _made(Hours(connection, self._tables), hour)

        self._change(make, seconds=_LONG_S)

    def _is_right(self, hour: int) -> bool | None:
        """Return whether the totals of an hour are right, None if nobody believes them."""

        def compare(connection: sa.Connection) -> bool | None:
            hours = Hours(connection, self._tables)
            if hours.stale(Period.of_hour(hour)):
                return None
            kept = hours.kept(hour)
            found = hours.tally(*bounds(hour))
            return hours.is_pruned(hour) or (kept is not None and kept.same(found))

        return self._server.run(compare, seconds=_LONG_S, snapshot=True)

    def _prune(self, hour: int) -> int:
        def prune(connection: sa.Connection) -> int:
            hours = Hours(connection, self._tables)
            if hours.stale(Period.of_hour(hour)) or hours.kept(hour) is None:
                _made(hours, hour)
            return hours.prune(hour)

        return self._change(prune, seconds=_LONG_S)


_TEXTS = sa.ARRAY(sa.Text)


def _nothing(_connection: sa.Connection) -> None:
    """Use a connection for nothing: its first use has checked the tables."""


def _page(table: sa.Table, where: sa.ColumnElement[bool], most: int) -> sa.Select[Any]:
    return sa.select(table).where(where).order_by(table.c.seq).limit(most)


def _dicts(connection: sa.Connection, asked: sa.Select[Any]) -> Iterable[dict[str, Any]]:
    found: Any = connection.execute(asked).mappings()
    return [dict(row) for row in found]


def _made(hours: Hours, hour: int) -> None:
    """Make the totals of an hour again from its calls."""
    found = hours.tally(*bounds(hour))
    if found.total.calls:
        hours.replace(hour, found)
    else:
        hours.forget(hour)
