"""What a call costs, at the prices in force when it was made.

`PriceBook` uses the user's own prices first and dated list prices second. A model that it does
not know for certain is unpriced: it raises an error and is never free.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from llm_optimizers.arguments import (
    flag,
    function,
    instance,
    mapping,
    one_of,
    optional,
    refuse,
    string,
    whole,
)
from llm_optimizers.costs.prices import catalog
from llm_optimizers.costs.prices.answered import Priced
from llm_optimizers.costs.prices.bill import Bill, bill
from llm_optimizers.costs.prices.contract import NO_CONTRACT, Contract
from llm_optimizers.costs.prices.contract_file import read_contract
from llm_optimizers.costs.prices.finding import Found, ModelAsked, find_price
from llm_optimizers.costs.prices.listings import Listings, remember
from llm_optimizers.costs.prices.names import parse_model
from llm_optimizers.costs.prices.rates import (
    ModelPrice,
    PriceQuote,
    RateCard,
    Rates,
    ServiceTier,
)
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError, UnpricedError
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.types import Clock
from llm_optimizers.warming import WarmsUp

__all__ = ["PriceBook"]

_TIERS = get_args(ServiceTier)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cache:
    """Lookups in one snapshot of the price list; single dict operations need no lock."""

    listings: Listings
    cards: dict[tuple[Any, ...], RateCard] = field(default_factory=dict)


class PriceBook(WarmsUp, PickledAsArguments):
    """Prices by model, provider, date and service tier.

    `overrides` are your own prices, by model name or by `provider/model`; they apply to every
    date and take precedence over the list. `from_file` reads a contract: prices, discounts, hours.
    A model name may start with its provider (`openai:gpt-4o`, `openai/gpt-4o`). Lookups are cached,
    so that a cost takes microseconds. Safe to share between threads.

    What has no published price is unpriced: a batch or flex tier without one (all of Azure's), a
    tier before its price is known, a model that is not billed by tokens, a name that only
    resembles a listed one, a part of a call (audio, a search) that no rate is known for.
    """

    def __init__(
        self,
        overrides: Mapping[str, ModelPrice] | None = None,
        *,
        contract: Contract = NO_CONTRACT,
        clock: Clock = time.time,
    ) -> None:
        own = optional(mapping, "overrides", overrides, ModelPrice) or {}
        self._overrides = {name.strip().lower(): price for name, price in own.items()}
        self._contract = instance("contract", contract, Contract)
        self._clock = function("clock", clock)
        self._cache: _Cache | None = None

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"overrides": self._overrides, "contract": self._contract}

    @classmethod
    def from_file(cls, path: str | Path, *, clock: Clock = time.time) -> PriceBook:
        """Return the prices of a contract's file, TOML or JSON (see `contract_file`).

        The discounts it gives must be of models and providers in the list.

        Raises:
            ConfigurationError: something in the file is wrong; the message names the file, the key
                and what to give.
        """
        file = Path(instance("path", path, (str, Path), give="the path of a file"))
        book = cls(contract=read_contract(file), clock=clock)
        book._check_discounts(file)
        return book

    def warm_up(self) -> None:
        """Load the price list now, which the first price would do."""
        self._current_cache()

    def cost(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
    ) -> Decimal:
        """Return the cost of one call in dollars; `at` is now if None, and UTC without a zone.

        Raises:
            UnpricedError: no price is known; the message says what to do.
            ConfigurationError: there is no such tier.
        """
        found = bill(self._card(model, provider, at, tier), instance("usage", usage, Usage))
        if found.unpriced is not None:
            asked = ModelAsked(model=model, provider=provider, at=self._moment(at), tier=tier)
            raise asked.unpriced(found.unpriced, found.unpriced)
        return found.known

    def bill(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
        sound: bool = False,
        requests: int = 1,
    ) -> Bill:
        """Return the bill of one call, part by part; it says why, if the cost is not known.

        With `sound` the prompt had some, whose tokens the usage may not name. `requests` are the
        fees for requests to pay, which those that share a call pay once.

        Raises:
            ConfigurationError: there is no such tier.
        """
        instance("usage", usage, Usage)
        flag("sound", sound)
        whole("requests", requests, least=0)
        try:
            return bill(
                self._card(model, provider, at, tier), usage, sound=sound, requests=requests
            )
        except UnpricedError as error:
            return Bill(unpriced=error.reason)

    def priced(
        self, model: str, *, provider: str | None = None, at: datetime | None = None
    ) -> Priced:
        """Return whether a name has your own price, and whether the list has it."""
        try:
            card = self._card(model, provider, at, "standard")
        except UnpricedError:
            return ""
        if not card.own:
            return "listed"
        return "own" if self._listing(model, provider) is None else "own and listed"

    def rates(
        self,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
        input_tokens: int = 0,
    ) -> Rates:
        """Return dollars per token for a call with `input_tokens` (long inputs may cost more).

        Raises:
            UnpricedError: no price is known; the message says what to do.
            ConfigurationError: there is no such tier.
        """
        card = self._card(model, provider, at, tier)
        return card.at(whole("input_tokens", input_tokens, least=0)).rates

    def context_window(self, model: str, *, provider: str | None = None) -> int | None:
        """Return the model's maximum number of input tokens, None if the list does not say."""
        string("model", model)
        optional(string, "provider", provider)
        listing = self._listing(model, provider)
        return None if listing is None else listing.model.context_window

    def quote(
        self,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
    ) -> PriceQuote:
        """Return the price that `cost` would use, with its source.

        Raises:
            UnpricedError: no price is known; the message says what to do.
            ConfigurationError: there is no such tier.
        """
        moment = self._moment(at)
        string("model", model)
        optional(string, "provider", provider)
        found = self._find(model, provider, moment, one_of("tier", tier, _TIERS))
        if found.listing is None:
            return PriceQuote(
                model=found.name.name,
                provider=found.name.provider,
                tier=tier,
                at=moment,
                card=found.card,
                source=found.source,
                context_window=self.context_window(model, provider=provider),
            )
        listing = found.listing
        return PriceQuote(
            model=listing.model.id,
            provider=listing.provider.id,
            tier=tier,
            at=moment,
            card=found.card,
            source=found.source,
            since=catalog.in_force_since(listing, moment, tier),
            url=next(iter(listing.provider.pricing_urls or ()), None),
            context_window=listing.model.context_window,
            comment=listing.model.price_comments,
        )

    def fixed_costs(self, since: datetime, until: datetime) -> dict[str, Decimal]:
        """Return the dollars of a contract's hours between two times, by model.

        They are paid whatever is called, so that no call's cost contains them.

        Raises:
            ConfigurationError: `since` is after `until`.
        """
        for name, given in (("since", since), ("until", until)):
            instance(name, given, datetime, give="a datetime, such as datetime.now(UTC)")
        start, end = self._moment(since), self._moment(until)
        if start > end:
            refuse("since", str(since), f"a time before until, {until}")
        return self._contract.fixed_costs(start, end)

    def similar(self, model: str) -> list[str]:
        """Return up to five listed names that are spelled like this one."""
        wanted = parse_model(string("model", model))
        return catalog.similar_names(catalog.load_snapshot(), wanted)

    def _check_discounts(self, file: Path) -> None:
        """Refuse a discount that would never apply, such as one with a slip in a name."""
        providers = {provider.id for provider in catalog.load_snapshot().providers}
        for discount in self._contract.discounts:
            name = discount.provider or discount.model or ""
            known = sorted(providers)
            if discount.model is not None:
                if self._listing(discount.model, None) is not None:
                    continue
                known = self.similar(discount.model)
            elif name in providers:
                continue
            similar = f", such as {', '.join(known)}" if known else ""
            raise ConfigurationError(
                f"{file}: `discounts` has {name!r}, which has no list price; give a name of the "
                f"price list{similar}, or its own price under [[prices]]"
            )

    def _listing(self, model: str, provider: str | None) -> catalog.Listing | None:
        """Return a name's entry in the price list, None if it has none."""
        meant = self._contract.names.get(model.strip().lower(), model)
        try:
            return self._current_cache().listings.find(parse_model(meant, provider))
        except UnpricedError:
            return None

    def _moment(self, at: datetime | None) -> datetime:
        if at is None:
            return datetime.fromtimestamp(self._clock(), UTC)
        instance("at", at, datetime, give="a datetime, such as datetime.now(UTC)")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    def _card(
        self, model: str, provider: str | None, at: datetime | None, tier: ServiceTier
    ) -> RateCard:
        moment = self._moment(at)
        cache = self._current_cache()
        cards = cache.cards
        string("model", model)
        optional(string, "provider", provider)
        if type(tier) is not str:
            one_of("tier", tier, _TIERS)
        day = (model, provider, tier, moment.date())
        card = cards.get(day) or cards.get((*day, moment.hour, moment.minute))
        if card is not None:
            return card
        one_of("tier", tier, _TIERS)
        found = self._find(model, provider, moment, tier)
        within_a_day = found.listing is not None and found.listing.changes_within_a_day
        remember(cards, (*day, moment.hour, moment.minute) if within_a_day else day, found.card)
        return found.card

    def _find(self, model: str, provider: str | None, moment: datetime, tier: ServiceTier) -> Found:
        return find_price(
            self._current_cache().listings,
            self._overrides,
            self._contract,
            ModelAsked(model=model, provider=provider, at=moment, tier=tier),
        )

    def _current_cache(self) -> _Cache:
        """Return the cache of the snapshot in use; genai-prices may replace it with a newer one."""
        snapshot = catalog.load_snapshot()
        cache = self._cache
        if cache is None or cache.listings.snapshot is not snapshot:
            cache = self._cache = _Cache(listings=Listings(snapshot))
        return cache
