"""What a call saved, against the call that would have been made without any strategy.

The difference is shared out by an ordered waterfall, since strategies multiply and their single
effects do not add up: shorter prompts at the baseline model's price first, then the cheaper
model, then the service tier. A cache hit makes all other strategies moot and takes it all. Costs
that a strategy itself caused (an embedding, a judge, a discarded cheap answer) are charged to
it. By construction the savings add up to baseline minus cost, to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import Basis, CallRecord, Saving, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError

__all__ = ["NOTHING_REMOVED", "RemovedTokens", "charged_to", "price_call"]

_NOTHING: Mapping[str, Decimal] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedTokens:
    """Input tokens that prompt optimisers took out of a call; two optimisers add up.

    `repeated` of them had been sent by an earlier call of the conversation: those would have come
    from the provider's cache, if the call read any of its prompt from there.
    """

    tokens: int = 0
    repeated: int = 0

    def __add__(self, other: RemovedTokens) -> RemovedTokens:
        return RemovedTokens(
            tokens=self.tokens + other.tokens, repeated=self.repeated + other.repeated
        )

    def added_back_to(self, usage: Usage) -> Usage:
        """The usage that the call would have had with its whole prompt."""
        if self.tokens <= 0:
            return usage
        read = min(max(0, self.repeated), self.tokens) if usage.cache_read_tokens else 0
        return usage + Usage(input_tokens=self.tokens, cache_read_tokens=read)


NOTHING_REMOVED = RemovedTokens()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to make a call: which model, sold by whom, on which tier, with what usage."""

    model: str
    provider: str | None
    tier: ServiceTier
    usage: Usage

    def cost(self, prices: PriceBook, at: datetime) -> Decimal:
        return prices.cost(self.usage, self.model, provider=self.provider, at=at, tier=self.tier)


def price_call(
    prices: PriceBook,
    *,
    id: str,  # noqa: A002 - the record's own word
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
    overhead: Mapping[str, Decimal] = _NOTHING,
    basis: Basis = "measured",
    tags: Mapping[str, str] | None = None,
    latency_s: float | None = None,
    status: Status = "ok",
    error: str | None = None,
    estimated: bool = False,
) -> CallRecord:
    """Build the record of a call: its cost, its baseline and what each strategy saved.

    The baseline is `baseline_model` with `baseline_usage` on `baseline_tier`; what is not given
    is as it was (the provider is kept only while the model is). With `hit_strategy` nothing was
    called: `baseline_usage` (or `usage`) is that of the stored answer and the recorded usage is
    zero. `overhead` is dollars by the strategy that caused them. A failed call saves nothing:
    its baseline is its cost. Where a price is missing the figure is None and no saving is
    claimed; `estimated` marks every saving of the call as estimated.
    """
    used = _Way(model=model, provider=provider, tier=tier, usage=usage)
    if hit_strategy is not None:
        used = replace(used, usage=Usage())
    base = _Way(
        model=baseline_model or model,
        provider=baseline_provider or (provider if baseline_model in (None, model) else None),
        tier=baseline_tier,
        usage=usage if baseline_usage is None else baseline_usage,
    )
    cost = _cost(prices, used, time, hit_strategy, overhead)
    steps: dict[str, Decimal] | None
    if cost is None:
        steps = None
    elif status == "error" and hit_strategy is None:
        steps = {}
    else:
        steps = _waterfall(prices, base, used, time, hit_strategy, overhead)
    certainty: Basis = "estimated" if estimated else basis
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
            Saving(strategy=strategy, amount=amount, basis=certainty)
            for strategy, amount in (steps or {}).items()
        ),
        tags=dict(tags or {}),
        latency_s=latency_s,
        status=status,
        estimated=estimated,
        error=error,
    )


def charged_to(record: CallRecord, strategy: str) -> CallRecord:
    """The record of a call that only a strategy made: all its cost is charged to the strategy.

    A second opinion, a judge, a draft that was thrown away: without the strategy the call would
    not have been made, so its baseline is nothing. A record without a price is left as it is.
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


def _cost(
    prices: PriceBook,
    used: _Way,
    at: datetime,
    hit_strategy: str | None,
    overhead: Mapping[str, Decimal],
) -> Decimal | None:
    """Everything billed, or None without a price; nothing but overhead is billed for a hit."""
    spent = sum(overhead.values(), Decimal(0))
    if hit_strategy is not None:
        return spent
    try:
        return used.cost(prices, at) + spent
    except UnpricedError:
        return None


def _waterfall(
    prices: PriceBook,
    base: _Way,
    used: _Way,
    at: datetime,
    hit_strategy: str | None,
    overhead: Mapping[str, Decimal],
) -> dict[str, Decimal] | None:
    """Dollars saved by strategy, in the order they apply, or None where a price is missing."""
    if hit_strategy is not None and not base.usage.total_tokens:
        return None  # What the stored answer had cost is not known.
    steps: dict[str, Decimal] = {}
    try:
        before = base.cost(prices, at)
        if hit_strategy is not None:
            steps[hit_strategy] = before
        else:
            way = base
            for strategy, changes in _changes(used):
                changed = replace(way, **changes)
                if changed != way:
                    after = changed.cost(prices, at)
                    steps[strategy] = before - after
                    way, before = changed, after
    except UnpricedError:
        return None
    for strategy, dollars in overhead.items():
        steps[strategy] = steps.get(strategy, Decimal(0)) - dollars
    return steps


def _changes(used: _Way) -> tuple[tuple[str, dict[str, Any]], ...]:
    """What leads from the baseline to the call made, by the strategy that changed it."""
    return (
        ("prompts", {"usage": used.usage}),
        ("routing", {"model": used.model, "provider": used.provider}),
        ("batching" if used.tier == "batch" else "tier", {"tier": used.tier}),
    )
