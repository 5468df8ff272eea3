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
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from llm_optimizers.arguments import (
    function,
    instance,
    mapping,
    one_of,
    optional,
    string,
    whole,
)
from llm_optimizers.costs.prices import catalog
from llm_optimizers.costs.prices.answered import Priced
from llm_optimizers.costs.prices.bill import Bill, bill
from llm_optimizers.costs.prices.names import ModelName, canonical_provider, parse_model
from llm_optimizers.costs.prices.rates import (
    ModelPrice,
    PriceQuote,
    RateCard,
    Rates,
    ServiceTier,
)
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.types import Clock
from llm_optimizers.warming import WarmsUp

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["PriceBook"]

K = TypeVar("K")
V = TypeVar("V")

_CACHE_SIZE = 4_096
_TIERS = get_args(ServiceTier)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cache:
    """Lookups in one snapshot of the price list; single dict operations need no lock.

    `listings` holds an error instead of a listing for names that have no list price.
    """

    snapshot: DataSnapshot
    listings: dict[ModelName, catalog.Listing | UnpricedError] = field(default_factory=dict)
    cards: dict[tuple[Any, ...], RateCard] = field(default_factory=dict)


class PriceBook(WarmsUp, PickledAsArguments):
    """Prices by model, provider, date and service tier.

    `overrides` are your own prices, by model name or by `provider/model`; they apply to every
    date and take precedence over the list. A model name may start with its provider
    (`openai:gpt-4o`, `openai/gpt-4o`). Lookups are cached, so that a cost takes microseconds.
    Safe to share between threads.

    What has no published price is unpriced: a batch or flex tier without one (all of Azure's), a
    tier before its price is known, a model that is not billed by tokens, a name that only
    resembles a listed one, a part of a call (audio, a search) that no rate is known for.
    """

    def __init__(
        self, overrides: Mapping[str, ModelPrice] | None = None, *, clock: Clock = time.time
    ) -> None:
        own = optional(mapping, "overrides", overrides, ModelPrice) or {}
        self._overrides = {name.strip().lower(): price for name, price in own.items()}
        self._clock = function("clock", clock)
        self._cache: _Cache | None = None

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"overrides": self._overrides}

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
            raise _unpriced(model, provider, tier, found.unpriced, found.unpriced)
        return found.known

    def bill(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
    ) -> Bill:
        """Return the bill of one call, part by part; it says why, if the cost is not known.

        Raises:
            ConfigurationError: there is no such tier.
        """
        instance("usage", usage, Usage)
        try:
            return bill(self._card(model, provider, at, tier), usage)
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
        try:
            self._listing(self._current_cache(), parse_model(model, provider))
        except UnpricedError:
            return "own"
        return "own and listed"

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
        try:
            listing = self._listing(self._current_cache(), parse_model(model, provider))
        except UnpricedError:
            return None
        return listing.model.context_window

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
        card = self._card(model, provider, moment, tier)
        wanted = parse_model(model, provider)
        if card.own:
            return PriceQuote(
                model=wanted.name,
                provider=wanted.provider,
                tier=tier,
                at=moment,
                card=card,
                source="your own price",
                context_window=self.context_window(model, provider=provider),
            )
        listing = self._listing(self._current_cache(), wanted)
        return PriceQuote(
            model=listing.model.id,
            provider=listing.provider.id,
            tier=tier,
            at=moment,
            card=card,
            source=catalog.source(catalog.load_snapshot()),
            since=catalog.in_force_since(listing, moment, tier),
            url=next(iter(listing.provider.pricing_urls or ()), None),
            context_window=listing.model.context_window,
            comment=listing.model.price_comments,
        )

    def similar(self, model: str) -> list[str]:
        """Return up to five listed names that are spelled like this one."""
        wanted = parse_model(string("model", model))
        return catalog.similar_names(catalog.load_snapshot(), wanted)

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
        wanted = parse_model(model, provider)
        own = self._override(cache, model, provider, wanted)
        within_a_day = False
        if own is not None:
            card = RateCard.of(own, tier)
            if card is None:
                detail = f"your own price does not cover the {tier} tier"
                reason = f"no price for the {tier} tier"
                raise _unpriced(model, provider, tier, detail, reason)
        else:
            try:
                listing = self._listing(cache, wanted)
                card = catalog.rate_card(listing, moment, tier)
            except UnpricedError as error:
                raise _unpriced(model, provider, tier, str(error), error.reason) from None
            within_a_day = listing.changes_within_a_day
        _add(cards, (*day, moment.hour, moment.minute) if within_a_day else day, card)
        return card

    def _override(
        self, cache: _Cache, model: str, provider: str | None, wanted: ModelName
    ) -> ModelPrice | None:
        """Return the user's own price for a name, or for another name of the same list entry.

        A price for `gpt-4o` is that of the snapshots that the list has under `gpt-4o` too.
        """
        if not self._overrides:
            return None
        raw = model.strip().lower()
        providers = {p for p in (wanted.provider, provider and canonical_provider(provider)) if p}
        providers |= {provider.strip().lower()} if provider else set()
        names = [f"{each}{mark}{wanted.name}" for each in sorted(providers) for mark in "/:"]
        for name in (*names, raw, wanted.name):
            if name in self._overrides:
                return self._overrides[name]
        try:
            listing = self._listing(cache, wanted)
        except UnpricedError:
            return None
        return next(
            (price for own, price in self._overrides.items() if self._means(cache, own, listing)),
            None,
        )

    def _means(self, cache: _Cache, own: str, listing: catalog.Listing) -> bool:
        """Whether a name of the user's own is listed in that entry, at that provider if it says."""
        named = parse_model(own)
        if named.provider not in (None, listing.provider.id):
            return False
        try:
            return self._listing(cache, named).model is listing.model
        except UnpricedError:
            return False

    def _current_cache(self) -> _Cache:
        """Return the cache of the snapshot in use; genai-prices may replace it with a newer one."""
        snapshot = catalog.load_snapshot()
        cache = self._cache
        if cache is None or cache.snapshot is not snapshot:
            cache = self._cache = _Cache(snapshot=snapshot)
        return cache

    def _listing(self, cache: _Cache, wanted: ModelName) -> catalog.Listing:
        found = cache.listings.get(wanted)
        if found is None:
            try:
                found = catalog.find_listing(cache.snapshot, wanted)
            except UnpricedError as error:
                found = UnpricedError(str(error), reason=error.reason)
            _add(cache.listings, wanted, found)
        if isinstance(found, UnpricedError):
            raise UnpricedError(str(found), reason=found.reason)
        return found


def _add(cache: dict[K, V], key: K, value: V) -> None:
    if len(cache) >= _CACHE_SIZE:
        cache.clear()
    cache[key] = value


def _unpriced(
    model: str, provider: str | None, tier: str, detail: str, reason: str
) -> UnpricedError:
    source = "" if provider is None else f" from {provider}"
    discount = ", batch_discount=Decimal('…')" if tier == "batch" else ""
    return UnpricedError(
        f"no {tier} price is known for {model!r}{source}: {detail}. Give your own with PriceBook("
        f"{{{model!r}: ModelPrice(input=Decimal('…'), output=Decimal('…'){discount})}}), "
        "in dollars per million tokens; 0 for a model you host yourself.",
        reason=reason,
    )
