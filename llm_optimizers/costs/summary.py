"""Totals of a ledger, as values, as JSON and as rows of a table.

Sums are exact. Calls that cannot be compared with a baseline are excluded from the comparison and
counted separately: an unpriced call is neither free nor a saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.usage import Usage
from llm_optimizers.shown import shown

__all__ = ["Breakdown", "StrategySaving", "Summary", "dollars"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySaving:
    """Dollars that one strategy saved over `calls`; `estimated` is the estimated part of them."""

    amount: Decimal
    estimated: Decimal
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Totals of the calls with the same model or tag."""

    requests: int
    hits: int
    tokens: int
    cost: Decimal
    saved: Decimal
    unpriced: int

    @classmethod
    def of(cls, parts: Sequence[Breakdown]) -> Breakdown:
        """Add several breakdowns up."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in names})


NO_CALLS = Breakdown(requests=0, hits=0, tokens=0, cost=Decimal(0), saved=Decimal(0), unpriced=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The number of requests, their cost, and what was saved.

    `requests` counts all records including cache hits, but not `embeddings`, which are in the
    dollars and tokens; `usage` is what providers billed, so hits
    add nothing. `cost` is the sum over calls with a price. `baseline_cost` and `saved` cover only
    calls whose cost and baseline cost are both known; `uncompared` counts the others, of which
    `unpriced` have no cost. `premium_requests` counts the calls that the premium model answered,
    None if no premium model was given. `damaged` counts the rows of the ledger that could not be
    read in full: they count as far as they could.

    `saved_low` is what was saved if the provider's own prompt cache had helped the baseline as much
    as it can. `by_tag` has no `run` and `subrun`, which have nearly as many values as there are
    calls: see `Ledger.by_run`. `by_price_source` tells costs by the price list from those by the
    user's own prices and those that the provider reported. `unpriced_reasons` counts the calls
    without a cost by why; `at_least` is the known part of their cost. `suspicious` calls reported
    usage that cannot be right. `by_bucket` has the totals by group and bucket of a `HoldoutGroup`,
    for `true_effect`; only answers that were not charged to a strategy are requests there.
    """

    requests: int
    hits: int
    usage: Usage
    cost: Decimal
    baseline_cost: Decimal
    saved: Decimal
    by_strategy: Mapping[str, StrategySaving]
    by_model: Mapping[str, Breakdown]
    by_tag: Mapping[str, Mapping[str, Breakdown]]
    premium_model: str | None
    premium_requests: int | None
    unpriced: int
    uncompared: int
    errors: int
    abandoned: int
    estimated: int
    first: datetime | None
    last: datetime | None
    damaged: int = 0
    suspicious: int = 0
    saved_low: Decimal = Decimal(0)
    by_price_source: Mapping[str, Breakdown] = field(default_factory=dict)
    unpriced_reasons: Mapping[str, int] = field(default_factory=dict)
    at_least: Decimal = Decimal(0)
    embeddings: Breakdown = NO_CALLS
    by_bucket: Mapping[tuple[bool, int], Breakdown] = field(default_factory=dict)

    @property
    def hit_rate(self) -> float | None:
        """Cache hits per request; None without requests."""
        return _share(self.hits, self.requests)

    @property
    def tokens(self) -> int:
        """Input and output tokens billed."""
        return self.usage.total_tokens

    @property
    def tokens_per_request(self) -> float | None:
        """Tokens billed per request, cache hits included; those of embeddings are left out."""
        return _share(self.tokens - self.embeddings.tokens, self.requests)

    @property
    def premium_share(self) -> float | None:
        """The fraction of all requests that the premium model answered."""
        return (
            None if self.premium_requests is None else _share(self.premium_requests, self.requests)
        )

    @property
    def cost_per_request(self) -> Decimal | None:
        """Dollars per priced request, cache hits included; embeddings are left out."""
        priced = self.requests - (self.unpriced - self.embeddings.unpriced)
        return (self.cost - self.embeddings.cost) / priced if priced else None

    @property
    def cost_per_1000(self) -> Decimal | None:
        """Dollars per 1,000 priced requests, cache hits included."""
        each = self.cost_per_request
        return None if each is None else each * 1000

    @property
    def saved_pct(self) -> float | None:
        """Dollars saved as a percentage of the baseline cost; None without a baseline cost."""
        return float(100 * self.saved / self.baseline_cost) if self.baseline_cost else None

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values; dollars become floats."""
        return {
            "requests": self.requests,
            "hits": self.hits,
            "hit_rate": self.hit_rate,
            "tokens": self.tokens,
            "tokens_per_request": self.tokens_per_request,
            "usage": self.usage.as_dict(),
            "cost": float(self.cost),
            "cost_per_request": _number(self.cost_per_request),
            "cost_per_1000": _number(self.cost_per_1000),
            "baseline_cost": float(self.baseline_cost),
            "saved": float(self.saved),
            "saved_low": float(self.saved_low),
            "saved_pct": self.saved_pct,
            "premium_model": self.premium_model,
            "premium_requests": self.premium_requests,
            "premium_share": self.premium_share,
            "unpriced": self.unpriced,
            "unpriced_reasons": dict(self.unpriced_reasons),
            "at_least": float(self.at_least),
            "embeddings": _plain(self.embeddings),
            "uncompared": self.uncompared,
            "errors": self.errors,
            "abandoned": self.abandoned,
            "estimated": self.estimated,
            "suspicious": self.suspicious,
            "first": None if self.first is None else self.first.isoformat(),
            "last": None if self.last is None else self.last.isoformat(),
            "damaged": self.damaged,
            "by_strategy": {name: _plain(part) for name, part in self.by_strategy.items()},
            "by_price_source": {name: _plain(part) for name, part in self.by_price_source.items()},
            "by_model": {name: _plain(part) for name, part in self.by_model.items()},
            "by_tag": {
                tag: {value: _plain(part) for value, part in parts.items()}
                for tag, parts in self.by_tag.items()
            },
        }

    def __str__(self) -> str:
        """Return the rows of `table`, one a line."""
        rows = self.table()
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)

    def table(self) -> list[tuple[str, str]]:
        """Return a label and a value for each figure, in display order; some zeros are omitted."""
        each = self.tokens_per_request
        cells = [
            ("Requests", f"{self.requests:,}"),
            ("Cache hits", f"{self.hits:,} ({_percent(self.hit_rate)})"),
            ("Tokens billed", f"{self.tokens:,}"),
            ("Tokens a request", "-" if each is None else f"{each:,.1f}"),
        ]
        if self.premium_model is not None:
            cells.append((f"On {shown(self.premium_model)}", _percent(self.premium_share)))
        cells += [
            ("Cost of the priced calls" if self.unpriced else "Cost", dollars(self.cost)),
            ("Cost a request", dollars(self.cost_per_request)),
            ("Cost per 1,000 requests", dollars(self.cost_per_1000)),
            ("Without optimisation", dollars(self.baseline_cost)),
            ("Saved", f"{dollars(self.saved)} ({_percent_points(self.saved_pct)})"),
        ]
        if self.saved_low != self.saved:
            cells.append(("  at least, with the provider's own cache", dollars(self.saved_low)))
        cells += [
            (
                f"  by {shown(name)}",
                dollars(part.amount) + (" (estimated)" if part.estimated else ""),
            )
            for name, part in self.by_strategy.items()
        ]
        return cells + self._beside()

    def _beside(self) -> list[tuple[str, str]]:
        """Return what is not shown if there is none of it."""
        cells, embeddings = [], self.embeddings
        reported = self.by_price_source.get("provider")
        if reported is not None and self.cost:
            share = _percent(float(reported.cost / self.cost))
            cells.append(("As the provider reported it", f"{dollars(reported.cost)} ({share})"))
        if embeddings.requests:
            cost = dollars(embeddings.cost)
            cells.append(("Embeddings, in the cost", f"{embeddings.requests:,} ({cost})"))
        if self.unpriced:
            cells.append(("Without a price", f"{self.unpriced:,}"))
            cells += [(f"  {shown(why)}", f"{n:,}") for why, n in self.unpriced_reasons.items()]
        if self.at_least:
            cells.append(("  known part of their cost", dollars(self.at_least)))
        other = [
            ("Left out of the comparison", self.uncompared),
            ("Failed", self.errors),
            ("Abandoned", self.abandoned),
            ("With estimated usage", self.estimated),
            ("With suspicious usage", self.suspicious),
            ("Damaged rows, counted as far as they can be read", self.damaged),
        ]
        return cells + [(label, f"{count:,}") for label, count in other if count]


def dollars(amount: Decimal | None) -> str:
    """Format dollars: with cents from $1, with four significant digits below."""
    if amount is None:
        return "-"
    sign, size = ("-", -amount) if amount < 0 else ("", amount)
    if size == 0 or size >= 1:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.{3 - size.adjusted()}f}"


def _plain(part: StrategySaving | Breakdown) -> dict[str, float]:
    values = ((name, getattr(part, name)) for name in part.__slots__)  # there may be thousands
    return {name: float(v) if isinstance(v, Decimal) else v for name, v in values}


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _percent_points(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}%"
