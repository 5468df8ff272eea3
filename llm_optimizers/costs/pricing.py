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
from llm_optimizers.costs.amounts import EXACT, sum_of
from llm_optimizers.costs.prices.bill import Bill
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.provider_cached import found_in_provider_cache
from llm_optimizers.costs.records import Basis, CallKind, CallRecord, Saving, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError

__all__ = [
    "as_billed",
    "charged_to",
    "price_call",
    "priced_by",
]

_ZERO = Decimal(0)
_SMALLEST = Decimal("1e-18")  # of a dollar, to which a proportion is rounded
_NO_OVERHEAD: Mapping[str, Decimal] = {}
_BASES, _CALL_KINDS, _TIERS = map(get_args, (Basis, CallKind, ServiceTier))
_check_kinds = fields_check(
    {"model": str, "provider": (str, NoneType), "tier": str, "usage": Usage, "sound": bool}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """A variant of a call: the baseline, the call as it was made, or a step between them."""

    model: str
    provider: str | None
    tier: ServiceTier
    usage: Usage
    sound: bool

    def __post_init__(self) -> None:
        _check_kinds(self)

    def bill(self, prices: PriceBook, at: datetime) -> Bill:
        return prices.bill(
            self.usage,
            self.model,
            provider=self.provider,
            at=at,
            tier=self.tier,
            sound=self.sound,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Costs:
    """What the variants of one call cost.

    What the provider says it `billed` for the call as it was made is believed. A discount or a fee
    of the provider's then applies to the other variants too. That is `exact` if the provider billed
    just the price.
    """

    prices: PriceBook
    at: datetime
    made: _Variant
    billed: Decimal | None
    bill: Bill

    @classmethod
    def of(cls, prices: PriceBook, at: datetime, made: _Variant, billed: Decimal | None) -> _Costs:
        return cls(prices=prices, at=at, made=made, billed=billed, bill=made.bill(prices, at))

    @property
    def made_cost(self) -> Decimal | None:
        """The cost of the call as it was made."""
        return self.bill.cost if self.billed is None else self.billed

    @property
    def exact(self) -> bool:
        return self.billed is None or self.billed == self.bill.cost

    def of_variant(self, variant: _Variant) -> Decimal | None:
        """Return what a variant costs, None without a price."""
        if variant == self.made:
            return self.made_cost
        cost = variant.bill(self.prices, self.at).cost
        return cost if cost is None or self.exact else as_billed(cost, self.billed, self.bill)


def as_billed(cost: Decimal, billed: Decimal | None, bill: Bill) -> Decimal:
    """Return what another call would have been billed, by its cost and by what this one was billed.

    Less than the price is a discount, which the other has in proportion. More than the price has a
    fee that no count shows, such as that of a search: the other pays it too, and no more of it.
    """
    if billed is None or bill.cost is None:
        return cost
    if billed >= bill.cost:
        return EXACT.add(cost, EXACT.subtract(billed, bill.cost))
    return EXACT.quantize(EXACT.divide(EXACT.multiply(cost, billed), bill.cost), _SMALLEST)


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
    baseline_low_usage: Usage | None = None,
    hit_strategy: str | None = None,
    overhead: Mapping[str, Decimal] = _NO_OVERHEAD,
    basis: Basis = "measured",
    tags: Mapping[str, str] | None = None,
    latency_s: float | None = None,
    status: Status = "ok",
    error: str | None = None,
    estimated: bool = False,
    suspicious: bool = False,
    billed: Decimal | None = None,
    kind: CallKind = "answer",
    sound: bool = False,
) -> CallRecord:
    """Build the record of a call: its cost, its baseline cost and what each strategy saved.

    The baseline is a call to `baseline_model` with `baseline_usage` on `baseline_tier`. Values
    not given are those of the call; the provider only if the model is the same. With
    `hit_strategy` no model was called: `baseline_usage` (or `usage`) is the usage of the stored
    answer, and the recorded usage is zero. `overhead` maps a strategy to the dollars it spent.
    A failed call saves nothing: its baseline cost is its cost. Where a price is missing, the
    figure is None and there are no savings. `estimated` marks all savings as estimated.

    `baseline_low_usage` is the baseline's had the provider's own prompt cache helped as much as it
    can; of a cache hit it is worked out here: its whole prompt was sent before.

    `billed` is what the provider says it billed for the call, or for the stored answer of a hit. It
    is the cost, whatever the prices say. A discount or a fee in it applies to the baseline too, so
    that savings are estimated unless the provider billed just the price. With `sound` in the
    prompt, audio that is in no count leaves the call unpriced.

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
    optional(instance, "baseline_low_usage", baseline_low_usage, Usage)
    moment("time", time)
    one_of("basis", basis, _BASES)
    one_of("kind", kind, _CALL_KINDS)
    flag("estimated", estimated)
    flag("sound", sound)
    optional(amount, "billed", billed, least=0)
    one_of("baseline_tier", baseline_tier, _TIERS)
    made = _Variant(model=model, provider=provider, tier=tier, usage=usage, sound=sound)
    base = _baseline(made, baseline_model, baseline_provider, baseline_usage, baseline_tier)
    costs = _Costs.of(prices, time, made, billed)
    hit = hit_strategy is not None
    spent = sum_of(overhead.values())
    own = spent if hit else costs.made_cost
    cost = own if own is None or hit else EXACT.add(own, spent)
    steps: dict[str, Decimal] | None = {}
    if cost is None:
        steps = None
    elif hit or status != "error":
        steps = _waterfall(costs, base, hit_strategy, overhead)
    baseline_cost = None if cost is None or steps is None else sum_of((cost, *steps.values()))
    used = Usage() if hit else usage
    if hit and kind == "answer" and baseline_low_usage is None:
        baseline_low_usage = _found_again(prices, base, time)
    return CallRecord(
        id=id,
        time=time,
        model=model,
        provider=provider,
        usage=used,
        cost=cost,
        baseline_model=base.model,
        baseline_cost=baseline_cost,
        baseline_usage=None if base.usage == used else base.usage,
        tier=tier,
        hit_strategy=hit_strategy,
        savings=tuple(
            Saving(strategy=each, amount=dollars, basis=_basis(basis, estimated, costs, base))
            for each, dollars in (steps or {}).items()
        ),
        tags={} if tags is None else tags,
        latency_s=latency_s,
        status=status,
        estimated=estimated,
        error=error,
        suspicious=suspicious,
        kind=kind,
        baseline_low=_low(costs, base, baseline_low_usage, baseline_cost) if steps else None,
        **({} if hit else priced_by(costs.bill, costs.billed, spent)),
    )


def _found_again(prices: PriceBook, base: _Variant, at: datetime) -> Usage | None:
    try:
        rates = prices.rates(
            base.model,
            provider=base.provider,
            at=at,
            tier=base.tier,
            input_tokens=base.usage.input_tokens,
        )
    except UnpricedError:
        return None
    return found_in_provider_cache(base.usage, rates)


def _low(
    costs: _Costs, base: _Variant, usage: Usage | None, baseline_cost: Decimal | None
) -> Decimal | None:
    """Return what the baseline costs with this usage, None if that is no less."""
    if usage is None or usage == base.usage or baseline_cost is None:
        return None
    low = costs.of_variant(replace(base, usage=usage))
    return low if low is not None and low < baseline_cost else None


def priced_by(bill: Bill, billed: Decimal | None, spent: Decimal = _ZERO) -> dict[str, Any]:
    """Return where a cost comes from, or why there is none, as fields of a record."""
    if billed is not None:
        return {"priced_by": "provider"}
    if bill.unpriced is None:
        return {"priced_by": "own" if bill.own else "list"}
    return {"unpriced": bill.unpriced, "at_least": EXACT.add(bill.known, spent) or None}


def _basis(basis: Basis, estimated: bool, costs: _Costs, base: _Variant) -> Basis:
    """Return the basis of a call's savings."""
    exact = costs.exact or base == costs.made
    return "estimated" if estimated or not exact else basis


def charged_to(record: CallRecord, strategy: str) -> CallRecord:
    """Return the record of a call that was made only because of `strategy`.

    Without the strategy there would have been no call (a sample, a judge, a discarded draft), so
    its baseline cost is zero and its cost is a negative saving. A record without a cost is
    returned unchanged.
    """
    if record.cost is None:
        return record
    basis: Basis = "estimated" if record.estimated else "measured"
    charge = Saving(strategy=strategy, amount=EXACT.minus(record.cost), basis=basis)
    return replace(
        record,
        baseline_model=record.model,
        baseline_cost=Decimal(0),
        baseline_usage=Usage(),
        baseline_low=None,
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
        sound=used.sound,
    )


def _waterfall(
    costs: _Costs,
    base: _Variant,
    hit_strategy: str | None,
    overhead: Mapping[str, Decimal],
) -> dict[str, Decimal] | None:
    """Return the dollars each strategy saved, in the order applied; None if a price is missing."""
    if hit_strategy is not None and not base.usage.total_tokens and costs.billed is None:
        return None  # The usage of the stored answer is unknown.
    before = costs.of_variant(base)
    if before is None:
        return None
    steps: dict[str, Decimal] = {}
    if hit_strategy is not None:
        steps[hit_strategy] = before
    elif base != costs.made:
        variant = base
        for strategy, changes in _changes(costs.made):
            changed = replace(variant, **changes)
            if changed != variant:
                after = costs.of_variant(changed)
                if after is None:
                    return None
                steps[strategy] = EXACT.subtract(before, after)
                variant, before = changed, after
    for strategy, dollars in overhead.items():
        steps[strategy] = EXACT.subtract(steps.get(strategy, _ZERO), dollars)
    return steps


def _changes(used: _Variant) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the changes from the baseline to the call made, each with its strategy, in order."""
    return (
        ("prompts", {"usage": used.usage}),
        ("routing", {"model": used.model, "provider": used.provider}),
        ("batching" if used.tier == "batch" else "tier", {"tier": used.tier}),
    )
