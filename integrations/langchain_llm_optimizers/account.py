"""Translate a finished LangChain run into the core's `Call`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from langchain_llm_optimizers.counting import own_counter, said_in
from langchain_llm_optimizers.messages import METADATA_KEY, SHARE_KEY, USED, core_message
from langchain_llm_optimizers.usage import baseline_call_of, removed_of, reported_by
from llm_optimizers.caching.answers import CACHE_HIT, served_by_mark
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.costs.answers import CallShare, Reported
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext
from llm_optimizers.costs.failed import Failure
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.costs.runs import NOBODY, Attribution
from llm_optimizers.costs.sound import has_sound
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import ChatRequest

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import CombinedCall, QuestionOutcome
    from llm_optimizers.prompts import TokenCounter

__all__ = [
    "SHARED_CALLS",
    "RunInfo",
    "call_of_run",
    "call_of_share",
    "count_run",
    "first_generations",
    "hit_mark",
    "record_hit",
]

SHARED_CALLS: WeakValueDictionary[str, CombinedCall] = WeakValueDictionary()
"""Combined calls by the id of the run that waits for its share of one. LangChain ends a cancelled
caller's run before the share is known."""

logger = safe_logger("llm_optimizers.costs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What is known of a run before it ends.

    `metadata` and `params` (tools, formats) are LangChain's, `attribution` says whose money it is.
    `model` and `class_name` name the requested model and its class. `context` comes from the
    strategy that made the call. `request` reads the request, if it is not in the messages.
    """

    id: str
    started: datetime
    messages: Sequence[BaseMessage] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    attribution: Attribution = NOBODY
    model: str = ""
    class_name: str = ""
    context: CallContext = NO_CALL_CONTEXT
    params: Mapping[str, Any] = field(default_factory=dict)
    completion: bool = False
    request: Callable[[], ChatRequest] | None = None

    @property
    def provider(self) -> str | None:
        """The model's provider, None where neither LangChain nor the class name shows it."""
        return provider_of(self.class_name, str(self.metadata.get("ls_provider") or ""))

    @property
    def removed(self) -> RemovedTokens:
        """The tokens that prompt optimisers removed before the run."""
        mark = self.messages[-1].additional_kwargs.get(METADATA_KEY) if self.messages else None
        return removed_of(mark) if mark else NOTHING_REMOVED


def call_of_run(
    run: RunInfo,
    generations: Sequence[Generation],
    *,
    latency_s: float | None,
    reported: Reported | None = None,
    failure: Failure | None = None,
) -> Call:
    """Return the call of one model run, which may be a cache hit, or a `failure`.

    `reported` is what came outside the message, if anything.
    """
    mark, message = hit_mark(generations), _message(generations)
    failed = failure or Failure()
    beside = reported or failed.reported
    report = beside if message is None or mark is not None else reported_by(message)
    if report.usage is None:
        report = replace(
            report,
            usage=beside.usage,
            suspicious=report.suspicious or beside.suspicious,
            model=report.model or beside.model,
        )
    if report.cost is None:
        report = replace(report, cost=beside.cost)
    share = _share(message) if mark is None else None
    if share is not None and share.counted and report.usage is None:
        report = replace(report, usage=_counted_share(message))
    return Call(
        id=run.id if mark is None else mark["id"] or run.id,
        time=run.started,
        asked=run.model,
        answered=report.model if mark is None else str(mark.get("model") or ""),
        provider=run.provider,
        sound=has_sound(message.content for message in run.messages),
        reported=report.usage,
        tier=report.tier,
        billed=report.cost,
        suspicious=report.suspicious,
        context=run.context,
        removed=run.removed,
        share=share,
        served=None if mark is None else served_by_mark(mark),
        attribution=run.attribution,
        latency_s=latency_s,
        status="ok" if failure is None else failure.status,
        error=failed.error,
        progress=failed.progress,
    )


def call_of_share(run: RunInfo, outcome: QuestionOutcome) -> Call:
    """Return the call of a run whose answer, if any, came from a combined call."""
    return Call(
        id=run.id,
        time=run.started,
        asked=run.model,
        answered=outcome.model,
        provider=run.provider,
        reported=outcome.usage,
        tier=outcome.tier,
        billed=outcome.cost,
        context=run.context,
        removed=run.removed,
        share=outcome.share,
        attribution=run.attribution,
        latency_s=outcome.latency_s,
        status=outcome.status,
        error=None if outcome.error is None else type(outcome.error).__name__,
    )


def record_hit(ledger: Ledger, generations: Sequence[Generation], run: RunInfo) -> None:
    """Record a cache hit in the cache's own ledger.

    If a callback handler records the same run in the same ledger, the ledger keeps the handler's
    record, which is more complete.
    """
    count = partial(count_run, None, run, generations)
    call_of_run(run, generations, latency_s=None).account(ledger, count)


def count_run(
    counter: TokenCounter | None, run: RunInfo, generations: Sequence[Generation]
) -> Usage | None:
    """Count a run's tokens, by default with this process's own counter; None if that fails."""
    try:
        request = run.request() if run.request is not None else _request_of(run)
        counter = own_counter() if counter is None else counter
        return counter.count_call(request, *map(said_in, generations))
    except Exception as error:  # noqa: BLE001 - the call is recorded even without a count
        logger.debug("could not estimate a run's tokens: %s", type(error).__name__)
        return None


def _request_of(run: RunInfo) -> ChatRequest:
    return ChatRequest(
        messages=tuple(core_message(message) for message in run.messages),
        model=run.model,
        params=run.params,
        completion=run.completion,
    )


def hit_mark(generations: Sequence[Generation]) -> Mapping[str, Any] | None:
    """Return the cache's mark on an answer, None if the model was called for it."""
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
    """Return a mark for another LangChain cache's hit: LangChain sets its `total_cost` to 0."""
    message = _message([generation])
    raw: Mapping[str, Any] = (message.usage_metadata if message else None) or {}
    if message is None or raw.get("total_cost") != 0:
        return None
    baseline = baseline_call_of(message)
    usage = None if baseline.usage is None else baseline.usage.as_dict()
    return {"id": None, "tier": "other", "model": baseline.model, "usage": usage}


def _message(generations: Sequence[Generation]) -> AIMessage | None:
    """Return the first generation's message; the others repeat the usage of the whole call."""
    for generation in generations[:1]:
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            return generation.message
    return None


def _share(message: AIMessage | None) -> CallShare | None:
    """Return the answer's share of a combined call, None if its call was not combined."""
    mark = None if message is None else message.response_metadata.get(SHARE_KEY)
    return CallShare.from_dict(mark) if mark else None


def _counted_share(message: AIMessage | None) -> Usage | None:
    """Return what was counted as an answer's share of a combined call without reported usage."""
    mark = None if message is None else message.response_metadata.get(SHARE_KEY)
    return Usage(**mark[USED]) if mark and USED in mark else None


def first_generations(response: LLMResult) -> list[Generation]:
    """Return the generations of the first prompt; LangChain opens a run for each prompt."""
    return list(response.generations[0]) if response.generations else []
