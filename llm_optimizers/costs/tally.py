"""Running totals of call records, and the summary made from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from llm_optimizers.arguments import instance, optional, text, values
from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.prices.names import parse_model
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.summary import Breakdown, StrategySaving, Summary
from llm_optimizers.costs.usage import Usage

__all__ = ["Tally", "summarise", "summarise_rows"]

_MOST = 2**63 - 1  # the largest count of a `Usage`
_ZERO = Decimal(0)


@dataclass(slots=True)
class Tally:
    """Totals of the records added so far; dollar sums are exact.

    `strategies` maps a strategy to the dollars saved, the estimated part of them, and the calls.
    """

    requests: int = 0
    hits: int = 0
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Usage().as_dict(), 0))
    cost: Decimal = _ZERO
    baseline: Decimal = _ZERO
    saved: Decimal = _ZERO
    strategies: dict[str, tuple[Decimal, Decimal, int]] = field(default_factory=dict)
    unpriced: int = 0
    uncompared: int = 0
    errors: int = 0
    abandoned: int = 0
    estimated: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, record: CallRecord) -> None:
        """Add one record to the totals."""
        self.requests += 1
        self.hits += record.hit
        for name in self.usage:
            self.usage[name] += getattr(record.usage, name)
        self.errors += record.status == "error"
        self.abandoned += record.status == "abandoned"
        self.estimated += record.estimated
        self.first = record.time if self.first is None else min(self.first, record.time)
        self.last = record.time if self.last is None else max(self.last, record.time)
        self._add_money(record)

    def _add_money(self, record: CallRecord) -> None:
        if record.cost is None:
            self.unpriced += 1
        else:
            self.cost = EXACT.add(self.cost, record.cost)
        if record.cost is None or record.baseline_cost is None:
            self.uncompared += 1
            return
        self.baseline = EXACT.add(self.baseline, record.baseline_cost)
        self.saved = EXACT.add(self.saved, EXACT.subtract(record.baseline_cost, record.cost))
        for saving in record.savings:
            amount, estimated, calls = self.strategies.get(saving.strategy, (_ZERO, _ZERO, 0))
            guess = saving.amount if saving.basis == "estimated" else _ZERO
            self.strategies[saving.strategy] = (
                EXACT.add(amount, saving.amount),
                EXACT.add(estimated, guess),
                calls + 1,
            )


def summarise(records: Iterable[CallRecord], *, premium_model: str | None = None) -> Summary:
    """Summarise records. Calls of `premium_model` are found with or without a provider prefix."""
    optional(text, "premium_model", premium_model)
    total, premium = Tally(), 0
    wanted = None if premium_model is None else parse_model(premium_model).name
    models: dict[str, Tally] = {}
    tags: dict[str, dict[str, Tally]] = {}
    for record in values("records", records, "CallRecords"):
        total.add(instance("records", record, CallRecord))
        models.setdefault(record.model, Tally()).add(record)
        for tag, value in record.tags.items():
            tags.setdefault(tag, {}).setdefault(value, Tally()).add(record)
        if wanted is not None and not record.hit and parse_model(record.model).name == wanted:
            premium += 1
    return Summary(
        requests=total.requests,
        hits=total.hits,
        usage=Usage(**{name: min(count, _MOST) for name, count in total.usage.items()}),
        cost=total.cost,
        baseline_cost=total.baseline,
        saved=total.saved,
        by_strategy={
            name: StrategySaving(amount=amount, estimated=estimated, calls=calls)
            for name, (amount, estimated, calls) in sorted(total.strategies.items())
        },
        by_model={name: _breakdown(models[name]) for name in sorted(models)},
        by_tag={
            tag: {value: _breakdown(parts[value]) for value in sorted(parts)}
            for tag, parts in sorted(tags.items())
        },
        premium_model=premium_model,
        premium_requests=None if premium_model is None else premium,
        unpriced=total.unpriced,
        uncompared=total.uncompared,
        errors=total.errors,
        abandoned=total.abandoned,
        estimated=total.estimated,
        first=total.first,
        last=total.last,
    )


def summarise_rows(
    rows: Iterable[tuple[CallRecord | None, bool]], *, premium_model: str | None = None
) -> Summary:
    """Summarise the rows of a ledger: each with its record, if any, and whether it is damaged."""
    damaged = 0

    def records() -> Iterator[CallRecord]:
        nonlocal damaged
        for record, is_damaged in rows:
            damaged += is_damaged
            if record is not None:
                yield record

    return replace(summarise(records(), premium_model=premium_model), damaged=damaged)


def _breakdown(tally: Tally) -> Breakdown:
    return Breakdown(
        requests=tally.requests,
        hits=tally.hits,
        tokens=tally.usage["input_tokens"] + tally.usage["output_tokens"],
        cost=tally.cost,
        saved=tally.saved,
        unpriced=tally.unpriced,
    )
