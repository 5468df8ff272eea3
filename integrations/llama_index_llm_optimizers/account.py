"""Translate LlamaIndex's events into the core's `Call`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.hits import LLMCacheHitEvent
from llama_index_llm_optimizers.shared import LLMSharedAnswerEvent
from llm_optimizers.costs import Usage
from llm_optimizers.costs.answers import Reported, ServedAnswer
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext, context_of
from llm_optimizers.costs.failed import Failure
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.costs.records import Status
from llm_optimizers.costs.runs import NOBODY, Attribution

__all__ = [
    "CallInfo",
    "Outcome",
    "call_of",
    "call_of_embedding",
    "call_of_hit",
    "call_of_share",
    "text_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """What is known of a call when it starts.

    `model` and `class_name` name the requested model and its class; `params` are the call's own
    settings; `attribution` says whose money it is, and `context` comes from the strategy that made
    the call.
    """

    id: str
    started: datetime
    model: str
    class_name: str
    messages: Sequence[ChatMessage] | str = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    attribution: Attribution = NOBODY
    context: CallContext = NO_CALL_CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended: what the provider reported, the latency in seconds, and how it failed."""

    reported: Reported = field(default_factory=Reported)
    latency_s: float | None = None
    failure: Failure | None = None


def call_of(info: CallInfo, outcome: Outcome) -> Call:
    """Return the call that an LLM's own start and end events describe."""
    failed = outcome.failure or Failure()
    report = failed.reported if failed.progress == "answered" else outcome.reported
    return Call(
        id=info.id,
        time=info.started,
        asked=info.model,
        answered=report.model,
        provider=provider_of(info.class_name),
        reported=report.usage,
        tier=report.tier,
        billed=report.cost,
        suspicious=report.suspicious,
        context=info.context,
        attribution=info.attribution,
        latency_s=outcome.latency_s,
        status="ok" if outcome.failure is None else failed.status,
        error=failed.error,
        progress=failed.progress,
    )


def call_of_share(share: LLMSharedAnswerEvent, attribution: Attribution) -> Call:
    """Return the call of a question that may have shared it with others."""
    return Call(
        id=share.answer_id,
        time=share.started,
        asked=share.asked,
        answered=share.model,
        provider=provider_of(share.asked_class),
        reported=share.usage,
        tier=share.tier,
        billed=share.cost,
        context=context_of(),
        share=share.share,
        attribution=attribution,
        latency_s=share.latency_s,
        status=share.status,
        error=share.error,
    )


def call_of_hit(hit: LLMCacheHitEvent, attribution: Attribution) -> Call:
    """Return the call that a cache hit replaced."""
    return Call(
        id=hit.hit_id,
        time=datetime.now(UTC),
        asked=hit.asked,
        answered=hit.model,
        provider=provider_of(hit.asked_class),
        context=context_of(),
        served=ServedAnswer(tier=hit.tier, usage=hit.usage, estimated=hit.estimated, cost=hit.cost),
        attribution=attribution,
    )


def call_of_embedding(
    info: CallInfo,
    usage: Usage,
    *,
    exact: bool,
    served: bool,
    status: Status = "ok",
    error: str | None = None,
) -> Call:
    """Return the call for texts that were embedded, or `served` from an embeddings cache.

    Embedding events report no usage, so `usage` is counted here; `exact` says whether the model's
    own tokenizer was used.
    """
    return Call(
        id=f"{info.id}-served" if served else info.id,
        time=info.started,
        asked=info.model,
        provider=provider_of(info.class_name),
        reported=usage if exact and status != "error" else None,
        served=ServedAnswer(tier="embeddings", usage=usage, estimated=not exact)
        if served
        else None,
        attribution=info.attribution,
        status=status,
        error=error,
        kind="embedding",
    )


def text_of(reply: Reply | None) -> str:
    """Return the text of a reply, or "" if there is none."""
    if reply is None:
        return ""
    message = getattr(reply, "message", None)
    return (message.content or "") if message is not None else getattr(reply, "text", "")
