"""From a finished LangChain run to a call of the account: pure translation, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

from langchain_llm_optimizers.messages import COMBINED, MARK
from langchain_llm_optimizers.usage import bare_call_of, removed_of, reported_by
from llm_optimizers.caching.answers import CACHE_HIT, served_by_mark
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.costs.call import Call, CallShare, Reported
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.costs.pricing import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.costs.records import Status

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import CombinedCall, QuestionOutcome

__all__ = [
    "SHARED",
    "RunFacts",
    "call_of_run",
    "call_of_share",
    "hit_mark",
    "record_hit",
    "tags_of",
]

SHARED: WeakValueDictionary[str, CombinedCall] = WeakValueDictionary()
"""Combined calls by the id of the run that waits for its share: LangChain ends the run of a
caller that leaves before its share is known."""

_INTERNAL_TAGS = ("seq:step", "map:key", "graph:step", "langsmith:")
_INTERNAL = ("ls_", "lc_", "langgraph_", "checkpoint", "__", MARK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What was known of a run before it ended.

    `metadata` and `tags` are LangChain's; `model` is the one asked for, `kind` its class's name;
    `context` what a strategy that made the call knows of it.
    """

    id: str
    started: datetime
    messages: Sequence[BaseMessage] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    model: str = ""
    kind: str = ""
    context: CallContext = NO_CALL_CONTEXT

    @property
    def provider(self) -> str | None:
        """The model's provider, None where neither LangChain nor the class's name says it."""
        return provider_of(self.kind, str(self.metadata.get("ls_provider") or ""))

    @property
    def removed(self) -> RemovedTokens:
        """What prompt optimisers took out before the run."""
        mark = self.messages[-1].additional_kwargs.get(MARK) if self.messages else None
        return removed_of(mark) if mark else NOTHING_REMOVED


def call_of_run(
    run: RunFacts,
    generations: Sequence[Generation],
    *,
    latency_s: float | None,
    status: Status = "ok",
    error: str | None = None,
    reported: Usage | None = None,
) -> Call:
    """The call behind one model run, a cache hit among them.

    `reported` is the usage that came apart from the message, if any did.
    """
    mark, message = hit_mark(generations), _message(generations)
    said = Reported() if message is None or mark is not None else reported_by(message)
    return Call(
        id=run.id if mark is None else mark["id"] or run.id,
        time=run.started,
        asked=run.model,
        answered=said.model if mark is None else str(mark.get("model") or ""),
        provider=run.provider,
        reported=said.usage or reported,
        tier=said.tier,
        context=run.context,
        removed=run.removed,
        share=_share(message) if mark is None else None,
        served=None if mark is None else served_by_mark(mark),
        tags=tags_of(run.metadata, run.tags),
        latency_s=latency_s,
        status=status,
        error=error,
    )


def call_of_share(run: RunFacts, settled: QuestionOutcome) -> Call:
    """A run whose answer, if it got one, came out of a combined call."""
    return Call(
        id=run.id,
        time=run.started,
        asked=run.model,
        answered=settled.model,
        provider=run.provider,
        reported=settled.usage,
        tier=settled.tier,
        context=run.context,
        removed=run.removed,
        share=settled.share,
        tags=tags_of(run.metadata, run.tags),
        latency_s=settled.latency_s,
        status=settled.status,
        error=None if settled.error is None else type(settled.error).__name__,
    )


def record_hit(ledger: Ledger, generations: Sequence[Generation], run: RunFacts) -> None:
    """Record a served answer for a cache that has a ledger.

    A callback handler that records the run into the same ledger knows more of it, and the ledger
    keeps the handler's record.
    """
    call_of_run(run, generations, latency_s=None).account(ledger)


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
    bare = bare_call_of(message)
    usage = None if bare.usage is None else bare.usage.as_dict()
    return {"id": None, "tier": "other", "model": bare.model, "usage": usage}


def tags_of(metadata: Mapping[str, Any], tags: Sequence[str]) -> dict[str, str]:
    """The user's own metadata and tags, for attribution; the frameworks' own are left out."""
    kept = {
        key: str(value)
        for key, value in metadata.items()
        if not key.startswith(_INTERNAL) and isinstance(value, str | int | bool)
    }
    own = [tag for tag in tags if not tag.startswith(_INTERNAL_TAGS)]
    return {**kept, "tags": ",".join(own)} if own else kept


def _message(generations: Sequence[Generation]) -> AIMessage | None:
    """The first generation's message: of several, each repeats the whole call's usage."""
    for generation in generations[:1]:
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            return generation.message
    return None


def _share(message: AIMessage | None) -> CallShare | None:
    """How an answer shared a call with others, None for one that did not."""
    mark = None if message is None else message.response_metadata.get(COMBINED)
    return CallShare.from_dict(mark) if mark else None
