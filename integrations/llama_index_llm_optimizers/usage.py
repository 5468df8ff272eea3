"""Find what providers report in LlamaIndex's responses, and read finish reasons and our own marks.

Each integration puts the provider's own object, or a mapping of it, in `raw`; the core reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.messages import ROUTING_KEY, SHARE_KEY, SHORTENED_KEY
from llm_optimizers.caching.answers import CACHE_HIT
from llm_optimizers.costs.answers import NOT_SHARED, CallShare, Reported
from llm_optimizers.costs.removed import RemovedTokens
from llm_optimizers.costs.reports import Report
from llm_optimizers.costs.usage.places import as_fields

__all__ = [
    "ENDED",
    "add_reply",
    "finish_reason_of",
    "gives_reasons",
    "hit_mark",
    "reported_by",
    "share_of",
]

ENDED = "complete"
"""The reason given for a stream that ended, where LlamaIndex hides the event that says why."""
_BEDROCK_EVENTS = frozenset({"contentBlockDelta", "contentBlockStart", "metadata"})
_RESPONSE_ENDS = frozenset({"cancelled", "completed", "failed", "incomplete"})
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")


def add_reply(report: Report, reply: Reply) -> Report:
    """Add a reply, or a chunk of a stream, to what the provider reported."""
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    return report.add(reply.raw, reply.additional_kwargs, within)


def reported_by(*replies: Reply) -> Reported:
    """Return what the provider reported with an answer, or with the chunks of a stream."""
    report = Report()
    for reply in replies:
        add_reply(report, reply)
    return report.reported()


def finish_reason_of(reply: Reply) -> str:
    """Return why the answer ended, in the provider's term; "" if it is not given.

    Of a stream of Bedrock's LlamaIndex does not pass on the event with the reason, but the one with
    the counts, which comes after it.
    """
    raw = as_fields(reply.raw)
    if _is_bedrocks_event(raw):
        return ENDED if "usage" in as_fields(raw.get("metadata")) else ""
    message = getattr(reply, "message", None)
    within = message.additional_kwargs if message is not None else {}
    reason = raw.get("stop_reason") or raw.get("stopReason") or within.get("stop_reason")
    for name in ("choices", "candidates"):
        options = raw.get(name)
        if isinstance(options, list | tuple) and options:
            reason = reason or as_fields(options[0]).get("finish_reason")
    for answer in (raw, as_fields(raw.get("response"))):
        # OpenAI's Responses API: cut off, filtered, failed; "completed" is a whole answer.
        if answer.get("status") in _RESPONSE_ENDS:
            reason = reason or answer["status"]
    if raw.get("type") == "error":
        reason = reason or "failed"
    reason = reason or as_fields(raw.get("delta")).get("stop_reason") or raw.get("done_reason")
    reason = reason or reply.additional_kwargs.get("finish_reason") or raw.get("finish_reason")
    return str(getattr(reason, "name", reason) or "").lower()


def gives_reasons(reply: Reply) -> bool:
    """Whether the provider's object has a field for why the answer ended, even if it is empty.

    A stream of Bedrock's or of OpenAI's Responses has an event for it.
    """
    raw = as_fields(reply.raw)
    if _is_bedrocks_event(raw) or str(raw.get("type")).startswith("response."):
        return True
    places = [raw, as_fields(raw.get("message")), as_fields(raw.get("delta"))]
    for name in ("choices", "candidates"):
        options = raw.get(name)
        places.extend(map(as_fields, options if isinstance(options, list | tuple) else ()))
    return any(name in place for name in _REASONS for place in places)


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
