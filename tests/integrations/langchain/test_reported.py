"""What providers report is found wherever LangChain's integrations and its merging leave it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, LLMResult

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from langchain_llm_optimizers.usage import counted_once, reported_by, reported_by_result
from llm_optimizers.costs import Usage
from support.fakes import StreamingFake

PLAIN = Usage(input_tokens=100, output_tokens=10)
COUNTS: dict[str, Any] = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
OWN = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def merged(*chunks: dict[str, Any]) -> AIMessageChunk:
    first, *others = (AIMessageChunk(content="", **chunk) for chunk in chunks)
    for other in others:
        first = first + other
    return first


def test_counts_and_costs_of_chunks_that_langchain_adds_up_are_billed_once() -> None:
    chunk = {"response_metadata": {"token_usage": {**OWN, "cost_in_usd_ticks": 7}}}
    message = merged(chunk, chunk, {**chunk, "usage_metadata": COUNTS})
    reported = reported_by(message)
    assert message.response_metadata["token_usage"]["prompt_tokens"] in (100, 300)
    assert reported.usage == PLAIN
    assert reported.cost in (None, Decimal("7e-10"))


def test_different_counts_of_chunks_are_not_a_sum_either() -> None:
    chunks = [
        {"response_metadata": {"token_usage": {"prompt_tokens": 100, "completion_tokens": n}}}
        for n in (2, 6)
    ]
    message = merged(*chunks, {"usage_metadata": COUNTS})
    assert message.response_metadata["token_usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 8,
    }
    assert reported_by(message).usage == PLAIN


class WholeUsageInEachChunk(StreamingFake):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for count, chunk in enumerate(super()._stream(*args, **kwargs), 1):
            counts = UsageMetadata(input_tokens=100, output_tokens=count, total_tokens=100 + count)
            chunk.message = chunk.message.model_copy(update={"usage_metadata": counts})
            yield chunk


def test_a_whole_usage_in_each_chunk_counts_once() -> None:
    costs = CostCallbackHandler()
    model = CachedChatModel(WholeUsageInEachChunk(model="gpt-4o"), HybridCache())
    chunks = list(model.stream("How do I reset it?", {"callbacks": [costs]}))
    list(model.stream("How do I reset it?", {"callbacks": [costs]}))
    called, hit = costs.ledger.records()
    assert (called.usage.input_tokens, called.usage.output_tokens) == (100, len(chunks))
    assert hit.saved == called.cost


def test_a_broken_stream_with_a_whole_usage_in_each_chunk_counts_once() -> None:
    costs = CostCallbackHandler()
    with pytest.raises(ConnectionError):
        list(
            WholeUsageInEachChunk(model="gpt-4o", breaks_after=3).stream(
                "How?", {"callbacks": [costs]}
            )
        )
    (record,) = costs.ledger.records()
    assert record.usage.input_tokens == 100


@pytest.mark.parametrize(
    "counts",
    [
        [(100, 1), (0, 9)],  # Anthropic's first and last event
        [(100, 0), (0, 4), (0, 6)],  # Gemini's, made into differences by its integration
        [(100, 6), (100, 4)],
        [(60, 2), (40, 8)],
        [(100, 10)],
    ],
)
def test_usages_of_parts_add_up(counts: list[tuple[int, int]]) -> None:
    chunks = [
        AIMessageChunk(
            "",
            usage_metadata=UsageMetadata(
                input_tokens=sent, output_tokens=said, total_tokens=sent + said
            ),
        )
        for sent, said in counts
    ]
    whole = AIMessageChunk("", usage_metadata=COUNTS)
    assert counted_once(whole, chunks) is whole


def test_names_that_langchain_joined_are_read_once() -> None:
    part = {"response_metadata": {"model_name": "gpt-4.1", "service_tier": "flex"}}
    reported = reported_by(merged(part, part))
    assert (reported.model, reported.tier) == ("gpt-4.1", "flex")


def test_the_tier_of_a_stream_stands_in_the_names_of_its_counts() -> None:
    details = {"flex_reasoning": 4, "flex": 6}
    message = AIMessage("", usage_metadata={**COUNTS, "output_token_details": details})
    assert reported_by(message).tier == "flex"
    assert reported_by(message).usage == PLAIN + Usage(reasoning_tokens=4)


@pytest.mark.parametrize(
    ("metadata", "cost"),
    [
        ({"token_usage": {**OWN, "cost": 0.5}}, "0.5"),
        ({"cost": 0.25, "cost_details": {}}, "0.25"),  # langchain-openrouter
        ({"headers": {"x-litellm-response-cost": "0.125"}}, "0.125"),
        ({}, None),
    ],
)
def test_a_cost_is_found(metadata: dict[str, Any], cost: str | None) -> None:
    message = AIMessage("", response_metadata=metadata, usage_metadata=COUNTS)
    reported = reported_by(message)
    assert (reported.usage, reported.cost) == (PLAIN, None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([{"type": "server_tool_use", "name": "web_search", "id": "a"}]),
        AIMessage(
            [
                {"type": "web_search_call", "id": "a", "action": {"type": "search"}},
                {"type": "web_search_call", "id": "b", "action": {"type": "open_page"}},
            ]
        ),
        AIMessage([{"type": "server_tool_call", "name": "web_search", "id": "a", "args": {}}]),
        AIMessage("", additional_kwargs={"tool_outputs": [{"type": "web_search_call", "id": "a"}]}),
        AIMessage("", response_metadata={"grounding_metadata": {"web_search_queries": ["a"]}}),
        AIMessage("", response_metadata={"usage": {"server_tool_use": {"web_search_requests": 1}}}),
    ],
)
def test_a_search_is_found(message: AIMessage) -> None:
    message.usage_metadata = COUNTS  # type: ignore[assignment]
    assert reported_by(message).usage == PLAIN + Usage(web_searches=1)


def test_tools_of_the_app_are_no_pieces() -> None:
    message = AIMessage(
        [{"type": "tool_use", "name": "web_search", "id": "a", "input": {}}],
        tool_calls=[{"name": "web_search", "args": {}, "id": "a"}],
        usage_metadata=COUNTS,
    )
    assert reported_by(message).usage == PLAIN


def test_a_completion_models_report_is_in_the_output_of_its_run() -> None:
    result = LLMResult(
        generations=[[Generation(text="x")]],
        llm_output={"token_usage": {**OWN, "cost": 0.5}, "model_name": "m"},
    )
    reported = reported_by_result(result)
    assert reported is not None
    assert (reported.usage, reported.cost, reported.model) == (PLAIN, Decimal("0.5"), "m")


def test_the_other_prompts_of_one_completion_call_used_nothing() -> None:
    others = LLMResult(generations=[[Generation(text="x")]], llm_output={"token_usage": {}})
    reported = reported_by_result(others)
    assert reported is not None
    assert reported.usage == Usage()
    chat = [ChatGeneration(message=AIMessage("x"))]
    found = reported_by_result(LLMResult(generations=[chat], llm_output={"token_usage": {}}))
    assert found is not None
    assert found.usage is None
    assert reported_by_result(LLMResult(generations=[], llm_output=None)) is None
