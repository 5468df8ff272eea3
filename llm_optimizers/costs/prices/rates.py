"""Rates by the token and by the piece, wherever the prices come from; bill.py adds them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args

from llm_optimizers.arguments import amount, mapping, one_of, refuse, whole
from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.prices.tiers import ServiceTier

__all__ = [
    "FEES",
    "LABELS",
    "TOKEN_RATES",
    "Answers",
    "ModelPrice",
    "PriceQuote",
    "RateCard",
    "Rates",
    "ServiceTier",
    "per_token",
]

Answers: TypeAlias = Literal["text", "audio", "image", "mixed"]

_ZERO = Decimal(0)

TOKEN_RATES: Mapping[str, str] = {
    "input": "input",
    "cache_read": "input read from the cache",
    "cache_write": "input written to the cache",
    "cache_write_1h": "input cached for an hour",
    "input_audio": "audio input",
    "cache_read_audio": "audio read from the cache",
    "input_image": "picture input",
    "cache_read_image": "pictures read from the cache",
    "output": "output",
    "reasoning": "reasoning",
    "output_audio": "audio output",
    "output_image": "picture output",
}
"""What is billed by the token, as fields of `ModelPrice` and `RateCard`, and how each is called."""
FEES: Mapping[str, str] = {
    "web_search": "web searches",
    "file_search": "file searches",
    "code_session": "code sessions",
    "image": "pictures by the piece",
    "per_request": "requests",
}
"""What is billed by the piece."""
LABELS: Mapping[str, str] = {**TOKEN_RATES, **FEES, "other": "other fees"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """A price set by the user: tokens in dollars per million, the rest in dollars each.

    Zero is allowed, for a model you host yourself. Without `cache_read` or `cache_write`, those
    tokens cost the same as input, and without `reasoning` such tokens cost the same as output.
    Other parts without a price (audio, pictures in the answer, searches) leave a call unpriced,
    unless both `input` and `output` are zero: then all tokens are free. `batch_discount` is the
    fraction taken off in a batch (0.5 is half price). `tiers` holds the whole price of other
    service tiers; a call in a tier that has neither is unpriced. `long_context` holds the whole
    price of calls with more input tokens than its key.

    Raises:
        ConfigurationError: an amount is not a Decimal of 0 or more, or the discount is over 1.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    batch_discount: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    cache_read_audio: Decimal | None = None
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    cache_read_image: Decimal | None = None
    output_image: Decimal | None = None
    web_search: Decimal | None = None
    file_search: Decimal | None = None
    code_session: Decimal | None = None
    image: Decimal | None = None
    per_request: Decimal | None = None
    tiers: Mapping[ServiceTier, ModelPrice] = field(default_factory=dict, hash=False)
    long_context: Mapping[int, ModelPrice] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in (*TOKEN_RATES, *FEES, "batch_discount"):
            value = getattr(self, name)
            if value is not None or name in ("input", "output"):
                object.__setattr__(self, name, amount(name, value, least=0))
        if self.batch_discount is not None and self.batch_discount > 1:
            give = "the fraction taken off: Decimal('0.5') is half price"
            refuse("batch_discount", self.batch_discount, give)
        for tier in mapping("tiers", self.tiers, ModelPrice):
            one_of("tiers", tier, get_args(ServiceTier)[1:])
        if self.batch_discount is not None and "batch" in self.tiers:
            refuse("tiers", "batch", "either batch_discount or the price of the batch tier")
        if not isinstance(self.long_context, Mapping):
            refuse("long_context", self.long_context, "a mapping of input tokens to ModelPrice")
        for tokens, price in self.long_context.items():
            whole("long_context", tokens, least=1)
            if not isinstance(price, ModelPrice):
                refuse("long_context", price, "a ModelPrice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per token."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """All rates of one model at one time and tier, in dollars per token or piece.

    None means that there is no separate rate; `bill` says which parts are then billed at the plain
    rate. `per_request` is charged once per call. `long_context` holds thresholds of input tokens
    in rising order, each with the card that prices all tokens of a call whose input exceeds it.

    `audio_as_text` says that audio input has the rate of text; `search_per_call` that the fee for
    web searches is for a call with any number of them; `always_searches` that each call has at
    least one. `answers` says what the plain rate of the output is for: "mixed" is a model that
    answers with text and with pictures or video, at different rates. `unused` are listed rates for
    what no usage counts (hours of audio, pages), by the list's own name. `own` says that the user
    set the price.
    """

    input: Decimal
    output: Decimal | None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    cache_read_audio: Decimal | None = None
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    cache_read_image: Decimal | None = None
    output_image: Decimal | None = None
    web_search: Decimal | None = None
    file_search: Decimal | None = None
    code_session: Decimal | None = None
    image: Decimal | None = None
    per_request: Decimal = _ZERO
    long_context: tuple[tuple[int, RateCard], ...] = ()
    audio_as_text: bool = False
    search_per_call: bool = False
    always_searches: bool = False
    answers: Answers = "text"
    unused: tuple[tuple[str, Decimal], ...] = ()
    own: bool = False

    @classmethod
    def of(cls, price: ModelPrice, tier: ServiceTier) -> RateCard | None:
        """Return the card of a user's price, None if the price does not cover the tier."""
        if tier in price.tiers:
            return cls._of(price.tiers[tier])
        if tier == "standard":
            return cls._of(price)
        if tier == "batch" and price.batch_discount is not None:
            return cls._of(price).scaled(1 - price.batch_discount)
        return None

    @classmethod
    def _of(cls, price: ModelPrice) -> RateCard:
        tokens = {name: getattr(price, name) for name in TOKEN_RATES}
        rates: dict[str, Any] = {
            name: None if value is None else per_token(value) for name, value in tokens.items()
        }
        if not price.input and not price.output:
            rates = {name: _ZERO if rate is None else rate for name, rate in rates.items()}
        fees = {name: value for name in FEES if (value := getattr(price, name)) is not None}
        longer = tuple((above, cls._of(each)) for above, each in sorted(price.long_context.items()))
        return cls(**rates, **fees, long_context=longer, own=True)

    def scaled(self, factor: Decimal, *, fees: bool = False) -> RateCard:
        """Return the card with its token rates, and its `fees` if so asked, times `factor`."""
        names = (*TOKEN_RATES, *FEES) if fees else TOKEN_RATES
        rates: dict[str, Any] = {
            name: EXACT.multiply(rate, factor) for name in names if (rate := getattr(self, name))
        }
        longer = ((above, card.scaled(factor, fees=fees)) for above, card in self.long_context)
        return replace(self, **rates, long_context=tuple(longer))

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


def per_token(per_million: Decimal) -> Decimal:
    """Convert dollars per million tokens to dollars per token, exactly."""
    return per_million.scaleb(-6)
