"""Read tokens, model names, finish reasons and our own marks from LlamaIndex's responses.

Each integration puts the provider's own object, or a mapping of it, in `raw`. Providers use
different names for the same fields; they are all read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.messages import ROUTING_KEY, SHARE_KEY, SHORTENED_KEY
from llm_optimizers.caching.answers import CACHE_HIT
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import NOT_SHARED, CallShare, Reported
from llm_optimizers.costs.prices.rates import service_tier, stated_tier
from llm_optimizers.costs.pricing import RemovedTokens

__all__ = [
    "ENDED",
    "finish_reason_of",
    "gives_reasons",
    "hit_mark",
    "latest_usage",
    "model_of",
    "reported_by",
    "service_tier_of",
    "share_of",
    "usage_of",
    "usage_of_stream",
]

ENDED = "complete"
"""The reason given for a stream that ended, where LlamaIndex hides the event that says why."""
_BEDROCK_EVENTS = frozenset({"contentBlockDelta", "contentBlockStart", "metadata"})
_RESPONSE_ENDS = frozenset({"cancelled", "completed", "failed", "incomplete"})
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")


def usage_of(reply: Reply) -> Usage | None:
    """Return the tokens that the provider reported, None if it reported none."""
    raw = _mapping(reply.raw)
    additional = reply.additional_kwargs
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    candidates = (
        raw.get("usage"),
        raw.get("usage_metadata"),
        _mapping(raw.get("response")).get("usage"),
        _mapping(raw.get("metadata")).get("usage"),  # the last event of Bedrock's streams
        _mapping(raw.get("meta")),
        additional.get("usage"),
        additional,
        within.get("usage"),
        raw,
    )
    for candidate in candidates:
        usage = Usage.read(
            candidate.model_dump() if isinstance(candidate, BaseModel) else candidate
        )
        if usage is not None:
            return usage
    return None


def usage_of_stream(replies: Iterable[Reply]) -> Usage | None:
    """Return the tokens that a stream's chunks reported, None if they reported none."""
    usage: Usage | None = None
    for reply in replies:
        usage = latest_usage(usage, usage_of(reply))
    return usage


def latest_usage(first: Usage | None, second: Usage | None) -> Usage | None:
    """Combine two reports of one call; see `Usage.later`."""
    return first.later(second) if first is not None and second is not None else first or second


def model_of(reply: Reply) -> str:
    """Return the model that the provider names in its answer, "" if it names none."""
    raw = _mapping(reply.raw)
    inner = raw.get("message") or raw.get("response")
    named = raw.get("model") or raw.get("model_version") or _mapping(inner).get("model")
    return named if isinstance(named, str) else ""


def service_tier_of(reply: Reply) -> str:
    """Return the service tier that the provider reported, "" if it reported none."""
    return stated_tier(reply.raw)


def finish_reason_of(reply: Reply) -> str:
    """Return why the answer ended, in the provider's term; "" if it is not given.

    Of a stream of Bedrock's LlamaIndex does not pass on the event with the reason, but the one with
    the counts, which comes after it.
    """
    raw = _mapping(reply.raw)
    if _is_bedrocks_event(raw):
        return ENDED if "usage" in _mapping(raw.get("metadata")) else ""
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    reason = raw.get("stop_reason") or raw.get("stopReason") or within.get("stop_reason")
    for name in ("choices", "candidates"):
        options = raw.get(name)
        if isinstance(options, list | tuple) and options:
            reason = reason or _mapping(options[0]).get("finish_reason")
    for answer in (raw, _mapping(raw.get("response"))):
        # OpenAI's Responses API: cut off, filtered, failed; "completed" is a whole answer.
        if answer.get("status") in _RESPONSE_ENDS:
            reason = reason or answer["status"]
    if raw.get("type") == "error":
        reason = reason or "failed"
    reason = reason or _mapping(raw.get("delta")).get("stop_reason") or raw.get("done_reason")
    reason = reason or reply.additional_kwargs.get("finish_reason") or raw.get("finish_reason")
    return str(getattr(reason, "name", reason) or "").lower()


def gives_reasons(reply: Reply) -> bool:
    """Whether the provider's object has a field for why the answer ended, even if it is empty.

    A stream of Bedrock's or of OpenAI's Responses has an event for it.
    """
    raw = _mapping(reply.raw)
    if _is_bedrocks_event(raw) or str(raw.get("type")).startswith("response."):
        return True
    places = [raw, _mapping(raw.get("message")), _mapping(raw.get("delta"))]
    for name in ("choices", "candidates"):
        options = raw.get(name)
        places.extend(map(_mapping, options if isinstance(options, list | tuple) else ()))
    return any(name in place for name in _REASONS for place in places)


def reported_by(reply: Reply) -> Reported:
    """Return what the provider reported with an answer."""
    tier = service_tier(service_tier_of(reply))
    return Reported(model=model_of(reply), usage=usage_of(reply), tier=tier)


def share_of(reply: Reply) -> CallShare:
    """Return what batching, prompts and routing did to a reply's call, from their marks on it."""
    additional = reply.additional_kwargs
    shared = CallShare.from_dict(additional.get(SHARE_KEY)) or NOT_SHARED
    routed = additional.get(ROUTING_KEY) or {}
    return replace(
        shared,
        removed=shared.removed + RemovedTokens(**(additional.get(SHORTENED_KEY) or {})),
        baseline_model=routed.get("baseline_model") or shared.baseline_model,
    )


def hit_mark(reply: Reply) -> Mapping[str, Any] | None:
    """Return the cache's mark on a reply, None if the LLM was called for it."""
    mark = reply.additional_kwargs.get(CACHE_HIT)
    return mark if isinstance(mark, Mapping) else None


def _is_bedrocks_event(raw: Mapping[str, Any]) -> bool:
    """Whether this is one event of a stream of Bedrock's."""
    return len(raw) == 1 and not _BEDROCK_EVENTS.isdisjoint(raw)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a provider's object as a shallow mapping of its fields."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.model_extra or {})}
    return {}
