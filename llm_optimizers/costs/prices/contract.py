"""What the user pays by contract: own prices, discounts, hours that are paid whatever is called.

Hours paid for (committed throughput, a server of the user's own) are a fixed cost of a period. One
call more or less changes nothing about it, so that the tokens of such a model cost nothing and a
strategy that avoids a call saves nothing; `fixed_costs` gives the hours' dollars apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any, TypeVar, get_args

from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.prices.rates import ModelPrice, ServiceTier
from llm_optimizers.errors import ConfigurationError

__all__ = ["NO_CONTRACT", "Contract", "Days", "Discount", "HourlyPrice", "OwnPrice"]

_HOUR = Decimal(3_600_000_000)  # microseconds
_MICROSECOND = timedelta(microseconds=1)
_ZERO = Decimal(0)
_ON_DEMAND = ("standard", "batch", "flex")


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Days of a period, UTC, both ends included; None is without an end."""

    first: date | None = None
    last: date | None = None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def overlap(self, other: Days) -> bool:
        """Whether the two have a day in common."""
        starts = [each for each in (self.first, other.first) if each is not None]
        ends = [each for each in (self.last, other.last) if each is not None]
        return not starts or not ends or max(starts) <= min(ends)

    def microseconds(self, since: datetime, until: datetime) -> int:
        """Return how much of the time between the two is in these days."""
        if self.first is not None:
            since = max(since, datetime.combine(self.first, datetime.min.time(), UTC))
        if self.last is not None:
            end = datetime.combine(self.last, datetime.min.time(), UTC) + timedelta(days=1)
            until = min(until, end)
        return max(0, (until - since) // _MICROSECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """The price of a model, by its name or by `provider/model`."""

    model: str
    price: ModelPrice
    days: Days = Days()


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyPrice:
    """Dollars an hour for a model, however much it is called."""

    model: str
    dollars: Decimal
    days: Days = Days()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """Percent off the list price of a model, or of all models of a provider.

    Fees (searches, requests) are discounted only if `fees` says so.
    """

    percent: Decimal
    model: str | None = None
    provider: str | None = None
    fees: bool = False
    days: Days = Days()

    @property
    def factor(self) -> Decimal:
        """What is left of a price."""
        return EXACT.divide(EXACT.subtract(Decimal(100), self.percent), Decimal(100))


T = TypeVar("T", OwnPrice, HourlyPrice, Discount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract's terms. `names` are the user's own names of models, such as deployments.

    A discount on a model takes precedence over one on its provider.

    Raises:
        ConfigurationError: two terms contradict each other.
    """

    prices: tuple[OwnPrice, ...] = ()
    hourly: tuple[HourlyPrice, ...] = ()
    discounts: tuple[Discount, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one, other in _conflicts((*self.prices, *self.hourly), lambda each: each.model):
            what = "prices" if type(one) is type(other) is OwnPrice else "prices and hours"
            raise ConfigurationError(_contradiction(what, one.model, "keep one of them"))
        for one, _ in _conflicts(self.discounts, lambda each: (each.model, each.provider)):
            target = str(one.model or one.provider)
            raise ConfigurationError(_contradiction("discounts", target, "give their sum as one"))

    def own_prices(self, day: date) -> dict[str, ModelPrice]:
        """Return the own prices of a day by name."""
        return {each.model: each.price for each in _of(day, self.prices)}

    def hourly_prices(self, day: date) -> dict[str, ModelPrice]:
        """Return the prices of what is paid by the hour on a day: its tokens cost nothing more.

        They are free in every tier that is no discount on tokens: a provider may call committed
        throughput a tier of its own.
        """
        tiers = [each for each in get_args(ServiceTier) if each not in _ON_DEMAND]
        free = ModelPrice(input=_ZERO, output=_ZERO)
        paid = replace(free, tiers=dict.fromkeys(tiers, free))
        return {each.model: paid for each in _of(day, self.hourly)}

    def discounts_on(self, day: date) -> tuple[dict[str, Discount], dict[str, Discount]]:
        """Return the discounts of a day, by model and by provider."""
        active = list(_of(day, self.discounts))
        return (
            {each.model: each for each in active if each.model is not None},
            {each.provider: each for each in active if each.provider is not None},
        )

    def fixed_costs(self, since: datetime, until: datetime) -> dict[str, Decimal]:
        """Return the dollars of the hours between two times, by model."""
        costs: dict[str, Decimal] = {}
        for each in self.hourly:
            hours = EXACT.divide(Decimal(each.days.microseconds(since, until)), _HOUR)
            dollars = EXACT.multiply(hours, each.dollars)
            costs[each.model] = EXACT.add(costs.get(each.model, _ZERO), dollars)
        return {model: dollars for model, dollars in costs.items() if dollars}


def _of(day: date, terms: Iterable[T]) -> Iterator[T]:
    return (term for term in terms if day in term.days)


def _conflicts(terms: Iterable[Any], target: Any) -> Iterator[tuple[Any, Any]]:
    """Yield pairs of terms about the same thing on the same days."""
    for one, other in combinations(terms, 2):
        if target(one) == target(other) and one.days.overlap(other.days):
            yield one, other


def _contradiction(what: str, target: str, advice: str) -> str:
    return (
        f"two {what} for {target!r} apply on the same days; {advice}, or give each its own "
        "first_day and last_day"
    )


NO_CONTRACT = Contract()
