"""What only Anthropic's Messages API has: more kinds of blocks and of ends, tiers, citations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler
from langchain_llm_optimizers import HybridCache as LangChainCache
from llama_index_llm_optimizers import CachedLLM, CostEventHandler
from llama_index_llm_optimizers import HybridCache as LlamaIndexCache
from llm_optimizers.costs import Ledger
from support.provider_servers import langchain_ways, llama_index_ways
from support.provider_servers.anthropic import ANTHROPIC, SIGNATURE, AnthropicHandler, message
from support.provider_servers.base import Answer, ProviderServer, fixed, provider_server
from support.provider_servers.langchain_ways import content_of

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
TALK = [HumanMessage("How is the weather in Ulm?")]
CHAT = [ChatMessage("How is the weather in Ulm?")]
TEXT = {"type": "text", "text": "It is sunny."}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a"}
SEARCH = [
    {
        "type": "server_tool_use",
        "id": "srvtoolu_01WYG3ziw53XMcoyKL4XcZmE",
        "name": "web_search",
        "input": {"query": "weather Ulm"},
    },
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_01WYG3ziw53XMcoyKL4XcZmE",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://example.com/ulm",
                "title": "Ulm",
                "encrypted_content": "EqgfCioIARgBIiQ3YTAwMjY1Mi1mZjM5",
                "page_age": None,
            }
        ],
    },
]
CITED = {
    **TEXT,
    "citations": [
        {
            "type": "char_location",
            "cited_text": "sunny",
            "document_index": 0,
            "document_title": "Ulm",
            "start_char_index": 0,
            "end_char_index": 5,
            "file_id": None,
        }
    ],
}
ANSWERS = {
    "redacted thoughts": [REDACTED, TEXT],
    "a search": [*SEARCH, CITED],
    "thoughts twice": [
        {"type": "thinking", "thinking": "Ulm.", "signature": SIGNATURE},
        TEXT,
        {"type": "thinking", "thinking": "Ulm!", "signature": SIGNATURE + "="},
        TEXT,
    ],
}


@contextmanager
def serving(content: list[Any], **more: Any) -> Iterator[ProviderServer]:
    """Run a server that answers everything with these blocks."""
    handler = type("Handler", (AnthropicHandler,), {"whole": message(content, **more)})
    with provider_server(handler, fixed(Answer())) as server:
        yield server


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_hit_has_the_same_blocks_and_is_sent_back_alike(answer: str, way: str):
    with serving(ANSWERS[answer]) as server:
        # The search tool, so that the stream gives blocks.
        model = ANTHROPIC.langchain(server).bind(
            tools=[{"type": "web_search_20250305", "name": "web_search"}]
        )
        cached = CachedChatModel(model=model.bound).bind(**model.kwargs)
        answers = [await langchain_ways.ask(each, way, TALK) for each in (model, cached, cached)]
        assert len(server.requests) == 2
        assert content_of(answers[1]) == content_of(answers[0])
        assert content_of(answers[2], ids=False) == content_of(answers[0], ids=False)
        for each in answers:
            model.invoke([*TALK, each, HumanMessage("And Bonn?")])
        first, _, last = server.requests[-3:]
        assert _without_ids(last) == _without_ids(first)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in ("id", "tool_use_id")}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("reason", ["refusal", "pause_turn", "model_context_window_exceeded"])
@pytest.mark.parametrize("way", ["chat", "stream_chat", "invoke", "stream"])
async def test_an_answer_that_did_not_end_is_not_served_again(way: str, reason: str):
    with serving([TEXT], stop_reason=reason) as server:
        if "chat" in way:
            llm = CachedLLM(ANTHROPIC.llama_index(server))
            for _ in range(2):
                await llama_index_ways.ask(llm, way, CHAT)
        else:
            model = CachedChatModel(model=ANTHROPIC.langchain(server))
            for _ in range(2):
                await langchain_ways.ask(model, way, TALK)
        assert len(server.requests) == 2


@pytest.mark.parametrize("tier", ["batch", "priority", "standard"])
def test_the_tier_is_the_one_that_answered(tier: str):
    counts = {"input_tokens": 10, "output_tokens": 5, "service_tier": tier}
    with serving([TEXT], usage=counts) as server:
        costs = CostCallbackHandler(Ledger())
        ANTHROPIC.langchain(server).invoke(TALK, {"callbacks": [costs]})
        with CostEventHandler(Ledger()) as other:
            ANTHROPIC.llama_index(server).chat(CHAT)
    (record,), (same,) = costs.ledger.records(), other.ledger.records()
    assert record.tier == same.tier == tier
    # Anthropic lists no price of the priority tier.
    assert (record.cost is None) == (same.cost is None) == (tier == "priority")


def test_llama_indexs_citations_are_not_lost_in_a_hit():
    with serving([CITED]) as server:
        llm = CachedLLM(ANTHROPIC.llama_index(server))
        answers: list[Any] = [llm.chat(CHAT) for _ in range(2)]
        assert [len(each.citations) for each in answers] == [1, 1]
        assert len(server.requests) == 2


TAKES_A_TEMPERATURE = "claude-sonnet-4-6"
NO_PARAMETER = pytest.mark.skipif(
    int(version("anthropic").partition(".")[0]) >= 1,
    reason="llama-index-llms-anthropic sends a temperature, which anthropic 1 refuses",
)


@pytest.mark.parametrize("way", ["invoke", pytest.param("chat", marks=NO_PARAMETER)])
def test_each_temperature_is_asked_once(way: str):
    caches = LangChainCache(semantic=False), LlamaIndexCache(semantic=False)
    with serving([TEXT]) as server:
        for temperature in (0.0, 0.5, 0.0):
            given = {"model": TAKES_A_TEMPERATURE, "temperature": temperature}
            if way == "invoke":
                CachedChatModel(ANTHROPIC.langchain(server, **given), caches[0]).invoke(TALK)
            else:
                CachedLLM(ANTHROPIC.llama_index(server, **given), caches[1]).chat(CHAT)
        assert [body["temperature"] for body in server.requests] == [0.0, 0.5]
