"""Tokens and model names out of LangChain's messages, for the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from langchain_llm_optimizers.messages import COMBINED, MARK
from llm_optimizers.caching.answers import CACHE_HIT, reported_by_mark
from llm_optimizers.costs import ServiceTier, Usage
from llm_optimizers.costs.call import NOT_SHARED, CallShare, Reported, baseline_call
from llm_optimizers.costs.prices.rates import service_tier
from llm_optimizers.costs.pricing import RemovedTokens

__all__ = [
    "bare_call_of",
    "model_of",
    "removed_of",
    "reported_by",
    "share_of",
    "tier_of",
    "usage_of",
]

_TIERED: tuple[ServiceTier, ...] = ("flex", "priority")
# Where integrations leave the provider's own counts, whether or not they translate them too.
_RAW = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics")


def usage_of(message: AIMessage) -> Usage | None:
    """The tokens the provider counted, None when it reported nothing.

    `usage_metadata` counts cached tokens as part of the input and reasoning as part of the
    output, as `Usage` does
    (https://reference.langchain.com/python/langchain_core/messages/#UsageMetadata). Where an
    integration leaves it out, the provider's own counts are read.
    """
    raw: Mapping[str, Any] = message.usage_metadata or {}
    if "input_tokens" not in raw:
        said = message.response_metadata
        found = (Usage.read(counts) for counts in (*(said.get(name) for name in _RAW), said))
        return next((usage for usage in found if usage is not None), None)
    read: Mapping[str, Any] = raw.get("input_token_details") or {}
    written: Mapping[str, Any] = raw.get("output_token_details") or {}
    hour = _count(read, "ephemeral_1h_input_tokens")
    five = _count(read, "ephemeral_5m_input_tokens")
    return Usage(
        input_tokens=_count(raw, "input_tokens"),
        output_tokens=_count(raw, "output_tokens"),
        cache_read_tokens=_tiered(read, "cache_read"),
        cache_write_tokens=max(_tiered(read, "cache_creation"), hour + five),
        cache_write_1h_tokens=hour,
        reasoning_tokens=_tiered(written, "reasoning"),
        input_audio_tokens=_count(read, "audio"),
        output_audio_tokens=_count(written, "audio"),
    )


def reported_by(message: AIMessage) -> Reported:
    """What the provider says of an answer."""
    return Reported(model=model_of(message), usage=usage_of(message), tier=tier_of(message))


def share_of(message: AIMessage) -> CallShare:
    """What the strategies that an answer came through say of its call, by their marks on it."""
    said: Mapping[str, Any] = message.response_metadata
    if not said.get(COMBINED) and not said.get(MARK):
        return NOT_SHARED
    shared = CallShare.from_dict(said.get(COMBINED)) or NOT_SHARED
    mark = said.get(MARK) or {}
    return replace(
        shared,
        removed=shared.removed + removed_of(mark),
        baseline_model=mark.get("baseline_model") or shared.baseline_model,
    )


def bare_call_of(message: AIMessage) -> Reported:
    """The call that an answer, called for or served, would have taken without any strategy."""
    mark = message.response_metadata.get(CACHE_HIT)
    said = reported_by_mark(mark) if isinstance(mark, Mapping) else reported_by(message)
    return baseline_call(said, share=share_of(message))


def model_of(message: AIMessage) -> str:
    """The model that the provider says answered, "" when it does not say."""
    metadata = message.response_metadata
    return str(metadata.get("model_name") or metadata.get("model") or "")


def tier_of(message: AIMessage) -> ServiceTier:
    """The tier that served the answer; a stream tells it in the names of its counts alone."""
    raw: Mapping[str, Any] = message.usage_metadata or {}
    named = message.response_metadata.get("service_tier")
    counted = raw.get("output_token_details") or {}
    in_counts = next((tier for tier in _TIERED if tier in counted), None)
    return in_counts or (service_tier(str(named)) if named else "standard")


def _tiered(raw: Mapping[str, Any], name: str) -> int:
    """A count that langchain-openai names after the tier: `flex_cache_read` for `cache_read`."""
    return sum(_count(raw, f"{prefix}{name}") for prefix in ("", "flex_", "priority_"))


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def removed_of(mark: object) -> RemovedTokens:
    """What the prompt optimisers that left a mark took out of the prompt."""
    if not isinstance(mark, Mapping):
        return RemovedTokens()
    removed = int(mark.get("prompt_tokens_removed", 0))
    return RemovedTokens(tokens=removed, repeated=int(mark.get("prompt_tokens_sent_before", 0)))
