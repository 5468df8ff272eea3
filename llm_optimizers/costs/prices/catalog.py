"""List prices from genai-prices (https://github.com/pydantic/genai-prices), with stricter checks.

genai-prices is a dated price list, maintained by Pydantic and read offline. Used directly, it
prices what it should refuse: an unknown tier costs the standard price, tokens of `whisper-1` are
free, and `claude-sonnet-4-5-foo` matches Claude. Here a name must be listed, or be a dated
snapshot or `-latest` alias of a listed one; a tier must have a published price; and only tokens
are priced. Loading the data takes a third of a second, so it is loaded when first used. The package
itself is imported at once: it imports httpx2, and a thread that does so later would break calls
that the OpenAI SDK makes meanwhile, which looks at the half-imported module.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from llm_optimizers.costs.prices.names import (
    ModelName,
    always_searches,
    is_open_weights,
    is_same_model,
)
from llm_optimizers.costs.prices.rates import Answers, RateCard, ServiceTier, per_token
from llm_optimizers.errors import UnpricedError

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelInfo, Provider

__all__ = [
    "Listing",
    "find_listing",
    "in_force_since",
    "load_snapshot",
    "rate_card",
    "similar_names",
    "source",
]

_CONTEXTS: dict[ServiceTier, dict[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "other": {"service_tier": "other"},  # in no list, so that it is refused
}
_KEYS: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "input_audio": "input_audio_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "output_audio": "output_audio_mtok",
    "input_image": "input_image_mtok",
    "cache_read_image": "cache_image_read_mtok",
    "output_image": "output_image_mtok",
    "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
    "per_request": "requests_kcount",
}
"""The list's names of rates: per million tokens, or per thousand pieces."""
_UNLISTED = "no list price"
_TOO_EARLY = "no price on that day"
# Its price page has one line "text / image / video / audio" where it has none for audio
# (https://ai.google.dev/gemini-api/docs/pricing). Entries that the list calls deprecated are older.
_ONE_RATE = frozenset({"google"})
# Their fee is for a grounded prompt; later Geminis bill each search (the same page).
_GROUNDED = re.compile(r"gemini-[12]\.\d-")
# What the list says of a price that it took from a reseller. The developer may not sell the model
# at all: gpt-oss is a download, and who serves it is another provider, or the user's machine.
_TAKEN_OVER = re.compile(r"imported from openrouter|seen on openrouter|trusting open ?router", re.I)
_CHECKED = re.compile(r"verified against", re.I)
# Providers that develop the models they list. A name without a provider is never looked up at
# providers that only host models: an open model more likely runs on the user's machine.
_DEVELOPERS = frozenset(
    (
        "anthropic",
        "cohere",
        "deepseek",
        "google",
        "mistral",
        "moonshotai",
        "openai",
        "voyageai",
        "x-ai",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A model in the price list, and the provider whose price applies."""

    provider: Provider
    model: ModelInfo
    own_price: bool
    """False if the provider lists no price for the model, so that its developer's price is used."""
    always_searches: bool = False

    @property
    def changes_within_a_day(self) -> bool:
        """Whether the price depends on the time of day (DeepSeek's off-peak hours)."""
        prices = self.model.prices
        entries = [
            *(prices if isinstance(prices, list) else ()),
            *(self.model.price_variants or ()),
        ]
        return any(hasattr(entry.constraint, "start_time") for entry in entries)


def load_snapshot() -> DataSnapshot:
    """Return the price data in use: the installed package's, or a snapshot set by the user."""
    return get_snapshot()


def find_listing(snapshot: DataSnapshot, wanted: ModelName) -> Listing:
    """Find the one entry of the price list that a name means.

    Without a provider, the developer's list price is used if exactly one developer lists the name:
    names of embeddings and fine-tunes mean OpenAI. The name of an open-weights model, which many
    providers host, has no price without a provider.

    Raises:
        UnpricedError: no provider, or more than one, lists that name.
    """
    if wanted.provider is not None:
        provider = next((p for p in snapshot.providers if p.id == wanted.provider), None)
        listing = None if provider is None else _listed(snapshot, provider, wanted.name)
        if listing is None and wanted.name.startswith("arn:"):
            raise UnpricedError(
                "its ARN does not name the model; give the client the model too (ChatBedrock and "
                "ChatBedrockConverse: base_model)",
                reason="a name that hides the model",
            )
        if listing is None:
            raise UnpricedError(f"{wanted.provider} has no list price for it", reason=_UNLISTED)
        return listing
    if is_open_weights(wanted.name):
        raise UnpricedError(
            "it has open weights, which many providers host; name one with provider=",
            reason=_UNLISTED,
        )
    likely = [
        p for p in snapshot.providers if p.model_match and p.model_match.is_match(wanted.name)
    ]
    developers = [p for p in snapshot.providers if p.id in _DEVELOPERS]
    for providers in (likely, developers):
        found = [
            each for p in providers if (each := _listed(snapshot, p, wanted.name, own_price=True))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.provider.id for each in found)
            raise UnpricedError(
                f"{names} all list it; choose one with provider=", reason="several list prices"
            )
    raise UnpricedError("no model developer lists that name", reason=_UNLISTED)


def similar_names(snapshot: DataSnapshot, wanted: ModelName) -> list[str]:
    """Return up to five listed names spelled like an unlisted one, of its provider or any."""
    providers = _DEVELOPERS if wanted.provider is None else {wanted.provider}
    names = {model.id for p in snapshot.providers if p.id in providers for model in p.models}
    if wanted.name in names:
        return []
    return difflib.get_close_matches(wanted.name, sorted(names), n=5)


def rate_card(listing: Listing, at: datetime, tier: ServiceTier) -> RateCard:
    """Return the rates of a listed model at a time (UTC if it has no zone).

    Raises:
        UnpricedError: the model is not billed by tokens, or the list has no price for that day, or
            none for the tier. A discount is never assumed.
    """
    context = _CONTEXTS.get(tier)
    if tier == "standard":
        _check_day(listing.model.prices, at)
    else:
        _check_tier(listing, at, tier, context)
    price = listing.model.get_prices(at, context)
    values = {key: value for key, value in vars(price).items() if value is not None}
    thresholds = sorted({t.start for v in values.values() for t in getattr(v, "tiers", ())})
    base = _card(listing, values, 0)
    if base is None:
        raise UnpricedError(
            "it is not billed by tokens, or its list price is zero", reason="not billed by tokens"
        )
    longer = [(start, _card(listing, values, start + 1) or base) for start in thresholds]
    return base if not longer else replace(base, long_context=tuple(longer))


def _check_day(prices: Any, at: datetime) -> None:
    """Refuse a day before the first price, for which genai-prices would take a later one."""
    entries = prices if isinstance(prices, list) else []
    starts = [_start(entry.constraint) for entry in entries]
    known = [start for start in starts if start is not None]
    if known and len(known) == len(starts) and at.date() < min(known):
        raise UnpricedError(f"its price is known only from {min(known)} on", reason=_TOO_EARLY)


def _check_tier(listing: Listing, at: datetime, tier: str, context: dict[str, str] | None) -> None:
    variants = [v for v in listing.model.price_variants or () if v.when == context]
    priced = [v for v in variants if v.prices.input_mtok is not None]
    if not priced or not listing.own_price:
        raise UnpricedError(
            f"{listing.provider.id} publishes no {tier} price for it",
            reason=f"no price for the {tier} tier",
        )
    if not any(v.constraint is None or v.constraint.active(at) for v in priced):
        first = min((s for v in priced if (s := _start(v.constraint))), default=None)
        raise UnpricedError(f"its {tier} price is known only from {first} on", reason=_TOO_EARLY)


def _start(constraint: Any) -> date | None:
    return getattr(constraint, "start_date", None)


def _card(listing: Listing, values: dict[str, Any], input_tokens: int) -> RateCard | None:
    """Return the rates for this number of input tokens, None if calls are not billed by tokens."""

    def rate(key: str) -> Decimal | None:
        value = values.get(key)
        for step in getattr(value, "tiers", ()):
            if input_tokens > step.start:
                value = step
        return getattr(value, "base", getattr(value, "price", value))

    input_rate, output_rate = rate("input_mtok"), rate("output_mtok")
    if input_rate is None or (not input_rate and not output_rate):
        return None
    if output_rate is None and any(k.startswith("output_") or k.endswith("_hours") for k in values):
        return None
    rates: dict[str, Any] = {
        name: per_token(value) if key.endswith("_mtok") else value.scaleb(-3)
        for name, key in _KEYS.items()
        if (value := rate(key)) is not None
    }
    if listing.always_searches:  # A listed fee is for searches as a tool, which costs less.
        rates.pop("web_search", None)
    unused = [(key, rate(key)) for key in values if key not in _KEYS.values()]
    return RateCard(
        **{"output": None, **rates},
        audio_as_text=listing.provider.id in _ONE_RATE and not listing.model.deprecated,
        search_per_call=_GROUNDED.match(listing.model.id) is not None,
        always_searches=listing.always_searches,
        answers=_answers(listing.model.id, values),
        unused=tuple((key, value) for key, value in unused if value is not None),
    )


def _answers(name: str, values: Mapping[str, Any]) -> Answers:
    """Return what the plain output rate of a listed model is for.

    A reseller's entry often has one output rate for a model whose pictures cost more, so the name
    decides where no other rate does. OpenAI's gpt-image models and speech models ("tts") answer
    with nothing else, so that their one output rate is that of pictures or audio
    (https://developers.openai.com/api/docs/pricing, https://ai.google.dev/gemini-api/docs/pricing).
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if not values.keys().isdisjoint(("output_image_mtok", "output_video_mtok")):
        return "mixed"
    if "tts" in words:
        return "audio"
    if name.startswith("gpt-image"):
        return "image"
    pictures = not words.isdisjoint(("image", "banana")) or {"gemini", "omni"} <= words
    return "mixed" if pictures else "text"


def _listed(
    snapshot: DataSnapshot, provider: Provider, name: str, *, own_price: bool = False
) -> Listing | None:
    """Return the provider's entry of exactly that name, else that of the developer it resells."""
    model = provider.find_model(name)
    if model is not None:
        if not is_same_model(model.id, model.match, name) or _is_taken_over(model):
            return None
        return Listing(
            provider=provider, model=model, own_price=True, always_searches=always_searches(name)
        )
    for developer_id in () if own_price else provider.fallback_model_providers or ():
        developer = next((p for p in snapshot.providers if p.id == developer_id), None)
        model = None if developer is None else developer.find_model(name)
        if model is None or not is_same_model(model.id, model.match, name):
            continue
        if not _is_taken_over(model):
            searches = always_searches(name)
            return Listing(
                provider=provider, model=model, own_price=False, always_searches=searches
            )
    return None


def _is_taken_over(model: ModelInfo) -> bool:
    """Whether the list has a reseller's price for a model, instead of the provider's own."""
    comments = model.price_comments or ""
    return bool(_TAKEN_OVER.search(comments)) and not _CHECKED.search(comments)


def source(snapshot: DataSnapshot) -> str:
    """Return the price list's name and version, and the date of a later update."""
    from importlib.metadata import version

    name = f"genai-prices {version('genai-prices')}"
    return f"{name}, updated {snapshot.timestamp:%Y-%m-%d}" if snapshot.from_auto_update else name


def in_force_since(listing: Listing, at: datetime, tier: ServiceTier) -> date | None:
    """Return the day from which the price at `at` applies, None if the list does not say."""
    if tier == "standard":
        prices = listing.model.prices
        entries: list[Any] = list(prices) if isinstance(prices, list) else []
    else:
        variants = listing.model.price_variants or ()
        entries = [v for v in variants if v.when == _CONTEXTS.get(tier)]
    starts = [s for e in entries if (s := _start(e.constraint)) and e.constraint.active(at)]
    return max(starts, default=None)
