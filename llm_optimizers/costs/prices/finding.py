"""Finds the price of a model: the user's own, else the list's, less what a contract takes off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from llm_optimizers.costs.prices import catalog
from llm_optimizers.costs.prices.contract import Contract
from llm_optimizers.costs.prices.listings import Listings
from llm_optimizers.costs.prices.names import ModelName, parse_model
from llm_optimizers.costs.prices.rates import ModelPrice, RateCard, ServiceTier
from llm_optimizers.errors import UnpricedError

__all__ = ["Found", "ModelAsked", "find_price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A price, where it is from, and its entry in the list unless it is the user's own."""

    name: ModelName
    card: RateCard
    source: str
    listing: catalog.Listing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAsked:
    """What a price is asked for; `at` is in UTC."""

    model: str
    provider: str | None
    at: datetime
    tier: ServiceTier

    def unpriced(self, detail: str, reason: str) -> UnpricedError:
        """Return the error that says why there is no price, and what to do."""
        source = "" if self.provider is None else f" from {self.provider}"
        discount = ", batch_discount=Decimal('…')" if self.tier == "batch" else ""
        return UnpricedError(
            f"no {self.tier} price is known for {self.model!r}{source}: {detail}. Give your own "
            f"with PriceBook({{{self.model!r}: ModelPrice(input=Decimal('…'), "
            f"output=Decimal('…'){discount})}}), in dollars per million tokens; 0 for a model you "
            "host yourself.",
            reason=reason,
        )


def find_price(
    listings: Listings, own: Mapping[str, ModelPrice], contract: Contract, asked: ModelAsked
) -> Found:
    """Find the price of a model.

    Raises:
        UnpricedError: no price is known; the message says what to do.
    """
    raw = asked.model.strip().lower()
    named = None if raw in own else contract.names.get(raw)
    if named is not None:
        provider = parse_model(named).provider or asked.provider
        asked = replace(asked, model=named, provider=provider)
    wanted = parse_model(asked.model, asked.provider)
    mine = _own(listings, own, contract, asked, wanted)
    if mine is not None:
        return mine
    try:
        listing = listings.find(wanted)
        card = catalog.rate_card(listing, asked.at, asked.tier)
    except UnpricedError as error:
        raise asked.unpriced(str(error), error.reason) from None
    source = catalog.source(listings.snapshot)
    by_model, by_provider = contract.discounts_on(asked.at.date())
    discount = listings.of_name(by_model, asked.model, asked.provider, wanted)
    discount = discount or by_provider.get(listing.provider.id)
    if discount is not None:
        card = replace(card.scaled(discount.factor, fees=discount.fees), own=True)
        source = f"{source}, less {discount.percent.normalize():f} % by your contract"
    return Found(name=wanted, card=card, source=source, listing=listing)


def _own(
    listings: Listings,
    own: Mapping[str, ModelPrice],
    contract: Contract,
    asked: ModelAsked,
    wanted: ModelName,
) -> Found | None:
    """Find the user's own price, None if there is none for the model."""
    day = asked.at.date()
    for prices, source in (
        (own, "your own price"),
        (contract.own_prices(day), "your contract"),
        (contract.hourly_prices(day), "your contract, paid by the hour"),
    ):
        price = listings.of_name(prices, asked.model, asked.provider, wanted)
        if price is None:
            continue
        card = RateCard.of(price, asked.tier)
        if card is None:
            raise asked.unpriced(
                f"your own price does not cover the {asked.tier} tier",
                f"no price for the {asked.tier} tier",
            )
        return Found(name=wanted, card=card, source=source)
    return None
