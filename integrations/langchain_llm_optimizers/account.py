"""From a finished LangChain run to a record of the account: pure translation, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableConfig

from langchain_llm_optimizers.hits import CACHE_HIT, usage_of_mark
from langchain_llm_optimizers.messages import COMBINED, MARK
from langchain_llm_optimizers.usage import model_of, tier_of, usage_before, usage_of
from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage, price_call
from llm_optimizers.costs.naming import priced_name
from llm_optimizers.costs.prices.names import knows_provider
from llm_optimizers.costs.records import Status
from llm_optimizers.costs.savings import beside

__all__ = ["RunFacts", "hit_mark", "record_hit", "record_of_run", "seller", "tags_of"]

_INTERNAL_TAGS = ("seq:step", "map:key", "graph:step", "langsmith:")
_BESIDE = ("sample", "judge")
_INTERNAL = ("ls_", "lc_", "langgraph_", "checkpoint", "__", MARK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What was known of a run before it ended.

    `metadata` and `tags` are LangChain's; `model` is the one asked for, `kind` its class's name.
    """

    id: str
    started: datetime
    messages: Sequence[BaseMessage] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    model: str = ""
    kind: str = ""

    @property
    def provider(self) -> str | None:
        """Who sells the model, as far as anybody said."""
        return seller(self.metadata, self.kind)


def seller(params: Mapping[str, Any], kind: str) -> str | None:
    """The provider of tracing parameters; LangChain makes one of the class's name if none is given.

    A made-up name says nothing about prices, so that the model's name alone must do.
    """
    stated = str(params.get("ls_provider") or "")
    derived = kind.removeprefix("Chat").removesuffix("Chat")
    guessed = stated.lower() == derived.lower() and not knows_provider(stated)
    return None if not stated or guessed else stated


def record_of_run(
    prices: PriceBook,
    run: RunFacts,
    generations: Sequence[Generation],
    *,
    latency_s: float,
    status: Status = "ok",
    error: str | None = None,
    told: Usage | None = None,
    estimate: Usage | None = None,
) -> CallRecord:
    """The record of one model run, a cache hit among them.

    `told` is the usage that came beside the message, if any did. `estimate` is used where the
    provider told none, and marks the record as estimated.
    """
    mark = hit_mark(generations)
    if mark is not None:
        return _record_of_hit(prices, run, mark, latency_s)
    message = _message(generations)
    told = (usage_of(message) if message is not None else None) or told
    usage = told or estimate or Usage()
    provider = run.provider
    conveyed: Mapping[str, Any] = run.metadata.get(MARK) or {}
    shared = _shared_mark(message)
    record = price_call(
        prices,
        id=run.id,
        time=run.started,
        model=priced_name(prices, (model_of(message) if message else "", run.model), provider),
        provider=provider,
        usage=usage,
        tier=tier_of(message) if message else "standard",
        baseline_model=conveyed.get("baseline_model"),
        baseline_provider=conveyed.get("baseline_provider"),
        baseline_usage=_usage_alone(shared) if shared else _before_shortening(run.messages, usage),
        tags=tags_of(run.metadata, run.tags),
        latency_s=latency_s,
        status=status,
        error=error,
        estimated=told is None and estimate is not None,
    )
    if shared:
        # An app without batching need not load it for its account.
        from llm_optimizers.batching.account import as_batching

        record = as_batching(record, estimated=bool(shared.get("estimated")))
    return beside(record, "routing") if conveyed.get("role") in _BESIDE else record


def record_hit(
    ledger: Ledger, generations: Sequence[Generation], config: RunnableConfig | None
) -> None:
    """Record a hit where no callback does; one that does so too changes nothing."""
    mark = hit_mark(generations)
    if mark is not None:
        run = RunFacts(
            id=mark["id"],
            started=datetime.now(UTC),
            metadata=(config or {}).get("metadata") or {},
            tags=(config or {}).get("tags") or (),
        )
        ledger.record(_record_of_hit(ledger.prices, run, mark, None))


def hit_mark(generations: Sequence[Generation]) -> Mapping[str, Any] | None:
    """The mark of a served answer, None for one that was called for."""
    for generation in generations[:1]:
        marked = (
            generation.message.response_metadata
            if isinstance(generation, ChatGeneration)
            else generation.generation_info or {}
        )
        mark = marked.get(CACHE_HIT)
        if isinstance(mark, Mapping) and "id" in mark and "tier" in mark:
            return mark
        return _mark_of_another_cache(generation)
    return None


def _mark_of_another_cache(generation: Generation) -> Mapping[str, Any] | None:
    """LangChain gives a hit of any cache the usage of the call that was stored, at no cost."""
    message = _message([generation])
    raw: Mapping[str, Any] = (message.usage_metadata if message else None) or {}
    if message is None or raw.get("total_cost") != 0:
        return None
    usage = usage_of(message)
    return {
        "id": None,
        "tier": "other",
        "model": model_of(message),
        "usage": None if usage is None else usage.as_dict(),
    }


def tags_of(metadata: Mapping[str, Any], tags: Sequence[str]) -> dict[str, str]:
    """The user's own metadata and tags, for attribution; the frameworks' own are left out."""
    kept = {
        key: str(value)
        for key, value in metadata.items()
        if not key.startswith(_INTERNAL) and isinstance(value, str | int | bool)
    }
    own = [tag for tag in tags if not tag.startswith(_INTERNAL_TAGS)]
    return {**kept, "tags": ",".join(own)} if own else kept


def _record_of_hit(
    prices: PriceBook, run: RunFacts, mark: Mapping[str, Any], latency_s: float | None
) -> CallRecord:
    provider = run.provider
    stored = usage_of_mark(mark) or Usage()
    return price_call(
        prices,
        id=mark["id"] or run.id,
        time=run.started,
        model=priced_name(prices, (str(mark.get("model") or ""), run.model), provider),
        provider=provider,
        usage=Usage(),
        baseline_usage=_before_shortening(run.messages, stored) or stored,
        hit_strategy=f"cache.{mark['tier']}",
        tags=tags_of(run.metadata, run.tags),
        latency_s=latency_s,
    )


def _message(generations: Sequence[Generation]) -> AIMessage | None:
    """The first generation's message: of several, each repeats the whole call's usage."""
    for generation in generations[:1]:
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            return generation.message
    return None


def _shared_mark(message: AIMessage | None) -> Mapping[str, Any] | None:
    """How an answer shared a prompt with others, None for one that did not."""
    mark = message.response_metadata.get(COMBINED) if message is not None else None
    return mark if isinstance(mark, Mapping) and "alone" in mark else None


def _usage_alone(shared: Mapping[str, Any]) -> Usage:
    """What an answer out of a combined prompt would have used in a call of its own."""
    return Usage(**shared["alone"])


def _before_shortening(messages: Sequence[BaseMessage], usage: Usage) -> Usage | None:
    """The usage without a prompt optimiser that stood before the model."""
    return usage_before(messages[-1].additional_kwargs.get(MARK), usage) if messages else None
