"""What a call costs, at the price that held when it was made.

`PriceBook` answers from the user's own prices first and from dated list prices second. A model
it does not know for certain is unpriced: it raises, and never costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from llm_optimizers.costs.prices import catalog
from llm_optimizers.costs.prices.names import ModelName, canonical_provider, parse_model
from llm_optimizers.costs.prices.rates import (
    ModelPrice,
    PriceQuote,
    RateCard,
    Rates,
    ServiceTier,
    bill,
)
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError, UnpricedError
from llm_optimizers.types import Clock

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["PriceBook"]

K = TypeVar("K")
V = TypeVar("V")

_REMEMBERED = 4_096
_TIERS = get_args(ServiceTier)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Answers remembered for one snapshot; single dict operations need no lock.

    `listings` holds the reason instead of a listing for what the list does not price.
    """

    snapshot: DataSnapshot
    listings: dict[ModelName, catalog.Listing | str] = field(default_factory=dict)
    cards: dict[tuple[Any, ...], RateCard] = field(default_factory=dict)


class PriceBook:
    """Prices by model, seller, date and service tier.

    `overrides` are the user's own prices, by model name or by `provider/model`; they hold for
    every date and win over the list. Models may be named with their seller (`openai:gpt-4o`,
    `openai/gpt-4o`). Answers are remembered, so that a cost takes microseconds; safe to share
    between threads.

    What the list publishes no price for is unpriced: a batch or flex tier without a published
    price (all of Azure's), a tier before the day its price is known from, a model that is not
    sold by the token, a name that is merely like a listed one. Searches, images and other things
    beside tokens are not priced.
    """

    def __init__(
        self, overrides: Mapping[str, ModelPrice] | None = None, *, clock: Clock = time.time
    ) -> None:
        self._overrides: dict[str, ModelPrice] = {}
        for name, price in (overrides or {}).items():
            if not isinstance(price, ModelPrice):
                raise ConfigurationError(
                    f"the price of {name!r} must be a ModelPrice(input=…, output=…), not {price!r}"
                )
            self._overrides[name.strip().lower()] = price
        self._clock = clock
        self._known: _Known | None = None

    def cost(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
    ) -> Decimal:
        """The cost of one call in dollars; `at` is now if not given, and UTC if naive.

        Raises:
            UnpricedError: no price is known; says what to do.
            ConfigurationError: there is no such tier.
        """
        cost = bill(self._card(model, provider, at, tier), usage)
        if cost is None:
            raise _unpriced(model, provider, tier, "it has no price for output tokens")
        return cost

    def rates(
        self,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
        input_tokens: int = 0,
    ) -> Rates:
        """Dollars per token for a call with `input_tokens` of input (long ones may cost more).

        Raises:
            UnpricedError: no price is known; says what to do.
            ConfigurationError: there is no such tier.
        """
        return self._card(model, provider, at, tier).at(input_tokens).rates

    def context_window(self, model: str, *, provider: str | None = None) -> int | None:
        """The most input tokens the model takes, or None if the list does not say."""
        try:
            return self._listing(self._current(), parse_model(model, provider)).model.context_window
        except UnpricedError:
            return None

    def quote(
        self,
        model: str,
        *,
        provider: str | None = None,
        at: datetime | None = None,
        tier: ServiceTier = "standard",
    ) -> PriceQuote:
        """The price that `cost` would use, with its source.

        Raises:
            UnpricedError: no price is known; says what to do.
            ConfigurationError: there is no such tier.
        """
        moment = self._moment(at)
        card = self._card(model, provider, moment, tier)
        wanted = parse_model(model, provider)
        if self._override(model, provider, wanted) is not None:
            return PriceQuote(
                model=wanted.name,
                provider=wanted.provider,
                tier=tier,
                at=moment,
                card=card,
                source="your own price",
                context_window=self.context_window(model, provider=provider),
            )
        listing = self._listing(self._current(), wanted)
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
        """Up to five listed names that are spelt much like this one."""
        wanted = parse_model(model)
        return catalog.similar_names(catalog.load_snapshot(), wanted)

    def _moment(self, at: datetime | None) -> datetime:
        if at is None:
            return datetime.fromtimestamp(self._clock(), UTC)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    def _card(
        self, model: str, provider: str | None, at: datetime | None, tier: ServiceTier
    ) -> RateCard:
        moment = self._moment(at)
        known = self._current()
        cards = known.cards
        day = (model, provider, tier, moment.date())
        card = cards.get(day) or cards.get((*day, moment.hour, moment.minute))
        if card is not None:
            return card
        if tier not in _TIERS:
            raise ConfigurationError(f"service tier {tier!r} is none of {', '.join(_TIERS)}")
        wanted = parse_model(model, provider)
        own = self._override(model, provider, wanted)
        within_a_day = False
        if own is not None:
            card = RateCard.of(own, tier)
            if card is None:
                reason = f"your own price says nothing about the {tier} tier"
                raise _unpriced(model, provider, tier, reason)
        else:
            try:
                listing = self._listing(known, wanted)
                card = catalog.rate_card(listing, moment, tier)
            except UnpricedError as error:
                raise _unpriced(model, provider, tier, str(error)) from None
            within_a_day = listing.changes_within_a_day
        _remember(cards, (*day, moment.hour, moment.minute) if within_a_day else day, card)
        return card

    def _override(self, model: str, provider: str | None, wanted: ModelName) -> ModelPrice | None:
        if not self._overrides:
            return None
        raw = model.strip().lower()
        sellers = {s for s in (wanted.provider, provider and canonical_provider(provider)) if s}
        sellers |= {provider.strip().lower()} if provider else set()
        names = [f"{seller}{mark}{wanted.name}" for seller in sorted(sellers) for mark in "/:"]
        for name in (*names, raw, wanted.name):
            if name in self._overrides:
                return self._overrides[name]
        return None

    def _current(self) -> _Known:
        """What is known of the snapshot in use; genai-prices can swap it for a newer one."""
        snapshot = catalog.load_snapshot()
        known = self._known
        if known is None or known.snapshot is not snapshot:
            known = self._known = _Known(snapshot=snapshot)
        return known

    def _listing(self, known: _Known, wanted: ModelName) -> catalog.Listing:
        answer = known.listings.get(wanted)
        if answer is None:
            try:
                answer = catalog.find_listing(known.snapshot, wanted)
            except UnpricedError as error:
                answer = str(error)
            _remember(known.listings, wanted, answer)
        if isinstance(answer, str):
            raise UnpricedError(answer)
        return answer


def _remember(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def _unpriced(model: str, provider: str | None, tier: str, reason: str) -> UnpricedError:
    seller = "" if provider is None else f" from {provider}"
    discount = ", batch_discount=Decimal('…')" if tier == "batch" else ""
    return UnpricedError(
        f"no {tier} price is known for {model!r}{seller}: {reason}. Give your own with PriceBook("
        f"{{{model!r}: ModelPrice(input=Decimal('…'), output=Decimal('…'){discount})}}), "
        "in dollars per million tokens; 0 for a model you host yourself."
    )
