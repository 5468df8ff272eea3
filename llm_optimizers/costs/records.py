"""What the ledger stores: calls with their cost and baseline cost, and notes about events.

Records have no field for a prompt or an answer, so that none can leak from a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from types import NoneType
from typing import Literal, Protocol, TypeAlias, get_args

from llm_optimizers import arguments
from llm_optimizers.costs.amounts import EXACT, dollars_or_none
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.usage import Usage
from llm_optimizers.holdout import BUCKETS

__all__ = [
    "JSON",
    "NO_USAGE",
    "Basis",
    "CallKind",
    "CallRecord",
    "LedgerNote",
    "PricedBy",
    "Progress",
    "RecordSource",
    "Saving",
    "Status",
]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Basis: TypeAlias = Literal["measured", "estimated"]
Status: TypeAlias = Literal["ok", "error", "abandoned"]
CallKind: TypeAlias = Literal["answer", "embedding"]
"""What a model was called for; only answers count as requests."""
Progress: TypeAlias = Literal["unsent", "sent", "answered"]
"""How far a failed call came: the provider bills nothing, or what was sent and what came of an
answer until then, or a whole answer that the client could not use."""
PricedBy: TypeAlias = Literal["list", "own", "provider"]
"""Where a cost comes from: the price list, the user's own price, or what the provider says it
billed."""
NO_USAGE = "no usage"
"""Why a call has no cost whose tokens nobody reported and nobody could count."""

_TEXT = (str, NoneType)
_AMOUNT = (Decimal, NoneType)
_KINDS: Mapping[str, arguments.Kinds] = {
    "id": str,
    "model": str,
    "usage": Usage,
    "cost": _AMOUNT,
    "baseline_model": str,
    "baseline_cost": _AMOUNT,
    "provider": _TEXT,
    "baseline_usage": (Usage, NoneType),
    "tier": str,
    "status": str,
    "hit_strategy": _TEXT,
    "savings": tuple,
    "tags": (dict, Mapping),
    "latency_s": (float, Real, NoneType),
    "estimated": bool,
    "error": _TEXT,
    "priced_by": _TEXT,
    "unpriced": _TEXT,
    "at_least": _AMOUNT,
    "suspicious": bool,
    "held_out": (bool, NoneType),
    "baseline_low": _AMOUNT,
    "kind": str,
}
_check_kinds = arguments.fields_check(_KINDS)
_TIERS = frozenset(get_args(ServiceTier))
_STATUSES = frozenset(get_args(Status))
_CALL_KINDS = frozenset(get_args(CallKind))
_PRICED_BY = frozenset(get_args(PricedBy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """The dollars that one strategy saved on a call; negative if it cost more than it saved.

    `strategy` is one of `cache.exact`, `cache.semantic`, `routing`, `prompts`, `batching`, `tier`.
    """

    strategy: str
    amount: Decimal
    basis: Basis = "measured"

    def __post_init__(self) -> None:
        arguments.string("strategy", self.strategy)
        object.__setattr__(self, "amount", arguments.amount("amount", self.amount))
        arguments.one_of("basis", self.basis, get_args(Basis))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One model call or cache hit, with its cost and the cost of its baseline.

    The baseline is the same call without any strategy.

    `cost` is everything billed for the call, in dollars; None if no price is known. What is no
    amount of dollars (NaN, infinity, a negative cost) is unknown too, never free.
    `baseline_cost` is None if it is unknown. A cache hit has zero usage, and `hit_strategy` names
    the cache that served it. `baseline_usage` is the usage that the baseline was priced for; None
    if it equals `usage`. `error` is the name of an exception class, never its text. A latency that
    cannot be (the clock was set back) is kept as unknown, so that the call is not lost.

    `priced_by` says where `cost` comes from, None if that is not known or there is no cost; then
    `unpriced` may give the reason, and `at_least` the dollars of those parts of the call that have
    a price (the tokens, where only a search has none). `suspicious` usage cannot be right (more
    cached tokens than input, a negative count) and was priced at the dearest reading.

    A call that is `held_out` went without any strategy, to measure what they really save; False is
    the other group, None no measurement, and `bucket` a random part of the group (see `holdout`).
    `baseline_low` is the baseline cost if the provider's own prompt cache had helped it as much as
    it can; None if that is `baseline_cost`. An `embedding` has a cost and savings, but is no
    request.

    Raises:
        ConfigurationError: `time` has no time zone, or a value is of another kind.
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
    priced_by: PricedBy | None = None
    unpriced: str | None = None
    at_least: Decimal | None = None
    suspicious: bool = False
    held_out: bool | None = None
    bucket: int | None = None
    baseline_low: Decimal | None = None
    kind: CallKind = "answer"

    def __post_init__(self) -> None:
        _check_kinds(self)
        if not {str}.issuperset(map(type, (*self.tags, *self.tags.values()))):
            arguments.mapping("tags", self.tags, str)
        # A copy, since the record is written later than it is made.
        object.__setattr__(self, "tags", dict(self.tags))
        if self.savings:
            arguments.sequence("savings", self.savings, Saving)
        if arguments.moment("time", self.time).tzinfo is not UTC:
            object.__setattr__(self, "time", self.time.astimezone(UTC))
        if self.tier not in _TIERS:
            arguments.one_of("tier", self.tier, get_args(ServiceTier))
        if self.status not in _STATUSES:
            arguments.one_of("status", self.status, get_args(Status))
        if self.kind not in _CALL_KINDS:
            arguments.one_of("kind", self.kind, get_args(CallKind))
        if self.priced_by is not None and self.priced_by not in _PRICED_BY:
            arguments.one_of("priced_by", self.priced_by, get_args(PricedBy))
        if self.latency_s is not None:
            possible = 0 <= self.latency_s < math.inf
            object.__setattr__(self, "latency_s", float(self.latency_s) if possible else None)
        if self.bucket is not None:
            most = BUCKETS - 1
            object.__setattr__(
                self, "bucket", arguments.whole("bucket", self.bucket, least=0, most=most)
            )
        self._check_dollars()

    def _check_dollars(self) -> None:
        """Make each amount that is none unknown; savings are known all or not at all."""
        if self.cost is not None:
            object.__setattr__(self, "cost", dollars_or_none(self.cost))
        if self.at_least is not None:
            object.__setattr__(self, "at_least", dollars_or_none(self.at_least))
        if self.baseline_cost is not None:
            object.__setattr__(self, "baseline_cost", dollars_or_none(self.baseline_cost))
        if self.baseline_low is not None:
            object.__setattr__(self, "baseline_low", dollars_or_none(self.baseline_low))
        if any(dollars_or_none(each.amount, negative=True) is None for each in self.savings):
            object.__setattr__(self, "savings", ())
            object.__setattr__(self, "baseline_cost", None)
        if self.baseline_cost is None:
            object.__setattr__(self, "baseline_low", None)

    @property
    def hit(self) -> bool:
        """Whether a cache answered and no model was called."""
        if self.hit_strategy is not None:
            return True
        cached = any(saving.strategy.startswith("cache.") for saving in self.savings)
        return cached and self.usage.total_tokens == 0

    @property
    def saved(self) -> Decimal | None:
        """Baseline cost minus cost; None unless both are known."""
        if self.cost is None or self.baseline_cost is None:
            return None
        return EXACT.subtract(self.baseline_cost, self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNote:
    """An event that is not a call: a routing decision, a label, an experiment's arm."""

    id: str
    time: datetime
    kind: str
    payload: Mapping[str, JSON]

    def __post_init__(self) -> None:
        arguments.text("id", self.id)
        arguments.moment("time", self.time)
        arguments.text("kind", self.kind)
        arguments.mapping("payload", self.payload)


class RecordSource(Protocol):
    """What may hold records back, such as the calls in flight (`open_calls.py`)."""

    def settle(self) -> None:
        """Write what can be written now; before the ledger is read."""

    def end_all(self) -> None:
        """Write everything; before the ledger is closed."""
