"""Totals of a ledger, as values, as JSON and as rows of a table.

Sums are exact. Calls that cannot be compared with a baseline are excluded from the comparison and
counted separately: an unpriced call is neither free nor a saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
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
        names = [field.name for field in fields(cls)]
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The number of requests, their cost, and what was saved.

    `requests` counts all records including cache hits; `usage` is what providers billed, so hits
    add nothing. `cost` is the sum over calls with a price. `baseline_cost` and `saved` cover only
    calls whose cost and baseline cost are both known; `uncompared` counts the others, of which
    `unpriced` have no cost. `premium_requests` counts the calls that the premium model answered,
    None if no premium model was given. `damaged` counts the rows of the ledger that could not be
    read in full: they count as far as they could.
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
        """Tokens billed per request, cache hits included."""
        return _share(self.tokens, self.requests)

    @property
    def premium_share(self) -> float | None:
        """The fraction of all requests that the premium model answered."""
        return (
            None if self.premium_requests is None else _share(self.premium_requests, self.requests)
        )

    @property
    def cost_per_request(self) -> Decimal | None:
        """Dollars per priced request, cache hits included."""
        priced = self.requests - self.unpriced
        return self.cost / priced if priced else None

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
            "saved_pct": self.saved_pct,
            "premium_model": self.premium_model,
            "premium_requests": self.premium_requests,
            "premium_share": self.premium_share,
            "unpriced": self.unpriced,
            "uncompared": self.uncompared,
            "errors": self.errors,
            "abandoned": self.abandoned,
            "estimated": self.estimated,
            "first": None if self.first is None else self.first.isoformat(),
            "last": None if self.last is None else self.last.isoformat(),
            "damaged": self.damaged,
            "by_strategy": {name: _plain(part) for name, part in self.by_strategy.items()},
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
        cells += [
            (
                f"  by {shown(name)}",
                dollars(part.amount) + (" (estimated)" if part.estimated else ""),
            )
            for name, part in self.by_strategy.items()
        ]
        other = [
            ("Without a price", self.unpriced),
            ("Left out of the comparison", self.uncompared),
            ("Failed", self.errors),
            ("Abandoned", self.abandoned),
            ("With estimated usage", self.estimated),
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
    values = asdict(part).items()
    return {name: float(v) if isinstance(v, Decimal) else v for name, v in values}


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _percent_points(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.1f}%"
