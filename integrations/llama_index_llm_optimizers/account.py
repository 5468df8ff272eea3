"""From LlamaIndex's events to records of the account: pure translation, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.conveying import Conveyed, conveyed_by, user_tags
from llama_index_llm_optimizers.hits import LLMCacheHitEvent
from llama_index_llm_optimizers.messages import core_message
from llama_index_llm_optimizers.shared import LLMSharedAnswerEvent
from llm_optimizers.costs import CallRecord, PriceBook, Saving, ServiceTier, Usage, price_call
from llm_optimizers.costs.naming import priced_name
from llm_optimizers.costs.prices.names import knows_provider
from llm_optimizers.costs.records import Basis, Status
from llm_optimizers.costs.savings import beside, taken_away
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.types import ChatRequest, Message

__all__ = [
    "CallFacts",
    "Outcome",
    "abandoned_usage",
    "estimate",
    "record_of_call",
    "record_of_embedding",
    "record_of_hit",
    "record_of_share",
    "seller",
    "text_of",
]

_TIERS: Mapping[str, ServiceTier] = {"flex": "flex", "priority": "priority", "batch": "batch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a start event told: who was asked what, by whose code.

    `model` is the one asked for, `kind` its class's name; `params` what was given with the call.
    """

    id: str
    started: datetime
    model: str
    kind: str
    messages: Sequence[ChatMessage] | str = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended: what the provider told, and how long it took in seconds."""

    model: str = ""
    usage: Usage | None = None
    service_tier: str = ""
    latency_s: float | None = None
    status: Status = "ok"
    error: str | None = None


def record_of_call(
    prices: PriceBook, facts: CallFacts, outcome: Outcome, estimated: Usage | None
) -> CallRecord:
    """The record of one call; `estimated` is used where the provider told no usage."""
    usage = outcome.usage or estimated or Usage()
    provider = seller(facts.kind)
    conveyed = conveyed_by(facts.tags)
    removed = _removed(conveyed, usage)
    record = price_call(
        prices,
        id=facts.id,
        time=facts.started,
        model=priced_name(prices, (outcome.model, facts.model), provider),
        provider=provider,
        usage=usage,
        tier=_TIERS.get(outcome.service_tier, "standard"),
        baseline_model=conveyed.baseline_model,
        baseline_provider=conveyed.baseline_provider,
        baseline_usage=usage + removed if removed.input_tokens else None,
        tags=user_tags(facts.tags),
        latency_s=outcome.latency_s,
        status=outcome.status,
        error=outcome.error,
        estimated=outcome.usage is None and estimated is not None,
    )
    return record if conveyed.aside is None else beside(record, conveyed.aside)


def record_of_share(prices: PriceBook, share: LLMSharedAnswerEvent) -> CallRecord:
    """The record of a question whose call others may have shared.

    It is that of a call alone, with what sharing saved on top.
    """
    conveyed, alone = conveyed_by(share.tags), share.alone or share.usage
    provider = seller(share.asked_class)
    model = priced_name(prices, (share.model, share.asked), provider)
    record = price_call(
        prices,
        id=share.answer_id,
        time=datetime.now(UTC),
        model=model,
        provider=provider,
        usage=alone,
        baseline_model=conveyed.baseline_model,
        baseline_provider=conveyed.baseline_provider,
        baseline_usage=alone + _removed(conveyed, alone),
        tags=user_tags(share.tags),
        status="ok" if share.error is None else "error",
        error=share.error,
    )
    record = _with_share(prices, record, share)
    return record if conveyed.aside is None else beside(record, conveyed.aside)


def _with_share(prices: PriceBook, record: CallRecord, share: LLMSharedAnswerEvent) -> CallRecord:
    """The record of a call alone as that of a question's share of a call."""
    if record.cost is None or share.alone is None or share.usage == share.alone:
        return record
    at, provider = record.time, record.provider
    cost = prices.cost(share.usage, record.model, provider=provider, at=at)
    basis: Basis = "estimated" if share.asked_with > 1 else "measured"
    saved = Saving(strategy="batching", amount=record.cost - cost, basis=basis)
    return replace(
        record,
        usage=share.usage,
        cost=cost,
        baseline_usage=record.baseline_usage or record.usage,
        savings=(*record.savings, saved),
    )


def _removed(conveyed: Conveyed, usage: Usage) -> Usage:
    """What the prompt optimiser took away."""
    removed, repeated = conveyed.removed_tokens, conveyed.repeated_tokens
    return taken_away(usage, removed=removed, repeated=repeated)


def record_of_hit(prices: PriceBook, hit: LLMCacheHitEvent) -> CallRecord:
    """The record of a served answer: nothing spent, and what its call would have cost."""
    provider = seller(hit.asked_class)
    return price_call(
        prices,
        id=hit.hit_id,
        time=datetime.now(UTC),
        model=priced_name(prices, (hit.model, hit.asked), provider),
        provider=provider,
        usage=Usage(),
        baseline_usage=hit.usage or Usage(),
        hit_strategy=f"cache.{hit.tier}",
        tags=user_tags(hit.tags),
    )


def record_of_embedding(
    prices: PriceBook, facts: CallFacts, usage: Usage, *, exact: bool, served: bool
) -> CallRecord:
    """The record of texts that were embedded, or `served` from an embeddings cache."""
    return price_call(
        prices,
        id=f"{facts.id}-served" if served else facts.id,
        time=facts.started,
        model=facts.model or "unknown",
        provider=seller(facts.kind),
        usage=Usage() if served else usage,
        baseline_usage=usage,
        hit_strategy="cache.embeddings" if served else None,
        tags=user_tags(facts.tags),
        estimated=not exact,
    )


def estimate(counter: TokenCounter, facts: CallFacts, text: str) -> Usage | None:
    """Tokens of a call counted here, None where its messages cannot be read."""
    try:
        messages: tuple[Message, ...]
        if isinstance(facts.messages, str):
            messages = (Message(role="user", content=facts.messages),)
        else:
            messages = tuple(core_message(message) for message in facts.messages)
        params = {"tools": facts.params.get("tools")}
        request = ChatRequest(messages=messages, model=facts.model, params=params)
        return Usage(
            input_tokens=counter.count_request(request).tokens,
            output_tokens=counter.count(text, facts.model).tokens,
        )
    except ConfigurationError:
        return None


def abandoned_usage(outcome: Outcome, counted: Usage | None) -> tuple[Outcome, Usage | None]:
    """The outcome of a call that was left, and its usage as an estimate.

    What the provider told by then may lack most of the output, and what is counted here lacks
    what the provider adds: of each count the greater holds.
    """
    told = outcome.usage
    if told is None or counted is None:
        return replace(outcome, usage=None), told or counted
    known = counted.as_dict()
    greater = {name: max(known[name], count) for name, count in told.as_dict().items()}
    return replace(outcome, usage=None), Usage(**greater)


def seller(kind: str) -> str | None:
    """The provider of an integration's class name, None for one that is not known.

    `openai_llm`, `Anthropic_LLM`, `azure_openai_llm`, `OpenAIEmbedding`, …
    """
    name = kind.lower()
    for ending in ("_llm", "llm", "_embedding", "embedding"):
        name = name.removesuffix(ending)
    return name if knows_provider(name) else None


def text_of(reply: Reply | None) -> str:
    """All text of a response, or of the part of it that came."""
    if reply is None:
        return ""
    message = getattr(reply, "message", None)
    return (message.content or "") if message is not None else getattr(reply, "text", "")
