"""Service tiers: at what price and how soon a provider serves a call, in every provider's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from llm_optimizers.costs.usage.places import there

__all__ = ["ServiceTier", "service_tier", "stated_tier"]

ServiceTier: TypeAlias = Literal["standard", "batch", "flex", "priority", "other"]
"""`other` is a tier whose price is in no list: reserved or provisioned throughput, OpenAI's scale,
Groq's performance, Anthropic's fast mode, and every word that is not known here. It is unpriced."""

_WORDS: dict[str, ServiceTier] = {
    **dict.fromkeys(
        (
            # OpenAI, Azure, Bedrock, Anthropic, Gemini, Groq; Vertex as a traffic type
            *("standard", "default", "auto", "on_demand", "unspecified", "standard_only"),
            *("traffic_type_unspecified", "service_tier_unspecified", "service_tier_standard"),
            *("none", "null"),
        ),
        "standard",
    ),
    **dict.fromkeys(("batch", "batches"), "batch"),
    **dict.fromkeys(("flex", "on_demand_flex", "service_tier_flex"), "flex"),
    **dict.fromkeys(("priority", "on_demand_priority", "service_tier_priority"), "priority"),
}
_PLACES = (
    # OpenAI (https://platform.openai.com/docs/guides/flex-processing), Azure, Groq
    *("service_tier", "response.service_tier", "service_tier.type"),
    # Bedrock (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html)
    *("serviceTier.type", "serviceTier", "metadata.serviceTier.type"),
    # Anthropic (https://docs.anthropic.com/en/api/service-tiers)
    *("usage.service_tier", "message.usage.service_tier"),
    # Vertex, in its own format and in OpenAI's
    # (https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse)
    *("usage_metadata.traffic_type", "usageMetadata.trafficType", "usage_metadata.service_tier"),
    *("usage.traffic_type", "usage.extra_properties.google.traffic_type"),
    # Headers, where an integration keeps them
    *("headers.x-gemini-service-tier", "headers.x-amzn-bedrock-service-tier"),
    *("ResponseMetadata.HTTPHeaders.x-amzn-bedrock-service-tier",),
)
# What Anthropic bills above its list: the fast mode, and processing that stays in the US
# (https://docs.anthropic.com/en/docs/about-claude/pricing).
_DEARER = {
    **dict.fromkeys(("usage.speed", "message.usage.speed"), "fast"),
    **dict.fromkeys(("usage.inference_geo", "message.usage.inference_geo"), "us"),
}
_DEARER_PLACES = tuple(_DEARER)


def service_tier(name: str) -> ServiceTier:
    """Return the tier of a provider's word for it.

    A word that LangChain's merging of chunks has repeated is the word.
    """
    word = re.sub(r"[\s\-]+", "_", name.strip().lower())
    if not word:
        return "standard"
    if word in _WORDS:
        return _WORDS[word]
    repeated = (tier for known, tier in _WORDS.items() if not word.replace(known, ""))
    return next(repeated, "other")


def stated_tier(answer: Mapping[str, Any]) -> str:
    """Return the tier that a provider's answer names, in its own word; "" if it names none.

    `answer` has the fields of a provider's object, or of an event of a stream.
    """
    for place, word in there(answer, _DEARER_PLACES):
        if word == _DEARER[place]:
            return str(word)
    for _, named in there(answer, _PLACES):
        word = getattr(named, "value", named)
        if isinstance(word, str) and word:
            return word
    return ""
