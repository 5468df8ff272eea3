"""Totals of the records with one value of a dimension: a model, a tag, a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.summary import Breakdown

__all__ = ["BUCKET", "KIND", "MODEL", "PRICED_BY", "REASON", "TAG", "Part"]

_ZERO = Decimal(0)

# The dimensions of `Tally.parts`; a tag's is `TAG` and its name.
MODEL, PRICED_BY, REASON, BUCKET, KIND, TAG = (
    *("model", "priced_by", "unpriced", "bucket", "kind"),
    "#",
)


@dataclass(slots=True)
class Part:
    """Totals of the records with one value of a dimension.

    `calls` counts all records, `requests` those that answer the app. `saved` is a sum over the
    records whose cost and baseline cost are both known.
    """

    calls: int = 0
    requests: int = 0
    hits: int = 0
    tokens: int = 0
    unpriced: int = 0
    cost: Decimal = _ZERO
    saved: Decimal = _ZERO

    @classmethod
    def of(cls, counts: Iterable[int], cost: Decimal, saved: Decimal) -> Self:
        """Return the totals in the order of the fields."""
        calls, requests, hits, tokens, unpriced = map(int, counts)
        return cls(calls, requests, hits, tokens, unpriced, cost, saved)

    def merge(self, other: Part) -> None:
        """Add the totals of another part."""
        self.calls += other.calls
        self.requests += other.requests
        self.hits += other.hits
        self.tokens += other.tokens
        self.unpriced += other.unpriced
        self.cost = EXACT.add(self.cost, other.cost)
        self.saved = EXACT.add(self.saved, other.saved)

    def breakdown(self) -> Breakdown:
        """Return the totals as they are shown."""
        return Breakdown(
            requests=self.requests,
            hits=self.hits,
            tokens=self.tokens,
            cost=self.cost,
            saved=self.saved,
            unpriced=self.unpriced,
        )
