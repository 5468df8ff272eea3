"""The cost of a call, its baseline cost, and the saving of each strategy between the two.

The baseline is the same call without any strategy. The effects of strategies multiply, so they
are attributed in a fixed order (a waterfall): first the shorter prompt at the baseline model's
price, then the cheaper model, then the service tier. The whole saving of a cache hit goes to the
cache. What a strategy itself spent (an embedding, a judge, a discarded cheap answer) is charged
to it. The savings of a call add up to its baseline cost minus its cost, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from types import NoneType
from typing import Any, get_args

from llm_optimizers.arguments import (
    amount,
    fields_check,
    flag,
    instance,
    mapping,
    moment,
    one_of,
    optional,
    string,
)
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import Basis, CallKind, CallRecord, Saving, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError

__all__ = ["NOTHING_REMOVED", "RemovedTokens", "charged_to", "price_call"]

_NO_OVERHEAD: Mapping[str, Decimal] = {}
_check_kinds = fields_check(
    {"model": str, "provider": (str, NoneType), "tier": str, "usage": Usage}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedTokens:
    """Input tokens that prompt optimisers removed from a call; add two with `+`.

    `repeated` of these tokens were also sent by an earlier call of the conversation. They count
    as read from the provider's prompt cache if the call read any of its prompt from there.
    """

    tokens: int = 0
    repeated: int = 0

    def __add__(self, other: RemovedTokens) -> RemovedTokens:
        return RemovedTokens(
            tokens=self.tokens + other.tokens, repeated=self.repeated + other.repeated
        )

    def added_back_to(self, usage: Usage) -> Usage:
        """Return the usage that the call would have had with its whole prompt."""
        if self.tokens <= 0:
            return usage
        read = min(max(0, self.repeated), self.tokens) if usage.cache_read_tokens else 0
        return usage + Usage(input_tokens=self.tokens, cache_read_tokens=read)


NOTHING_REMOVED = RemovedTokens()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """A variant of a call: the baseline, the call as it was made, or a step between them."""

    model: str
    provider: str | None
    tier: ServiceTier
    usage: Usage

    def __post_init__(self) -> None:
        _check_kinds(self)

    def cost(self, prices: PriceBook, at: datetime) -> Decimal:
        return prices.cost(self.usage, self.model, provider=self.provider, at=at, tier=self.tier)


def price_call(
    prices: PriceBook,
    *,
    id: str,  # noqa: A002 - as in the record
    time: datetime,
    model: str,
    usage: Usage,
    provider: str | None = None,
    tier: ServiceTier = "standard",
    baseline_model: str | None = None,
    baseline_provider: str | None = None,
    baseline_usage: Usage | None = None,
    baseline_tier: ServiceTier = "standard",
    hit_strategy: str | None = None,
    overhead: Mapping[str, Decimal] = _NO_OVERHEAD,
    basis: Basis = "measured",
    tags: Mapping[str, str] | None = None,
    latency_s: float | None = None,
    status: Status = "ok",
    error: str | None = None,
    estimated: bool = False,
    kind: CallKind = "answer",
) -> CallRecord:
    """Build the record of a call: its cost, its baseline cost and what each strategy saved.

    The baseline is a call to `baseline_model` with `baseline_usage` on `baseline_tier`. Values
    not given are those of the call; the provider only if the model is the same. With
    `hit_strategy` no model was called: `baseline_usage` (or `usage`) is the usage of the stored
    answer, and the recorded usage is zero. `overhead` maps a strategy to the dollars it spent.
    A failed call saves nothing: its baseline cost is its cost. Where a price is missing, the
    figure is None and there are no savings. `estimated` marks all savings as estimated.

    Raises:
        ConfigurationError: an argument is of another kind.
    """
    instance("prices", prices, PriceBook)
    for name, dollars in mapping("overhead", overhead).items():
        amount(f"overhead[{name!r}]", dollars)
    for name, given in (
        ("baseline_model", baseline_model),
        ("baseline_provider", baseline_provider),
        ("hit_strategy", hit_strategy),
    ):
        optional(string, name, given)
    optional(instance, "baseline_usage", baseline_usage, Usage)
    moment("time", time)
    one_of("basis", basis, get_args(Basis))
    one_of("kind", kind, get_args(CallKind))
    flag("estimated", estimated)
    one_of("baseline_tier", baseline_tier, get_args(ServiceTier))
    used = _Variant(model=model, provider=provider, tier=tier, usage=usage)
    base = _baseline(used, baseline_model, baseline_provider, baseline_usage, baseline_tier)
    if hit_strategy is not None:
        used = replace(used, usage=Usage())
    cost = _cost(prices, used, time, hit_strategy, overhead)
    steps: dict[str, Decimal] | None = {}
    if cost is None:
        steps = None
    elif status != "error" or hit_strategy is not None:
        steps = _waterfall(prices, base, used, time, hit_strategy, overhead)
    return CallRecord(
        id=id,
        time=time,
        model=model,
        provider=provider,
        usage=used.usage,
        cost=cost,
        baseline_model=base.model,
        baseline_cost=None if cost is None or steps is None else sum(steps.values(), cost),
        baseline_usage=None if base.usage == used.usage else base.usage,
        tier=tier,
        hit_strategy=hit_strategy,
        savings=tuple(
            Saving(strategy=each, amount=dollars, basis="estimated" if estimated else basis)
            for each, dollars in (steps or {}).items()
        ),
        tags={} if tags is None else tags,
        latency_s=latency_s,
        status=status,
        estimated=estimated,
        error=error,
        kind=kind,
    )


def charged_to(record: CallRecord, strategy: str) -> CallRecord:
    """Return the record of a call that was made only because of `strategy`.

    Without the strategy there would have been no call (a sample, a judge, a discarded draft), so
    its baseline cost is zero and its cost is a negative saving. A record without a cost is
    returned unchanged.
    """
    if record.cost is None:
        return record
    basis: Basis = "estimated" if record.estimated else "measured"
    charge = Saving(strategy=strategy, amount=-record.cost, basis=basis)
    return replace(
        record,
        baseline_model=record.model,
        baseline_cost=Decimal(0),
        baseline_usage=Usage(),
        savings=(charge,) if record.cost else (),
    )


def _baseline(
    used: _Variant,
    model: str | None,
    provider: str | None,
    usage: Usage | None,
    tier: ServiceTier,
) -> _Variant:
    """Return the call without strategies; a value that is None is that of the call."""
    return _Variant(
        model=model or used.model,
        provider=provider or (used.provider if model in (None, used.model) else None),
        tier=tier,
        usage=used.usage if usage is None else usage,
    )


def _cost(
    prices: PriceBook,
    used: _Variant,
    at: datetime,
    hit_strategy: str | None,
    overhead: Mapping[str, Decimal],
) -> Decimal | None:
    """Return the dollars billed, None if there is no price; a cache hit bills only overhead."""
    spent = sum(overhead.values(), Decimal(0))
    if hit_strategy is not None:
        return spent
    try:
        return used.cost(prices, at) + spent
    except UnpricedError:
        return None


def _waterfall(
    prices: PriceBook,
    base: _Variant,
    used: _Variant,
    at: datetime,
    hit_strategy: str | None,
    overhead: Mapping[str, Decimal],
) -> dict[str, Decimal] | None:
    """Return the dollars each strategy saved, in the order applied; None if a price is missing."""
    if hit_strategy is not None and not base.usage.total_tokens:
        return None  # The usage of the stored answer is unknown.
    steps: dict[str, Decimal] = {}
    try:
        before = base.cost(prices, at)
        if hit_strategy is not None:
            steps[hit_strategy] = before
        else:
            variant = base
            for strategy, changes in _changes(used):
                changed = replace(variant, **changes)
                if changed != variant:
                    after = changed.cost(prices, at)
                    steps[strategy] = before - after
                    variant, before = changed, after
    except UnpricedError:
        return None
    for strategy, dollars in overhead.items():
        steps[strategy] = steps.get(strategy, Decimal(0)) - dollars
    return steps


def _changes(used: _Variant) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the changes from the baseline to the call made, each with its strategy, in order."""
    return (
        ("prompts", {"usage": used.usage}),
        ("routing", {"model": used.model, "provider": used.provider}),
        ("batching" if used.tier == "batch" else "tier", {"tier": used.tier}),
    )
