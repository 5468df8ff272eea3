"""Read tokens, model names and service tiers from LangChain's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from langchain_llm_optimizers.messages import METADATA_KEY, SHARE_KEY
from llm_optimizers.caching.answers import CACHE_HIT, reported_by_mark
from llm_optimizers.costs import ServiceTier, Usage
from llm_optimizers.costs.call import NOT_SHARED, CallShare, Reported, baseline_call
from llm_optimizers.costs.prices.rates import service_tier, stated_tier
from llm_optimizers.costs.pricing import RemovedTokens

__all__ = [
    "baseline_call_of",
    "model_of",
    "removed_of",
    "reported_by",
    "service_tier_of",
    "share_of",
    "usage_of",
]

_TIERED: tuple[ServiceTier, ...] = ("flex", "priority")
# Where integrations put the provider's own counts, even if they also translate them.
_RAW_KEYS = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics")


def usage_of(message: AIMessage) -> Usage | None:
    """Return the tokens that the provider reported, None if it reported none.

    `usage_metadata` includes cached tokens in the input and reasoning in the output, as `Usage`
    does (https://reference.langchain.com/python/langchain_core/messages/#UsageMetadata). If an
    integration does not set it, or to zeros, the provider's own counts are read.
    """
    raw: Mapping[str, Any] = message.usage_metadata or {}
    if not _count(raw, "input_tokens") and not _count(raw, "output_tokens"):
        metadata = message.response_metadata
        candidates = (*(metadata.get(name) for name in _RAW_KEYS), metadata)
        found = (Usage.read(counts) for counts in candidates)
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
    """Return what the provider reported with an answer."""
    return Reported(model=model_of(message), usage=usage_of(message), tier=service_tier_of(message))


def share_of(message: AIMessage) -> CallShare:
    """Return what batching, prompts and routing did to an answer's call, from their marks on it."""
    metadata: Mapping[str, Any] = message.response_metadata
    if not metadata.get(SHARE_KEY) and not metadata.get(METADATA_KEY):
        return NOT_SHARED
    shared = CallShare.from_dict(metadata.get(SHARE_KEY)) or NOT_SHARED
    mark = metadata.get(METADATA_KEY) or {}
    return replace(
        shared,
        removed=shared.removed + removed_of(mark),
        baseline_model=mark.get("baseline_model") or shared.baseline_model,
    )


def baseline_call_of(message: AIMessage) -> Reported:
    """Return the call that the answer, fresh or cached, would have needed without any strategy."""
    mark = message.response_metadata.get(CACHE_HIT)
    reported = reported_by_mark(mark) if isinstance(mark, Mapping) else reported_by(message)
    return baseline_call(reported, share=share_of(message))


def model_of(message: AIMessage) -> str:
    """Return the model that the provider names in its answer, "" if it names none."""
    metadata = message.response_metadata
    return str(metadata.get("model_name") or metadata.get("model") or "")


def service_tier_of(message: AIMessage) -> ServiceTier:
    """Return the service tier of the answer; a stream shows it only in the names of its counts."""
    raw: Mapping[str, Any] = message.usage_metadata or {}
    named = stated_tier(message.response_metadata)
    counted = raw.get("output_token_details") or {}
    in_counts = next((tier for tier in _TIERED if tier in counted), None)
    return in_counts or service_tier(named)


def _tiered(raw: Mapping[str, Any], name: str) -> int:
    """Return a count that langchain-openai may prefix with the tier: `flex_cache_read`."""
    return sum(_count(raw, f"{prefix}{name}") for prefix in ("", "flex_", "priority_"))


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def removed_of(mark: object) -> RemovedTokens:
    """Return what prompt optimisers removed from the prompt, from their mark."""
    if not isinstance(mark, Mapping):
        return RemovedTokens()
    removed = int(mark.get("prompt_tokens_removed", 0))
    return RemovedTokens(tokens=removed, repeated=int(mark.get("prompt_tokens_sent_before", 0)))
