"""A budget filled with sentences: each is worth a probability and costs its tokens.

Greedy by worth against cost, which for many small items is near the best filling. Costs change
as it goes on: the first sentence of a document pays for its title, one that stands alone for the
mark of a gap.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Unit", "fill"]

Entry: TypeAlias = tuple[float, int, int, int]

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
    return _Filling(units, max_tokens).picks()


class _Filling:
    """The picks so far, and a heap of what may come next."""

    def __init__(self, units: Sequence[Unit], max_tokens: int) -> None:
        self._left = max_tokens
        self._places = {(unit.document, unit.at): unit for unit in units}
        self._documents: dict[int, list[Unit]] = {}
        for unit in units:
            self._documents.setdefault(unit.document, []).append(unit)
        self._taken: set[tuple[int, int]] = set()
        self._opened: set[int] = set()
        self._said: set[str] = set()
        self._heap: list[Entry] = [self._entry(unit) for unit in units]
        heapq.heapify(self._heap)

    def picks(self) -> list[Unit]:
        picked: list[Unit] = []
        while self._heap:
            _, document, at, cost = heapq.heappop(self._heap)
            unit = self._places[document, at]
            stale = (document, at) in self._taken or cost != self._cost(unit)
            if not stale and cost <= self._left and self._is_new(unit):
                picked.append(unit)
                self._take(unit, cost)
        return picked

    def _take(self, unit: Unit, cost: int) -> None:
        self._taken.add((unit.document, unit.at))
        self._said.add(unit.text.strip())
        self._left -= cost
        cheaper = self._beside(unit)
        if unit.document not in self._opened:
            self._opened.add(unit.document)
            cheaper = self._documents[unit.document]
        for other in cheaper:
            if (other.document, other.at) not in self._taken:
                heapq.heappush(self._heap, self._entry(other))

    def _is_new(self, unit: Unit) -> bool:
        words = unit.text.strip()
        return len(words) < _WORTH_ONCE or words not in self._said

    def _entry(self, unit: Unit) -> Entry:
        cost = self._cost(unit)
        return (-unit.worth / max(1, cost) ** _THRIFT, unit.document, unit.at, cost)

    def _cost(self, unit: Unit) -> int:
        if unit.document not in self._opened:
            return unit.tokens + unit.title
        beside = any((o.document, o.at) in self._taken for o in self._beside(unit))
        return unit.tokens + (0 if beside else _GAP_TOKENS)

    def _beside(self, unit: Unit) -> list[Unit]:
        places = ((unit.document, unit.at - 1), (unit.document, unit.at + 1))
        return [self._places[place] for place in places if place in self._places]
