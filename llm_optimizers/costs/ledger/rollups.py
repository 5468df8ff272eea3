"""Totals by hour, as every store keeps them: the hours of a period, what a group of entries adds to
each, and which totals are believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from llm_optimizers.costs.amounts import sum_of
from llm_optimizers.costs.ledger.fields import micros
from llm_optimizers.costs.parts import MODEL, Part
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.tally import Tally

__all__ = [
    "ALWAYS",
    "FIRST",
    "HOUR",
    "LAST",
    "PART_COLUMNS",
    "Period",
    "agrees",
    "bounds",
    "by_hour",
    "hour_of",
    "stale_hours",
]

HOUR = 3_600_000_000
"""Microseconds; hours are counted from 1970 in UTC, so a day of any length has whole ones."""
ALWAYS = 2**63 - 1
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The times that can be read: years 1 to 9999, in microseconds since 1970."""
PART_COLUMNS = tuple(each.name for each in fields(Part))
"""The totals of a part."""


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

    @classmethod
    def of_hour(cls, hour: int) -> Period:
        """Return the period of one hour."""
        return cls(first=hour, end=hour + 1, edges=())


def bounds(hour: int) -> tuple[int, int]:
    """Return when an hour begins and ends, in microseconds."""
    return hour * HOUR, (hour + 1) * HOUR


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


def stale_hours(counted: Mapping[int, int | None], calls: Mapping[int, int]) -> list[int]:
    """Return the hours whose totals are missing, or counted other calls than there are now.

    `counted` is how many calls the totals of each hour counted, None for a pruned hour, which is
    never stale; `calls` is how many there are.
    """
    return sorted(
        hour
        for hour in counted.keys() | calls.keys()
        if counted.get(hour, -1) is not None and counted.get(hour, -1) != calls.get(hour, 0)
    )


def agrees(total: Tally) -> bool:
    """Whether totals and their parts, which are kept apart, are of the same calls."""
    models = [part for (dimension, _), part in total.parts.items() if dimension == MODEL]
    same = sum(part.calls for part in models) == total.total.calls
    return same and sum_of(part.cost for part in models) == total.total.cost
