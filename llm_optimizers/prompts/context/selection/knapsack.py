"""Fill a token budget with the most valuable parts (a knapsack problem).

Greedy by value against cost, which is near the optimum for many small items. Costs change as
parts are picked: the first part of a document pays for its title, the first one of a table for its
header, and each for the marks of what is left out beside it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Pick", "ScoredPart", "fill_budget", "kept_probability"]

_COST_EXPONENT = 0.5
"""0 orders parts by value alone, 1 by value per token."""
_DEDUPLICATED = 20
"""Characters from which a part that occurs in two documents is kept once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPart:
    """A part that may be kept.

    `at` is its position in the document, `value` what the knapsack maximises, `probability` the
    chance that it contains the answer; `by_clause` has that for each clause of a question that
    asks for several things. `title_tokens` is the cost of the document's title and `mark_tokens`
    that of a mark beside it. `needs` are the positions of the parts that are kept with it. If it
    is not `alone`, it is kept only because another needs it.
    """

    document: int
    at: int
    text: str
    value: float
    probability: float
    tokens: int
    title_tokens: int
    mark_tokens: int = 1
    needs: tuple[int, ...] = ()
    alone: bool = True
    by_clause: tuple[float, ...] = ()


class Pick(NamedTuple):
    """A picked part with those it needs that were not picked before, and what they cost."""

    parts: tuple[ScoredPart, ...]
    tokens: int


def fill_budget(parts: Sequence[ScoredPart], max_tokens: int) -> list[Pick]:
    """Return what to keep, in the order it was picked."""
    return _Knapsack(parts).pick_all(max_tokens)


def kept_probability(parts: Sequence[ScoredPart], picks: Sequence[Pick]) -> float:
    """Return the probability that the answer is kept; a part in two documents is kept once.

    A question that asks for several things is answered only if all are: it is that of the one that
    is kept least likely. Their product would be too low where one place answers all.
    """
    documents: dict[int, dict[int, ScoredPart]] = defaultdict(dict)
    for part in parts:
        documents[part.document][part.at] = part
    picked = {(part.document, part.at) for pick in picks for part in pick.parts}
    contents = {_content(documents[at][place], documents[at]) for at, place in picked}
    kept = [
        part.by_clause or (part.probability,)
        for part in parts
        if (part.document, part.at) in picked
        or (_is_long(part) and _content(part, documents[part.document]) in contents)
    ]
    return min(1.0, *map(sum, zip(*kept, strict=True))) if kept else 0.0


def _is_long(part: ScoredPart) -> bool:
    return len(part.text.strip()) >= _DEDUPLICATED


def _content(part: ScoredPart, own: Mapping[int, ScoredPart]) -> tuple[str, ...]:
    """Return the text of a part; a row, member or statement with what it stands in."""
    return (part.text.strip(), *(own[at].text for at in part.needs))


class _Knapsack:
    """The parts by document and position, those that are picked, and their texts."""

    def __init__(self, parts: Sequence[ScoredPart]) -> None:
        self._parts: dict[int, dict[int, ScoredPart]] = defaultdict(dict)
        self._needing: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._picked: dict[int, set[int]] = defaultdict(set)
        self._texts: set[tuple[str, ...]] = set()
        for part in parts:
            self._parts[part.document][part.at] = part
            for at in part.needs:
                self._needing[part.document, at].append(part.at)
        self._heap = [self._entry(part) for part in parts if part.alone]
        heapq.heapify(self._heap)

    def pick_all(self, left: int) -> list[Pick]:
        order: list[Pick] = []
        while self._heap:
            _, document, at, cost = heapq.heappop(self._heap)
            part = self._parts[document][at]
            # A part that became cheaper was pushed again; its old entry has the old cost.
            stale = at in self._picked[document] or cost != self._cost(part)
            if not stale and cost <= left and self._is_new(part):
                order.append(Pick(self._missing(part), cost))
                self._pick(part)
                left -= cost
        return order

    def _missing(self, part: ScoredPart) -> tuple[ScoredPart, ...]:
        """Return a part and those it needs that are not picked."""
        own, picked = self._parts[part.document], self._picked[part.document]
        return (part, *(own[at] for at in part.needs if at not in picked))

    def _pick(self, part: ScoredPart) -> None:
        own, picked = self._parts[part.document], self._picked[part.document]
        added = [each.at for each in self._missing(part)]
        cheaper: Iterable[int] = own
        if picked:
            cheaper = {
                near
                for at in added
                for near in (at - 1, at + 1, *self._needing.get((part.document, at), ()))
            }
        picked.update(added)
        self._texts.add(self._content(part))
        for at in cheaper:
            if at in own and at not in picked and own[at].alone:
                heapq.heappush(self._heap, self._entry(own[at]))

    def _is_new(self, part: ScoredPart) -> bool:
        return not _is_long(part) or self._content(part) not in self._texts

    def _content(self, part: ScoredPart) -> tuple[str, ...]:
        return _content(part, self._parts[part.document])

    def _entry(self, part: ScoredPart) -> tuple[float, int, int, int]:
        cost = self._cost(part)
        return (-part.value / max(1, cost) ** _COST_EXPONENT, part.document, part.at, cost)

    def _cost(self, part: ScoredPart) -> int:
        """Return the tokens that picking a part adds; a filled gap saves its mark."""
        own, picked = self._parts[part.document], self._picked[part.document]
        tokens = part.tokens + sum(own[at].tokens for at in part.needs if at not in picked)
        marks = sum(at in own and at not in picked for at in (part.at - 1, part.at + 1))
        if not picked:
            return tokens + part.title_tokens + marks * part.mark_tokens
        if not picked.isdisjoint(part.needs):
            return tokens
        return max(0, tokens + (marks - 1) * part.mark_tokens)
