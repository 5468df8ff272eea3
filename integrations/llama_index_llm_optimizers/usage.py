"""Tokens, model names and finish reasons out of LlamaIndex's responses.

Each integration leaves the provider's own object, or a mapping of it, in `raw`; what providers
call the same thing is settled here, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from llama_index_llm_optimizers.call import Reply
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "finish_reason_of",
    "later",
    "model_of",
    "service_tier_of",
    "usage_of",
    "usage_of_stream",
]


def usage_of(reply: Reply) -> Usage | None:
    """The tokens the provider counted, None when it told nothing."""
    raw = _mapping(reply.raw)
    beside = reply.additional_kwargs
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    told = (
        raw.get("usage"),
        raw.get("usage_metadata"),
        _mapping(raw.get("response")).get("usage"),
        beside.get("usage"),
        beside,
        within.get("usage"),
    )
    for candidate in told:
        usage = _read(candidate.model_dump() if isinstance(candidate, BaseModel) else candidate)
        if usage is not None:
            return usage
    return None


def usage_of_stream(replies: Iterable[Reply]) -> Usage | None:
    """The tokens of a stream."""
    told: Usage | None = None
    for reply in replies:
        told = later(told, usage_of(reply))
    return told


def later(first: Usage | None, second: Usage | None) -> Usage | None:
    """What is known after two tellings: counts are cumulative, and the last of each holds.

    Anthropic tells the input in the first event and the output in the last.
    """
    if first is None or second is None:
        return first or second
    counts = second.as_dict()
    return Usage(**{name: counts[name] or count for name, count in first.as_dict().items()})


def model_of(reply: Reply) -> str:
    """The model that the provider says answered, "" when it does not say."""
    raw = _mapping(reply.raw)
    inner = raw.get("message") or raw.get("response")
    named = raw.get("model") or raw.get("model_version") or _mapping(inner).get("model")
    return named if isinstance(named, str) else ""


def service_tier_of(reply: Reply) -> str:
    """The service tier that the provider says it billed, "" when it does not say."""
    tier = _mapping(reply.raw).get("service_tier")
    return tier if isinstance(tier, str) else ""


def finish_reason_of(reply: Reply) -> str:
    """The provider's own word for why the answer ended, "" when it gives none."""
    raw = _mapping(reply.raw)
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    reason = raw.get("stop_reason") or raw.get("stopReason") or within.get("stop_reason")
    for name in ("choices", "candidates"):
        options = raw.get(name)
        if isinstance(options, list | tuple) and options:
            reason = reason or _mapping(options[0]).get("finish_reason")
    for answer in (raw, _mapping(raw.get("response"))):
        if answer.get("status") == "incomplete":  # OpenAI's responses, cut off or filtered
            reason = reason or "incomplete"
    reason = reason or _mapping(raw.get("delta")).get("stop_reason") or raw.get("done_reason")
    reason = reason or reply.additional_kwargs.get("finish_reason") or raw.get("finish_reason")
    return str(getattr(reason, "name", reason) or "").lower()


def _read(told: Any) -> Usage | None:
    """A provider's counts, recognised by their names; None if these are no counts."""
    if not isinstance(told, Mapping):
        return None
    try:
        if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:
            return _known(Usage.from_anthropic(told))
        if "prompt_token_count" in told:
            return _known(_google(told))
        if "inputTokens" in told:
            return _known(_bedrock(told))
        if {"prompt_tokens", "input_tokens", "completion_tokens"} & set(told):
            return _known(Usage.from_openai(told))
    except ConfigurationError:
        return None
    return None


def _google(told: Mapping[str, Any]) -> Usage:
    """Gemini counts thoughts apart from the answer (https://ai.google.dev/api/generate-content)."""
    thoughts = _count(told, "thoughts_token_count")
    return Usage(
        input_tokens=_count(told, "prompt_token_count")
        + _count(told, "tool_use_prompt_token_count"),
        output_tokens=_count(told, "candidates_token_count") + thoughts,
        cache_read_tokens=_count(told, "cached_content_token_count"),
        reasoning_tokens=thoughts,
    )


def _bedrock(told: Mapping[str, Any]) -> Usage:
    """Bedrock's Converse leaves cached tokens out of the input, as Anthropic does."""
    read, written = _count(told, "cacheReadInputTokens"), _count(told, "cacheWriteInputTokens")
    return Usage(
        input_tokens=_count(told, "inputTokens") + read + written,
        output_tokens=_count(told, "outputTokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _known(usage: Usage) -> Usage | None:
    """None for counts that are all zero: providers fill them in where they have none."""
    return usage if usage.total_tokens else None


def _count(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    """A provider's object as the mapping of its fields, without copying what is inside."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.model_extra or {})}
    return {}
