"""Find what providers report in LangChain's messages; the core reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_llm_optimizers.messages import METADATA_KEY, SHARE_KEY
from llm_optimizers.caching.answers import CACHE_HIT, reported_by_mark
from llm_optimizers.costs import Usage
from llm_optimizers.costs.answers import NOT_SHARED, CallShare, Reported, baseline_call
from llm_optimizers.costs.removed import RemovedTokens
from llm_optimizers.costs.reports import Report

__all__ = [
    "baseline_call_of",
    "counted_once",
    "model_of",
    "removed_of",
    "reported_by",
    "reported_by_result",
    "share_of",
    "usage_of",
]

_TIERED = ("flex", "priority")
_M = TypeVar("_M", bound=AIMessage)


def reported_by(message: AIMessage) -> Reported:
    """Return what the provider reported with an answer.

    Its own counts, where an integration keeps them, say more than `usage_metadata`, in which
    LangChain has only those it knows; but of a stream only that may be left, and of the tier only
    the names of its counts.
    """
    additional = message.additional_kwargs
    parts = {name: additional.get(name) for name in ("tool_outputs", "usage")}
    translated: Mapping[str, Any] = message.usage_metadata or {}
    report = Report(adds_up=True)
    report.add(message.response_metadata, {"content": message.content, **parts}, translated)
    counted = translated.get("output_token_details") or {}
    report.add_tier(next((tier for tier in _TIERED if tier in counted), ""))
    return report.reported()


def reported_by_result(response: LLMResult) -> Reported | None:
    """Return what the provider reported of a completion model's run, from `llm_output`.

    If several prompts were sent together, LangChain gives the whole usage to the first run and none
    to the others, so they add up; their usage is zero. None if nothing is said.
    """
    given = response.llm_output or {}
    counts = given.get("token_usage", given.get("usage"))
    if not isinstance(counts, Mapping):
        return None
    first = response.generations[0] if response.generations else []
    if not counts and not any(isinstance(each, ChatGeneration) for each in first):
        return Reported(usage=Usage())
    return Report(adds_up=True).add(given).reported()


def counted_once(message: _M, chunks: Iterable[object]) -> _M:
    """Return a stream's merged answer with its last usage, if each usage includes those before.

    LangChain adds up what the chunks report. Some servers in OpenAI's format (Perplexity, vLLM with
    `continuous_usage_stats`) report the whole so far in each, so that the prompt would count as
    often as there are chunks: then all have the same input and the output never falls.
    """
    counts = [c.usage_metadata for c in chunks if isinstance(c, AIMessage) and c.usage_metadata]
    inputs = [each.get("input_tokens") for each in counts]
    outputs = [each.get("output_tokens") for each in counts]
    known = all(isinstance(number, int) for number in (*inputs, *outputs))
    if not known or len(counts) < 2 or not inputs[0] or len(set(inputs)) > 1:
        return message
    grows = all(before <= after for before, after in pairwise(outputs))
    return message.model_copy(update={"usage_metadata": counts[-1]}) if grows else message


def usage_of(message: AIMessage) -> Usage | None:
    """Return what the provider reported as used, None if it reported nothing."""
    return reported_by(message).usage


def share_of(message: AIMessage) -> CallShare:
    """Return what batching, prompts and routing did to an answer's call, from their marks on it."""
    metadata: Mapping[str, Any] = message.response_metadata
    if not metadata.get(SHARE_KEY) and not metadata.get(METADATA_KEY):
        return NOT_SHARED
    shared = CallShare.from_dict(metadata.get(SHARE_KEY)) or NOT_SHARED
    mark = metadata.get(METADATA_KEY) or {}
    return replace(
        shared,
        removed=shared.removed + removed_of(mark),
        baseline_model=mark.get("baseline_model") or shared.baseline_model,
    )


def baseline_call_of(message: AIMessage) -> Reported:
    """Return the call that the answer, fresh or cached, would have needed without any strategy."""
    mark = message.response_metadata.get(CACHE_HIT)
    reported = reported_by_mark(mark) if isinstance(mark, Mapping) else reported_by(message)
    return baseline_call(reported, share=share_of(message))


def model_of(message: AIMessage) -> str:
    """Return the model that the provider names in its answer, "" if it names none."""
    metadata = message.response_metadata
    return str(metadata.get("model_name") or metadata.get("model") or "")


def removed_of(mark: object) -> RemovedTokens:
    """Return what prompt optimisers removed from the prompt, from their mark."""
    if not isinstance(mark, Mapping):
        return RemovedTokens()
    removed = int(mark.get("prompt_tokens_removed", 0))
    return RemovedTokens(tokens=removed, repeated=int(mark.get("prompt_tokens_sent_before", 0)))
