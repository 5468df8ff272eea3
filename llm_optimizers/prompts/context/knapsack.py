"""A budget filled with sentences: each is worth a probability and costs its tokens.

Greedy by worth against cost, which for many small items is near the best filling. Costs change
as it goes on: the first sentence of a document pays for its title, one that stands alone for the
mark of a gap.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Unit", "fill"]

_GAP_TOKENS = 1
_THRIFT = 0.5
"""Power of a sentence's cost: 0 fills by worth alone, 1 by worth per token."""
_WORTH_ONCE = 20
"""Characters from which a sentence that two documents share is kept once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A sentence: its place, what it is worth, how probable, its tokens and its title's."""

    document: int
    at: int
    text: str
    worth: float
    probability: float
    tokens: int
    title: int


def fill(units: Sequence[Unit], max_tokens: int) -> list[Unit]:
    """The units that are kept, in the order they were picked."""
    return _Filling(units).picks(max_tokens)


class _Filling:
    """The units by document and place, those that are picked, and what they say."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units: dict[int, dict[int, Unit]] = defaultdict(dict)
        self._picked: dict[int, dict[int, Unit]] = defaultdict(dict)
        self._said: set[str] = set()
        for unit in units:
            self._units[unit.document][unit.at] = unit
        self._heap = [self._entry(unit) for unit in units]
        heapq.heapify(self._heap)

    def picks(self, left: int) -> list[Unit]:
        order: list[Unit] = []
        while self._heap:
            _, document, at, cost = heapq.heappop(self._heap)
            unit = self._units[document][at]
            # What became cheaper was entered again: the older entry still has the older cost.
            stale = at in self._picked[document] or cost != self._cost(unit)
            if not stale and cost <= left and self._is_new(unit):
                order.append(unit)
                self._pick(unit)
                left -= cost
        return order

    def _pick(self, unit: Unit) -> None:
        own, picked = self._units[unit.document], self._picked[unit.document]
        cheaper = (unit.at - 1, unit.at + 1) if picked else tuple(own)
        picked[unit.at] = unit
        self._said.add(unit.text.strip())
        for at in cheaper:
            if at in own and at not in picked:
                heapq.heappush(self._heap, self._entry(own[at]))

    def _is_new(self, unit: Unit) -> bool:
        words = unit.text.strip()
        return len(words) < _WORTH_ONCE or words not in self._said

    def _entry(self, unit: Unit) -> tuple[float, int, int, int]:
        cost = self._cost(unit)
        return (-unit.worth / max(1, cost) ** _THRIFT, unit.document, unit.at, cost)

    def _cost(self, unit: Unit) -> int:
        picked = self._picked[unit.document]
        if not picked:
            return unit.tokens + unit.title
        joined = unit.at - 1 in picked or unit.at + 1 in picked
        return unit.tokens + (0 if joined else _GAP_TOKENS)
