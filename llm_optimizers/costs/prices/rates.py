"""Rates and what they make of a usage: the arithmetic of a bill, free of where prices come from.

A bill splits the tokens into parts that are each billed once: plain, cached, written to the
cache, spoken, reasoned. A part without a rate of its own is billed at the plain rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError

__all__ = ["ModelPrice", "PriceQuote", "RateCard", "Rates", "ServiceTier", "bill", "service_tier"]

ServiceTier: TypeAlias = Literal["standard", "batch", "flex", "priority"]
_TIERS: tuple[ServiceTier, ...] = ("batch", "flex", "priority")

_ZERO = Decimal(0)


def service_tier(name: str) -> ServiceTier:
    """The tier of a provider's word for it; any other word (`default`, `auto`) is the standard."""
    return next((tier for tier in _TIERS if tier == name.strip().lower()), "standard")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """A price of the user's own, in dollars per million tokens.

    Zero is a price: a model on one's own machine is free because its owner says so. Without
    `cache_read` or `cache_write` those tokens cost what input costs. `batch_discount` is the
    fraction taken off in a batch (0.5 is half price); without it a batch call is unpriced.

    Raises:
        ConfigurationError: an amount is no Decimal of 0 or more, or the discount is not in 0..1.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    batch_discount: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write", "batch_discount"):
            amount = getattr(self, name)
            if amount is None and name not in ("input", "output"):
                continue
            if not isinstance(amount, Decimal) or not amount.is_finite() or amount < 0:
                raise ConfigurationError(
                    f"price {name} must be a Decimal of 0 or more, such as Decimal('0.15'), "
                    f"not {amount!r}"
                )
        if self.batch_discount is not None and self.batch_discount > 1:
            raise ConfigurationError(
                "batch_discount is the fraction taken off: Decimal('0.5') is half price"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per one token."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """Every rate of one model at one moment and tier, in dollars per one token.

    None means that such tokens have no rate of their own. `per_request` is charged once a call.
    `long_context` holds the cards that replace this one when the input exceeds a number of
    tokens, the smallest number first; they then price all tokens of the call.
    """

    input: Decimal
    output: Decimal | None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    per_request: Decimal = _ZERO
    long_context: tuple[tuple[int, RateCard], ...] = ()

    @classmethod
    def of(cls, price: ModelPrice, tier: ServiceTier) -> RateCard | None:
        """The card of a user's own price, or None if it says nothing about the tier."""
        if tier == "standard":
            factor = Decimal(1)
        elif tier == "batch" and price.batch_discount is not None:
            factor = 1 - price.batch_discount
        else:
            return None
        card = cls(
            input=per_token(price.input),
            output=per_token(price.output),
            cache_read=_optional(price.cache_read),
            cache_write=_optional(price.cache_write),
        )
        return card if factor == 1 else card.scaled(factor)

    def scaled(self, factor: Decimal) -> RateCard:
        """The same card with its token rates multiplied."""
        names = ("input", "output", "cache_read", "cache_write")
        rates = {name: getattr(self, name) for name in names}
        return replace(self, **{k: v * factor for k, v in rates.items() if v is not None})

    def at(self, input_tokens: int) -> RateCard:
        """The card that prices a call with so much input."""
        chosen = self
        for threshold, card in self.long_context:
            if input_tokens > threshold:
                chosen = card
        return chosen

    @property
    def rates(self) -> Rates:
        """The four rates that most decisions need; a model without output has rate 0 for it."""
        return Rates(
            input=self.input,
            output=_ZERO if self.output is None else self.output,
            cache_read=self.input if self.cache_read is None else self.cache_read,
            cache_write=self.input if self.cache_write is None else self.cache_write,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceQuote:
    """A price and where it comes from. `since` is the day it took effect, if the list says."""

    model: str
    provider: str | None
    tier: ServiceTier
    at: datetime
    card: RateCard
    source: str
    since: date | None = None
    url: str | None = None
    context_window: int | None = None
    comment: str | None = None


def bill(card: RateCard, usage: Usage) -> Decimal | None:
    """The cost in dollars of one call, or None when it has tokens that the card cannot price.

    Parts that exceed their whole (a provider's miscount) are billed in full and leave no plain
    tokens: an error here never makes a call cheaper.
    """
    card = card.at(usage.input_tokens)
    if card.output is None and usage.output_tokens:
        return None
    return card.per_request + _input_cost(card, usage) + _output_cost(card, usage)


def _input_cost(card: RateCard, usage: Usage) -> Decimal:
    plain = usage.input_tokens
    cost = _ZERO
    if card.cache_read is not None and usage.cache_read_tokens:
        plain -= usage.cache_read_tokens
        cost += usage.cache_read_tokens * card.cache_read
    if card.cache_write is not None and usage.cache_write_tokens:
        plain -= usage.cache_write_tokens
        hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
        hour_rate = card.cache_write if card.cache_write_1h is None else card.cache_write_1h
        cost += (usage.cache_write_tokens - hour) * card.cache_write + hour * hour_rate
    if card.input_audio is not None and usage.input_audio_tokens:
        # Audio that came from the cache was billed with the cache above.
        spoken = min(usage.input_audio_tokens, max(plain, 0))
        plain -= spoken
        cost += spoken * card.input_audio
    return cost + max(plain, 0) * card.input


def _output_cost(card: RateCard, usage: Usage) -> Decimal:
    if card.output is None:
        return _ZERO
    plain = usage.output_tokens
    cost = _ZERO
    if card.output_audio is not None and usage.output_audio_tokens:
        plain -= usage.output_audio_tokens
        cost += usage.output_audio_tokens * card.output_audio
    if card.reasoning is not None and usage.reasoning_tokens:
        plain -= usage.reasoning_tokens
        cost += usage.reasoning_tokens * card.reasoning
    return cost + max(plain, 0) * card.output


def per_token(per_million: Decimal) -> Decimal:
    """Dollars per token from dollars per million, exactly."""
    return per_million.scaleb(-6)


def _optional(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_token(per_million)
