"""What the ledger holds: calls with what they cost and would have cost, and notes of events.

No record has room for a prompt or an answer: what is not there cannot leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError

__all__ = ["JSON", "Basis", "CallRecord", "LedgerNote", "Saving", "Status"]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Basis: TypeAlias = Literal["measured", "estimated"]
Status: TypeAlias = Literal["ok", "error", "abandoned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Dollars one strategy saved on a call; negative when it cost more than it saved.

    `strategy` is a family and, where there are several, a kind: `cache.exact`, `cache.semantic`,
    `routing`, `prompts`, `batching`.
    """

    strategy: str
    amount: Decimal
    basis: Basis = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call an app asked for, and its counterfactual.

    `cost` is everything billed for it, None when no price is known. `baseline_cost` is what it
    would have cost without any strategy, None when that cannot be said. A cache hit has zero
    usage and the strategy that served it in `hit_strategy`. `baseline_usage` is the usage the
    counterfactual was priced for, None when it is `usage`. `error` is the name of an exception
    class and never its text.

    Raises:
        ConfigurationError: `time` is naive.
    """

    id: str
    time: datetime
    model: str
    usage: Usage
    cost: Decimal | None
    baseline_model: str
    baseline_cost: Decimal | None
    provider: str | None = None
    baseline_usage: Usage | None = None
    tier: ServiceTier = "standard"
    hit_strategy: str | None = None
    savings: tuple[Saving, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    latency_s: float | None = None
    status: Status = "ok"
    estimated: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ConfigurationError("a record's time must be aware: datetime.now(UTC)")
        if self.time.tzinfo is not UTC:
            object.__setattr__(self, "time", self.time.astimezone(UTC))

    @property
    def hit(self) -> bool:
        """Whether a cache answered, so that no model was called."""
        if self.hit_strategy is not None:
            return True
        cached = any(saving.strategy.startswith("cache.") for saving in self.savings)
        return cached and self.usage.total_tokens == 0

    @property
    def saved(self) -> Decimal | None:
        """Baseline less cost; None unless both are known."""
        if self.cost is None or self.baseline_cost is None:
            return None
        return self.baseline_cost - self.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNote:
    """An event beside the calls: a decision, a label, an experiment's arm."""

    id: str
    time: datetime
    kind: str
    payload: Mapping[str, JSON]
