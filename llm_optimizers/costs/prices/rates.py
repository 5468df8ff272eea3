"""Rates, and the bill they give for a usage, wherever the prices come from.

A bill splits the tokens into parts that are each billed once: plain, read from the cache, written
to the cache, audio, reasoning. A part without a separate rate is billed at the plain rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from llm_optimizers.arguments import amount, refuse
from llm_optimizers.costs.prices.tiers import ServiceTier
from llm_optimizers.costs.usage import Usage

__all__ = [
    "ModelPrice",
    "PriceQuote",
    "RateCard",
    "Rates",
    "ServiceTier",
    "bill",
]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """A price set by the user, in dollars per million tokens.

    Zero is allowed, for a model you host yourself. Without `cache_read` or `cache_write`, those
    tokens cost the same as input. `batch_discount` is the fraction taken off in a batch (0.5 is
    half price); without it a batch call is unpriced.

    Raises:
        ConfigurationError: an amount is not a Decimal of 0 or more, or the discount is over 1.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    batch_discount: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write", "batch_discount"):
            value = getattr(self, name)
            if value is not None or name in ("input", "output"):
                object.__setattr__(self, name, amount(name, value, least=0))
        if self.batch_discount is not None and self.batch_discount > 1:
            give = "the fraction taken off: Decimal('0.5') is half price"
            refuse("batch_discount", self.batch_discount, give)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per token."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """All rates of one model at one time and tier, in dollars per token.

    None means that such tokens have no separate rate. `per_request` is charged once per call.
    `long_context` holds thresholds of input tokens in rising order, each with the card that
    prices all tokens of a call whose input exceeds it.
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
        """Return the card of a user's price, None if the price does not cover the tier."""
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
        """Return the card with its token rates multiplied by `factor`."""
        names = ("input", "output", "cache_read", "cache_write")
        rates = {name: getattr(self, name) for name in names}
        return replace(self, **{k: v * factor for k, v in rates.items() if v is not None})

    def at(self, input_tokens: int) -> RateCard:
        """Return the card for a call with this number of input tokens."""
        chosen = self
        for threshold, card in self.long_context:
            if input_tokens > threshold:
                chosen = card
        return chosen

    @property
    def rates(self) -> Rates:
        """The four rates that most decisions need; 0 for the output of a model that has none."""
        return Rates(
            input=self.input,
            output=_ZERO if self.output is None else self.output,
            cache_read=self.input if self.cache_read is None else self.cache_read,
            cache_write=self.input if self.cache_write is None else self.cache_write,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceQuote:
    """A price and its source. `since` is the day it took effect, None if unknown."""

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
    """Return the cost of one call in dollars, None if it has tokens that the card cannot price.

    If parts exceed their total (a provider's miscount), they are billed in full with no plain
    tokens, so that a miscount never makes a call cheaper.
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
        # Audio read from the cache was billed above.
        audio = min(usage.input_audio_tokens, max(plain, 0))
        plain -= audio
        cost += audio * card.input_audio
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
    """Convert dollars per million tokens to dollars per token, exactly."""
    return per_million.scaleb(-6)


def _optional(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_token(per_million)
