"""The totals by hour of a ledger in a PostgreSQL database; each use is in one transaction.

As in an SQLite file, an hour's totals are believed if they counted as many calls as the hour has,
and those of a pruned hour are all there is of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from llm_optimizers.costs.ledger import rows
from llm_optimizers.costs.ledger.fields import UNREADABLE, moment
from llm_optimizers.costs.ledger.postgres.tables import Tables, part_key
from llm_optimizers.costs.ledger.rollups import (
    FIRST,
    HOUR,
    LAST,
    PART_COLUMNS,
    Period,
    agrees,
    bounds,
    hour_of,
    stale_hours,
)
from llm_optimizers.costs.parts import Part
from llm_optimizers.costs.tally import Tally

__all__ = ["Hours"]

_PAGE = 1_000


class Hours:
    """The totals by hour, in one transaction."""

    def __init__(self, connection: sa.Connection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables
        time = tables.calls.c.time
        # Rounded down, also before 1970.
        self._hour = (time - ((time % HOUR) + HOUR) % HOUR) // HOUR

    def add(self, changes: Mapping[int, Tally]) -> None:
        """Add what was just written; an hour that has no totals gets them if it is new."""
        table = self._tables.hours
        found = self._connection.execute(sa.select(table).where(table.c.hour.in_(list(changes))))
        known = {row.hour: row for row in found}
        counts = self.counts(list(changes.keys() - known.keys()))
        for hour, more in changes.items():
            if hour not in known:
                if counts.get(hour, 0) == more.total.calls > 0:
                    self.replace(hour, more)
                continue
            try:
                total = Tally.from_json(known[hour].totals)
            except UNREADABLE:
                self.forget(hour)
                continue
            total.merge(more)
            self._connection.execute(
                sa.update(table)
                .where(table.c.hour == hour)
                .values(calls=table.c.calls + more.total.calls, totals=total.as_json())
            )
            self._add_parts(hour, more)

    def replace(self, hour: int, total: Tally) -> None:
        """Write the totals of an hour, instead of those that it has."""
        self.forget(hour)
        self._connection.execute(
            sa.insert(self._tables.hours).values(
                hour=hour, calls=total.total.calls, totals=total.as_json()
            )
        )
        self._add_parts(hour, total)

    def forget(self, hour: int) -> None:
        """Delete the totals of an hour that was not pruned; they are made again when asked for."""
        hours, parts = self._tables.hours, self._tables.parts
        where = sa.and_(hours.c.hour == hour, sa.not_(hours.c.pruned))
        self._connection.execute(sa.delete(hours).where(where))
        if not self.is_pruned(hour):
            self._connection.execute(sa.delete(parts).where(parts.c.hour == hour))

    def prune(self, hour: int) -> int:
        """Delete the calls of an hour that has totals, which stay; return how many they were."""
        calls, hours = self._tables.calls, self._tables.hours
        here = _between(calls, *bounds(hour))
        ends = self._connection.execute(
            sa.select(sa.func.min(calls.c.time), sa.func.max(calls.c.time)).where(here)
        ).one()
        self._connection.execute(
            sa.update(hours)
            .where(hours.c.hour == hour)
            .values(
                calls=0,
                pruned=True,
                first=sa.func.least(hours.c.first, ends[0]),
                last=sa.func.greatest(hours.c.last, ends[1]),
            )
        )
        return self._connection.execute(sa.delete(calls).where(here)).rowcount

    def counts(self, hours: Collection[int] | Period) -> dict[int, int]:
        """Return how many calls hours have."""
        calls, number = self._tables.calls, self._hour.label("hour")
        asked = sa.select(number, sa.func.count()).group_by(number)
        if isinstance(hours, Period):
            asked = asked.where(_between(calls, hours.first * HOUR, hours.end * HOUR))
        elif not hours:
            return {}
        else:
            inside = (_between(calls, *bounds(hour)) for hour in hours)
            asked = asked.where(sa.or_(*inside))
        return {int(hour): count for hour, count in self._connection.execute(asked)}

    def oldest(self, before: int, most: int) -> list[int]:
        """Return the first whole hours before a time that have calls."""
        time, found = self._tables.calls.c.time, list[int]()
        start, end = FIRST, before // HOUR * HOUR
        while len(found) < most:
            asked = sa.select(sa.func.min(time)).where(time >= start, time < end)
            first = self._connection.scalar(asked)
            if first is None:
                break
            found.append(hour_of(first))
            start = bounds(found[-1])[1]
        return found

    def known(self, period: Period) -> dict[int, int | None]:
        """Return how many calls the totals of hours counted; None for a pruned hour."""
        table = self._tables.hours
        asked = sa.select(table.c.hour, table.c.calls, table.c.pruned).where(
            table.c.hour >= period.first, table.c.hour < period.end
        )
        found = self._connection.execute(asked)
        return {hour: None if pruned else calls for hour, calls, pruned in found}

    def stale(self, period: Period) -> list[int]:
        """Return the whole hours of a period whose totals are missing or not believed."""
        return stale_hours(self.known(period), self.counts(period))

    def total(self, period: Period, without: Collection[int]) -> Tally | None:
        """Add up the whole hours of a period but for some; None if they do not fit together."""
        hours, total = self._tables.hours, Tally()
        asked = sa.select(hours.c.totals, hours.c.first, hours.c.last)
        try:
            for text, first, last in self._connection.execute(
                asked.where(_inside(hours, period, without))
            ):
                total.merge(Tally.from_json(text))
                if first is not None:
                    total.saw(moment(first), moment(last))
        except UNREADABLE:
            return None
        total.parts = self._parts(period, without)
        return total if agrees(total) else None

    def kept(self, hour: int) -> Tally | None:
        """Return the totals that an hour has, None if it has none that can be read."""
        period = Period.of_hour(hour)
        return self.total(period, ()) if hour in self.known(period) else None

    def is_pruned(self, hour: int) -> bool:
        """Return whether the calls of an hour were deleted."""
        table = self._tables.hours
        asked = sa.select(table.c.pruned).where(table.c.hour == hour)
        return bool(self._connection.scalar(asked))

    def tally(self, start: int, end: int) -> Tally:
        """Add up the calls of a time, in microseconds."""
        return self._tally(_between(self._tables.calls, start, end))

    def tally_without_time(self) -> Tally:
        """Add up the calls whose time is none, which are in every period."""
        time = self._tables.calls.c.time
        return self._tally(sa.or_(time < FIRST, time >= LAST))

    def ends(self, since: int, until: int) -> tuple[int, int] | None:
        """Return when the first and the last call of a time were, None without calls."""
        time = self._tables.calls.c.time
        here = _between(self._tables.calls, max(since, FIRST), min(until, LAST))
        asked = sa.select(sa.func.min(time), sa.func.max(time)).where(here)
        first, last = self._connection.execute(asked).one()
        return None if first is None else (first, last)

    def _tally(self, where: sa.ColumnElement[bool]) -> Tally:
        asked = sa.select(self._tables.calls).where(where).execution_options(yield_per=_PAGE)
        total = Tally()
        for page in self._connection.execute(asked).mappings().partitions():
            total.add_rows(rows.read_call(dict(row)) for row in page)
        return total

    def _parts(self, period: Period, without: Collection[int]) -> dict[tuple[str, str], Part]:
        table = self._tables.parts
        sums = [sa.func.sum(table.c[name]) for name in PART_COLUMNS]
        asked = sa.select(table.c.dimension, table.c.value, *sums).group_by(
            table.c.dimension, table.c.value
        )
        found = self._connection.execute(asked.where(_inside(table, period, without)))
        return {
            (dimension, value): Part.of(counts, cost, saved)
            for dimension, value, *counts, cost, saved in found
        }

    def _add_parts(self, hour: int, total: Tally) -> None:
        made = [
            {"hour": hour, "key": part_key(*key), "dimension": key[0], "value": key[1]}
            | asdict(part)
            for key, part in total.parts.items()
        ]
        if made:
            parts = self._tables.parts
            self._connection.execute(self._tables.add_part, made)
            empty = sa.and_(parts.c.hour == hour, parts.c.calls == 0)
            self._connection.execute(sa.delete(parts).where(empty))


def _between(calls: sa.Table, start: int, end: int) -> sa.ColumnElement[bool]:
    return sa.and_(calls.c.time >= start, calls.c.time < end)


def _inside(table: sa.Table, period: Period, without: Iterable[int]) -> sa.ColumnElement[bool]:
    hour = table.c.hour
    return sa.and_(hour >= period.first, hour < period.end, hour.not_in(list(without)))
