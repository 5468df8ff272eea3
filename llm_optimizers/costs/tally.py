"""Running totals over call records: what a summary and each of its breakdowns add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal

from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.usage import Usage

__all__ = ["Tally"]

# Wide enough that no sum of bills is ever rounded, whatever precision the app has set.
_EXACT = Context(prec=60)
_ZERO = Decimal(0)


@dataclass(slots=True)
class Tally:
    """Totals of the records added so far; sums of dollars are exact.

    `strategies` holds dollars saved, the estimated part of them, and calls, by strategy.
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
        """Count one record in."""
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
            self.cost = _EXACT.add(self.cost, record.cost)
        if record.cost is None or record.baseline_cost is None:
            self.uncompared += 1
            return
        self.baseline = _EXACT.add(self.baseline, record.baseline_cost)
        self.saved = _EXACT.add(self.saved, _EXACT.subtract(record.baseline_cost, record.cost))
        for saving in record.savings:
            amount, estimated, calls = self.strategies.get(saving.strategy, (_ZERO, _ZERO, 0))
            guess = saving.amount if saving.basis == "estimated" else _ZERO
            self.strategies[saving.strategy] = (
                _EXACT.add(amount, saving.amount),
                _EXACT.add(estimated, guess),
                calls + 1,
            )
