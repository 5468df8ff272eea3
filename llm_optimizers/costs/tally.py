"""Running totals of call records, and the summary made from them.

One way of adding up serves `summarise`, the totals by hour that a ledger keeps, and their repair.
A record can be taken out again (`times` = -1), as when a hit's record is replaced by a fuller one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Self

from llm_optimizers.arguments import instance, optional, text, values
from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.parts import BUCKET, KIND, MODEL, PRICED_BY, REASON, TAG, Part
from llm_optimizers.costs.prices.names import parse_model
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.summary import Breakdown, StrategySaving, Summary
from llm_optimizers.costs.usage import Usage
from llm_optimizers.costs.usage.places import MOST_STORED

__all__ = ["Tally", "summarise"]

_ZERO = Decimal(0)
_NOTHING = Usage()
_add = EXACT.add
_counts = attrgetter(*Usage().as_dict())

NOT_STATED = "not stated"
_SINGLE = frozenset({"run", "subrun"})  # tags of one piece of work: nearly as many as calls


@dataclass(slots=True)
class Tally:
    """Totals of the records added so far; dollar sums are exact.

    `parts` has the totals by dimension and value. `strategies` maps a strategy to the dollars
    saved, the estimated part of them, and the calls. `first` and `last` are those of all records
    that were ever added.
    """

    total: Part = field(default_factory=Part)
    baseline: Decimal = _ZERO
    low: Decimal = _ZERO
    at_least: Decimal = _ZERO
    usage: list[int] = field(default_factory=lambda: [0] * len(_counts(Usage())))
    strategies: dict[str, tuple[Decimal, Decimal, int]] = field(default_factory=dict)
    uncompared: int = 0
    errors: int = 0
    abandoned: int = 0
    estimated: int = 0
    suspicious: int = 0
    damaged: int = 0
    first: datetime | None = None
    last: datetime | None = None
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)

    def add(self, record: CallRecord, times: int = 1, *, damaged: bool = False) -> None:
        """Add one record to the totals, or take it out."""
        one = _part_of(record, times)
        beside = Part(times, 0, 0, one.tokens, one.unpriced, one.cost, one.saved)
        is_request = record.kind == "answer"
        self.total.merge(one if is_request else beside)
        self.usage = [
            n + times * more for n, more in zip(self.usage, _counts(record.usage), strict=True)
        ]
        self.errors += times * (record.status == "error")
        self.abandoned += times * (record.status == "abandoned")
        self.estimated += times * record.estimated
        self.suspicious += times * record.suspicious
        self.damaged += times * damaged
        if times > 0:
            self.saw(record.time, record.time)
        for key in _keys(record):
            self._part(key).merge(one)
        for name, value in record.tags.items():
            if name not in _SINGLE:
                self._part((TAG + name, value)).merge(one if is_request else beside)
        if record.held_out is not None and record.bucket is not None:
            part = self._part((BUCKET, f"{int(record.held_out)}/{record.bucket:02}"))
            part.merge(_compared(record, one, beside))
        self._add_comparison(record, times)

    def add_rows(self, rows: Iterable[tuple[CallRecord | None, bool]]) -> Self:
        """Add rows of a ledger: each with its record, if any, and whether it is damaged."""
        for record, damaged in rows:
            if record is None:
                self.damaged += damaged
            else:
                self.add(record, damaged=damaged)
        return self

    def merge(self, other: Tally) -> None:
        """Add the totals of another tally."""
        self.total.merge(other.total)
        self.baseline = _add(self.baseline, other.baseline)
        self.low = _add(self.low, other.low)
        self.at_least = _add(self.at_least, other.at_least)
        self.usage = [n + more for n, more in zip(self.usage, other.usage, strict=True)]
        for name, sums in other.strategies.items():
            self._add_strategy(name, *sums)
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.first is not None and other.last is not None:
            self.saw(other.first, other.last)
        for key, part in other.parts.items():
            self._part(key).merge(part)

    def same(self, other: Tally) -> bool:
        """Return whether all totals are equal, but for times."""
        return self._comparable() == other._comparable()

    def saw(self, first: datetime, last: datetime) -> None:
        """Widen the time between the first and the last record."""
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)

    def as_json(self) -> str:
        """Return the totals but for times and parts, to be kept by a ledger."""
        total = self.total
        counts = [total.calls, total.requests, total.hits, total.tokens, total.unpriced]
        amounts = map(str, (total.cost, total.saved, self.baseline, self.low, self.at_least))
        strategies = {name: [str(a), str(e), n] for name, (a, e, n) in self.strategies.items()}
        numbers = [getattr(self, name) for name in _NUMBERS]
        return json.dumps(
            [counts, [*amounts], self.usage, strategies, numbers], separators=(",", ":")
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the totals that `as_json` gave.

        Raises:
            ValueError, TypeError, ArithmeticError: the text is damaged.
        """
        counts, amounts, usage, strategies, numbers = json.loads(text)
        cost, saved, baseline, low, at_least = map(Decimal, amounts)
        if len(usage) != len(_counts(Usage())):
            raise ValueError("counts of another version")
        found = cls(
            total=Part.of(counts, cost, saved),
            baseline=baseline,
            low=low,
            at_least=at_least,
            usage=[*map(int, usage)],
            strategies={
                name: (Decimal(a), Decimal(e), int(n)) for name, (a, e, n) in strategies.items()
            },
        )
        for name, n in zip(_NUMBERS, numbers, strict=True):
            setattr(found, name, int(n))
        return found

    def summary(self, *, premium_model: str | None = None) -> Summary:
        """Return the totals as they are shown."""
        models = self._breakdowns(MODEL)
        reasons = sorted(self._of(REASON).items())
        total = self.total
        return Summary(
            requests=total.requests,
            hits=total.hits,
            usage=self._usage(),
            cost=total.cost,
            baseline_cost=self.baseline,
            saved=total.saved,
            saved_low=EXACT.subtract(total.saved, EXACT.subtract(self.baseline, self.low)),
            by_strategy={
                name: StrategySaving(amount=amount, estimated=estimated, calls=calls)
                for name, (amount, estimated, calls) in sorted(self.strategies.items())
                if calls
            },
            by_model=models,
            by_tag=self._by_tag(),
            by_price_source=self._breakdowns(PRICED_BY),
            by_bucket=self._by_bucket(),
            embeddings=self.parts.get((KIND, "embedding"), Part()).breakdown(),
            at_least=self.at_least,
            unpriced_reasons={name: part.calls for name, part in reasons},
            premium_model=premium_model,
            premium_requests=_premium(models, premium_model),
            unpriced=total.unpriced,
            first=self.first,
            last=self.last,
            **{name: getattr(self, name) for name in _NUMBERS},
        )

    def _usage(self) -> Usage:
        counts = (min(count, MOST_STORED) for count in self.usage)
        return Usage(**dict(zip(Usage().as_dict(), counts, strict=True)))

    def _comparable(self) -> Tally:
        strategies = {name: sums for name, sums in self.strategies.items() if sums[2]}
        parts = {key: part for key, part in self.parts.items() if part.calls}
        return replace(self, strategies=strategies, parts=parts, first=None, last=None)

    def _add_comparison(self, record: CallRecord, times: int) -> None:
        if record.at_least is not None and record.cost is None:
            self.at_least = _add(self.at_least, _signed(record.at_least, times))
        if record.cost is None or record.baseline_cost is None:
            self.uncompared += times
            return
        self.baseline = _add(self.baseline, _signed(record.baseline_cost, times))
        low = record.baseline_cost if record.baseline_low is None else record.baseline_low
        self.low = _add(self.low, _signed(low, times))
        for saving in record.savings:
            amount = _signed(saving.amount, times)
            guess = amount if saving.basis == "estimated" else _ZERO
            self._add_strategy(saving.strategy, amount, guess, times)

    def _add_strategy(self, name: str, amount: Decimal, guess: Decimal, calls: int) -> None:
        before = self.strategies.get(name, (_ZERO, _ZERO, 0))
        self.strategies[name] = (_add(before[0], amount), _add(before[1], guess), before[2] + calls)

    def _part(self, key: tuple[str, str]) -> Part:
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Part()
        return part

    def _of(self, dimension: str) -> dict[str, Part]:
        return {value: part for (name, value), part in self.parts.items() if name == dimension}

    def _breakdowns(self, dimension: str) -> dict[str, Breakdown]:
        return {value: part.breakdown() for value, part in sorted(self._of(dimension).items())}

    def _by_tag(self) -> dict[str, dict[str, Breakdown]]:
        found: dict[str, dict[str, Breakdown]] = {}
        for (dimension, value), part in sorted(self.parts.items()):
            if dimension.startswith(TAG):
                found.setdefault(dimension.removeprefix(TAG), {})[value] = part.breakdown()
        return found

    def _by_bucket(self) -> dict[tuple[bool, int], Breakdown]:
        keys = ((value.partition("/"), part) for value, part in sorted(self._of(BUCKET).items()))
        return {(held == "1", int(bucket)): part.breakdown() for (held, _, bucket), part in keys}


_NUMBERS = ("uncompared", "errors", "abandoned", "estimated", "suspicious", "damaged")


def summarise(records: Iterable[CallRecord], *, premium_model: str | None = None) -> Summary:
    """Summarise records. Calls of `premium_model` are found with or without a provider prefix."""
    optional(text, "premium_model", premium_model)
    tally = Tally()
    for record in values("records", records, "CallRecords"):
        tally.add(instance("records", record, CallRecord))
    return tally.summary(premium_model=premium_model)


def _part_of(record: CallRecord, times: int) -> Part:
    """Return the totals of one record."""
    cost, baseline = record.cost, record.baseline_cost
    one = Part(times, times, times * record.hit, times * record.usage.total_tokens)
    if cost is None:
        one.unpriced = times
        return one
    one.cost = _signed(cost, times)
    if baseline is not None:
        one.saved = EXACT.subtract(_signed(baseline, times), one.cost)
    return one


def _keys(record: CallRecord) -> Iterator[tuple[str, str]]:
    """Return the parts that a record belongs to."""
    yield MODEL, record.model
    if record.cost is None:
        yield REASON, record.unpriced or NOT_STATED
    elif record.priced_by is not None:
        yield PRICED_BY, record.priced_by
    if record.kind != "answer":
        yield KIND, record.kind


def _compared(record: CallRecord, one: Part, beside: Part) -> Part:
    """Return what a record adds to its group in a measurement.

    A request is what the app asked and got an answer to: neither an attempt that failed nor what a
    strategy spent beside it, which has no baseline. Without a baseline cost it is in no group: the
    other one has no price for such a call either, and a hit would stand against nothing.
    """
    is_answer = record.kind == "answer" and (record.hit or record.baseline_usage != _NOTHING)
    is_request = is_answer and record.status != "error"
    if record.cost is None or record.baseline_cost is None:
        return (
            Part(calls=one.calls, requests=one.calls, unpriced=one.calls)
            if is_request
            else Part(calls=one.calls)
        )
    return one if is_request else beside


def _signed(amount: Decimal, times: int) -> Decimal:
    return EXACT.plus(amount) if times > 0 else EXACT.minus(amount)


def _premium(models: Mapping[str, Breakdown], premium_model: str | None) -> int | None:
    """Return how many requests the premium model answered, under whatever name."""
    if premium_model is None:
        return None
    wanted = parse_model(premium_model).name
    found = (part for name, part in models.items() if parse_model(name).name == wanted)
    return sum(part.requests - part.hits for part in found)
