"""What providers report is found wherever LlamaIndex's integrations leave it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse

from llama_index_llm_optimizers.usage import reported_by
from llm_optimizers.costs import Usage

PLAIN = Usage(input_tokens=100, output_tokens=10)
OWN: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def reply(raw: Any = None, within: dict[str, Any] | None = None, **additional: Any) -> ChatResponse:
    message = ChatMessage("x", additional_kwargs=within or {})
    return ChatResponse(message=message, raw=raw, additional_kwargs=additional)


@pytest.mark.parametrize(
    "answer",
    [
        reply({"usage": OWN}),
        reply({"choices": []}, **OWN),
        reply({"choices": []}, usage=OWN),
        reply({"choices": []}, {"usage": {"input_tokens": 100, "output_tokens": 10}}),
        # Gateways add Anthropic's names, with zeros or nulls.
        reply({"usage": {**OWN, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}}),
        reply({"usage": {**OWN, "cache_read_input_tokens": None, "input_tokens": None}}),
        reply({"usage": {**OWN, "input_tokens": 100, "output_tokens": 10}}),
        reply({"usage": None}, **OWN),
        reply({"metadata": {"usage": {"inputTokens": 100, "outputTokens": 10}}}),
        CompletionResponse(text="x", raw={"usage": OWN}),
        CompletionResponse(text="x", raw=None, additional_kwargs=OWN),
    ],
)
def test_counts_are_found(answer: ChatResponse) -> None:
    assert reported_by(answer).usage == PLAIN


def test_the_providers_own_counts_say_more_than_what_is_beside_them() -> None:
    own = {
        "prompt_token_count": 100,
        "candidates_token_count": 10,
        "total_token_count": 960,
        "thoughts_token_count": 50,
        "tool_use_prompt_token_count": 800,
    }
    beside = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 960}
    found = reported_by(reply({"usage_metadata": own}, beside, **beside))
    assert found.usage == Usage(input_tokens=900, output_tokens=60, reasoning_tokens=50)


def test_chunks_that_each_have_the_counts_so_far_are_billed_once() -> None:
    chunks = [
        reply({"usage": {**OWN, "completion_tokens": n, "total_tokens": 100 + n, "cost": n / 8}})
        for n in (1, 4, 10)
    ]
    found = reported_by(*chunks, reply({"choices": []}))
    assert (found.usage, found.cost) == (PLAIN, Decimal("1.25"))


def test_a_tool_of_the_server_is_found_once() -> None:
    item = {"type": "web_search_call", "id": "a", "action": {"type": "search"}}
    whole = {"response": {"output": [item], "usage": OWN}}
    found = reported_by(
        reply({"type": "response.output_item.done", "item": item}, built_in_tool_calls=[item]),
        reply({"type": "response.completed", **whole}, built_in_tool_calls=[item]),
    )
    assert found.usage == PLAIN + Usage(web_searches=1)
