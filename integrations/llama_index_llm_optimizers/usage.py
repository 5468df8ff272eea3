"""Tokens, model names, finish reasons and our own marks out of LlamaIndex's responses.

Each integration leaves the provider's own object, or a mapping of it, in `raw`; what providers
call the same thing is settled here, once.
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
from llm_optimizers.costs.prices.rates import service_tier
from llm_optimizers.costs.pricing import RemovedTokens

__all__ = [
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

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")


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
        _mapping(raw.get("meta")),
        beside.get("usage"),
        beside,
        within.get("usage"),
        raw,
    )
    for candidate in told:
        usage = Usage.read(
            candidate.model_dump() if isinstance(candidate, BaseModel) else candidate
        )
        if usage is not None:
            return usage
    return None


def usage_of_stream(replies: Iterable[Reply]) -> Usage | None:
    """The tokens of a stream."""
    told: Usage | None = None
    for reply in replies:
        told = latest_usage(told, usage_of(reply))
    return told


def latest_usage(first: Usage | None, second: Usage | None) -> Usage | None:
    """What is known after two reports of one call; see `Usage.later`."""
    return first.later(second) if first is not None and second is not None else first or second


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


def gives_reasons(reply: Reply) -> bool:
    """Whether the provider's object has a field for why the answer ended, filled in or not."""
    raw = _mapping(reply.raw)
    places = [raw, _mapping(raw.get("message")), _mapping(raw.get("delta"))]
    for name in ("choices", "candidates"):
        options = raw.get(name)
        places.extend(map(_mapping, options if isinstance(options, list | tuple) else ()))
    return any(name in place for name in _REASONS for place in places)


def reported_by(reply: Reply) -> Reported:
    """What the provider says of an answer."""
    tier = service_tier(service_tier_of(reply))
    return Reported(model=model_of(reply), usage=usage_of(reply), tier=tier)


def share_of(reply: Reply) -> CallShare:
    """What the strategies that a reply came through say of its call, by their marks on it."""
    beside = reply.additional_kwargs
    shared = CallShare.from_dict(beside.get(SHARE_KEY)) or NOT_SHARED
    routed = beside.get(ROUTING_KEY) or {}
    return replace(
        shared,
        removed=shared.removed + RemovedTokens(**(beside.get(SHORTENED_KEY) or {})),
        baseline_model=routed.get("baseline_model") or shared.baseline_model,
    )


def hit_mark(reply: Reply) -> Mapping[str, Any] | None:
    """The mark of a served answer, None for one that was called for."""
    mark = reply.additional_kwargs.get(CACHE_HIT)
    return mark if isinstance(mark, Mapping) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    """A provider's object as the mapping of its fields, without copying what is inside."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.model_extra or {})}
    return {}
