"""Totals by hour: which hours a period covers, and what a group of entries adds to each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llm_optimizers.costs.ledger.fields import micros
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.tally import Tally

__all__ = ["ALWAYS", "FIRST", "HOUR", "LAST", "Period", "by_hour", "hour_of"]

HOUR = 3_600_000_000
"""Microseconds; hours are counted from 1970 in UTC, so a day of any length has whole ones."""
ALWAYS = 2**63 - 1
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The times that can be read: years 1 to 9999, in microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The hours from `first` up to but not including `end` lie wholly in a period; `edges` do not.

    An edge is a time in microseconds and the time before which it ends.
    """

    first: int
    end: int
    edges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, since: int, until: int) -> Period:
        """Split the time from `since` up to but not including `until`, in microseconds."""
        since, until = max(since, FIRST), min(until, LAST)
        first, end = -(-since // HOUR), until // HOUR
        if first > end:  # both lie in one hour
            return cls(first=first, end=first, edges=((since, until),))
        edges = (since, first * HOUR), (end * HOUR, until)
        return cls(first=first, end=end, edges=tuple((a, b) for a, b in edges if a < b))


def hour_of(time: int) -> int:
    """Return the hour of a time in microseconds."""
    return time // HOUR


def by_hour(changes: Iterable[tuple[CallRecord, int]]) -> dict[int, Tally]:
    """Add up records by hour, each as often as given: -1 takes it out."""
    found: dict[int, Tally] = {}
    for record, times in changes:
        hour = hour_of(micros(record.time))
        tally = found.get(hour)
        if tally is None:
            tally = found[hour] = Tally()
        tally.add(record, times)
    return found
