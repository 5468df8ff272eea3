"""The totals by hour in a ledger's SQLite file; each use is in one transaction.

An hour's totals are believed if they counted as many calls as the hour has. Otherwise they are made
again from the calls. Those of a pruned hour, whose calls were deleted, are all there is of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from operator import attrgetter

from llm_optimizers.costs.amounts import sum_of
from llm_optimizers.costs.ledger.fields import UNREADABLE, moment
from llm_optimizers.costs.ledger.rollups import (
    PART_COLUMNS,
    Period,
    agrees,
    bounds,
    hour_of,
    stale_hours,
)
from llm_optimizers.costs.ledger.words import Words
from llm_optimizers.costs.parts import Part
from llm_optimizers.costs.tally import Tally
from llm_optimizers.costs.usage.places import MOST_STORED

__all__ = ["Hours"]

_SUMS = ", ".join(
    f"group_concat({name})" if name in ("tokens", "cost", "saved") else f"sum({name})"
    for name in PART_COLUMNS
)
_SELECT_PARTS = (
    f"SELECT word, {_SUMS} FROM parts WHERE hour >= ? AND hour < ? "  # noqa: S608
    "AND hour IN (SELECT hour FROM hours) "
    "AND hour NOT IN (SELECT value FROM json_each(?)) GROUP BY word"
)
_SELECT_PART = f"SELECT {', '.join(PART_COLUMNS)} FROM parts WHERE hour = ? AND word = ?"  # noqa: S608
_PUT_PART = (
    f"INSERT OR REPLACE INTO parts (hour, word, {', '.join(PART_COLUMNS)}) "  # noqa: S608
    f"VALUES (?, ?{', ?' * len(PART_COLUMNS)})"
)
_values = attrgetter(*PART_COLUMNS)


class Hours:
    """The totals by hour, in one transaction of a connection."""

    def __init__(self, connection: sqlite3.Connection, words: Words) -> None:
        self._connection = connection
        self._words = words

    def add(self, hour: int, more: Tally) -> None:
        """Add what was just written to an hour; one that has no totals gets them if it is new."""
        row = self._row(hour)
        if row is None:
            calls = more.total.calls
            if calls and self.count(hour, calls + 1) == calls:
                self.replace(hour, more)
            return
        try:
            total = Tally.from_json(row["totals"])
            total.merge(more)
            merged = [(key, self._merged(hour, key, part)) for key, part in more.parts.items()]
        except UNREADABLE:
            self.forget(hour)
            return
        self._connection.execute(
            "UPDATE hours SET calls = calls + ?, totals = ? WHERE hour = ?",
            (more.total.calls, total.as_json(), hour),
        )
        for key, part in merged:
            self._put(hour, key, part)

    def replace(self, hour: int, total: Tally) -> None:
        """Write the totals of an hour, instead of those that it has."""
        self.forget(hour)
        self._connection.execute(
            "INSERT INTO hours (hour, calls, totals) VALUES (?, ?, ?)",
            (hour, total.total.calls, total.as_json()),
        )
        for key, part in total.parts.items():
            self._put(hour, key, part)

    def forget(self, hour: int) -> None:
        """Delete the totals of an hour, which are made again when they are asked for."""
        self._connection.execute("DELETE FROM hours WHERE hour = ? AND pruned = 0", (hour,))
        if self._row(hour) is None:
            self._connection.execute("DELETE FROM parts WHERE hour = ?", (hour,))

    def prune(self, hour: int) -> int:
        """Delete the calls of an hour that has totals, which stay; return how many they were."""
        start, end = bounds(hour)
        row = self._connection.execute(
            "SELECT min(time), max(time) FROM calls WHERE time >= ? AND time < ?", (start, end)
        ).fetchone()
        # Marked before: the triggers leave the totals of a pruned hour alone.
        self._connection.execute(
            "UPDATE hours SET calls = 0, pruned = 1, first = min(ifnull(first, ?1), ?1), "
            "last = max(ifnull(last, ?2), ?2) WHERE hour = ?3",
            (*row, hour),
        )
        done = self._connection.execute(
            "DELETE FROM calls WHERE time >= ? AND time < ?", (start, end)
        )
        return done.rowcount

    def count(self, hour: int, most: int = MOST_STORED) -> int:
        """Return how many calls an hour has, counted up to `most`."""
        (found,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM calls WHERE time >= ? AND time < ? LIMIT ?)",
            (*bounds(hour), most),
        ).fetchone()
        return int(found)

    def with_calls(self, first: int, end: int) -> Iterator[int]:
        """Iterate over the hours that have calls."""
        while first < end:
            (time,) = self._connection.execute(
                "SELECT min(time) FROM calls WHERE time >= ? AND time < ?",
                (bounds(first)[0], bounds(end)[0]),
            ).fetchone()
            if time is None:
                return
            yield (hour := int(hour_of(time)))  # a time may be a fraction
            first = hour + 1

    def stale(self, period: Period) -> list[int]:
        """Return the whole hours of a period whose totals are missing or not believed."""
        known = dict(
            self._connection.execute(
                "SELECT hour, CASE WHEN pruned THEN NULL ELSE calls END FROM hours "
                "WHERE hour >= ? AND hour < ?",
                (period.first, period.end),
            ).fetchall()
        )
        found = {hour: self.count(hour) for hour in self.with_calls(period.first, period.end)}
        return stale_hours(known, found)

    def total(self, period: Period, without: Collection[int]) -> Tally | None:
        """Add up the whole hours of a period but for some; None if they do not fit together."""
        total, left_out = Tally(), json.dumps(sorted(without))
        rows = self._connection.execute(
            "SELECT totals, first, last FROM hours WHERE hour >= ? AND hour < ? "
            "AND hour NOT IN (SELECT value FROM json_each(?))",
            (period.first, period.end, left_out),
        )
        try:
            for text, first, last in rows:
                total.merge(Tally.from_json(text))
                if first is not None:
                    total.saw(moment(first), moment(last))
            total.parts = self._parts(period, left_out)
        except UNREADABLE:
            return None
        return total if agrees(total) else None

    def believed(self, period: Period) -> tuple[Tally, list[int]]:
        """Add up the whole hours of a period; return also the hours that could not be believed."""
        stale = self.stale(period)
        total = self.total(period, stale)
        if total is None:
            stale = sorted({*stale, *(hour for hour in self._all(period) if not self.kept(hour))})
            total = self.total(period, stale) or Tally()
        return total, stale

    @contextmanager
    def undisturbed(self, hours: Iterable[int]) -> Iterator[None]:
        """Keep the totals of hours, whatever the triggers do to them in the block."""
        before = [
            self._connection.execute("SELECT * FROM hours WHERE hour = ?", (hour,)).fetchone()
            for hour in hours
        ]
        yield
        for row in before:
            if row is not None:
                marks = ", ".join("?" * len(row))
                self._connection.execute(f"REPLACE INTO hours VALUES ({marks})", tuple(row))  # noqa: S608

    def kept(self, hour: int) -> Tally | None:
        """Return the totals that an hour has, None if it has none that can be read."""
        return None if self._row(hour) is None else self.total(Period.of_hour(hour), ())

    def is_pruned(self, hour: int) -> bool:
        """Return whether the calls of an hour were deleted."""
        row = self._row(hour)
        return row is not None and bool(row["pruned"])

    def _all(self, period: Period) -> list[int]:
        rows = self._connection.execute(
            "SELECT hour FROM hours WHERE hour >= ? AND hour < ?", (period.first, period.end)
        )
        return [row[0] for row in rows]

    def _row(self, hour: int) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._connection.execute(
            "SELECT totals, pruned FROM hours WHERE hour = ?", (hour,)
        ).fetchone()
        return found

    def _parts(self, period: Period, left_out: str) -> dict[tuple[str, str], Part]:
        rows = self._connection.execute(
            _SELECT_PARTS, (period.first, period.end, left_out)
        ).fetchall()
        self._words.load(row[0] for row in rows)
        found = {}
        for word, calls, requests, hits, tokens, unpriced, cost, saved in rows:
            key = self._words.word(word)
            if key is None:
                raise ValueError(f"there is no word {word}")
            found[key] = Part(
                calls, requests, hits, _whole(tokens), unpriced, _amount(cost), _amount(saved)
            )
        return found

    def _merged(self, hour: int, key: tuple[str, str], more: Part) -> Part:
        row = self._connection.execute(_SELECT_PART, (hour, self._words.number(*key))).fetchone()
        if row is None:
            return more
        *counts, cost, saved = row
        part = Part.of(counts, Decimal(cost), Decimal(saved))
        part.merge(more)
        return part

    def _put(self, hour: int, key: tuple[str, str], part: Part) -> None:
        word = self._words.number(*key)
        if not part.calls:
            self._connection.execute("DELETE FROM parts WHERE hour = ? AND word = ?", (hour, word))
            return
        self._connection.execute(_PUT_PART, (hour, word, *map(_cell, _values(part))))


def _cell(value: int | Decimal) -> int | str:
    """Return a total as SQLite keeps it: dollars as text, and a count that it has no room for."""
    return value if isinstance(value, int) and abs(value) <= MOST_STORED else str(value)


def _whole(joined: object) -> int:
    return sum(map(int, str(joined).split(",")))


def _amount(joined: object) -> Decimal:
    return sum_of(map(Decimal, str(joined).split(",")))
