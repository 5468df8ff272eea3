"""`CacheMiddleware`: an agent's model calls through the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import HybridCache
from langchain_llm_optimizers.middleware import CacheMiddleware
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
Chat = Callable[..., ChatOpenAI]


@tool
def stock(sku: str) -> str:
    """How many of an article are there."""
    return f"12 of {sku}"


def act(body: dict[str, Any]) -> Any:
    if body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call("stock", {"sku": "A7"}, "call_000000000000000000000001")]}
    return f"There are {body['messages'][-1]['content']}"


def test_the_second_run_of_an_agent_makes_no_call(server: FakeOpenAI, chat: Chat) -> None:
    server.reply = act
    cache = HybridCache()
    agent = create_agent(chat(), [stock], middleware=[CacheMiddleware(cache)])
    question = {"messages": [HumanMessage("How many A7 are there?")]}
    first = agent.invoke(question)
    calls = len(server.requests)
    second = agent.invoke(question)
    assert first["messages"][-1].text == second["messages"][-1].text == "There are 12 of A7"
    assert calls == len(server.requests) == 2
    assert cache.stats.hits == {"exact": 2}


async def test_agents_share_the_cache_asynchronously(server: FakeOpenAI, chat: Chat) -> None:
    server.reply = act
    cache = HybridCache()
    question = {"messages": [HumanMessage("How many A7 are there?")]}
    for _ in range(2):
        agent = create_agent(chat(), [stock], middleware=[CacheMiddleware(cache)])
        answer = await agent.ainvoke(question)
        assert answer["messages"][-1].text == "There are 12 of A7"
    assert len(server.requests) == 2


def test_tools_are_part_of_the_key(server: FakeOpenAI, chat: Chat) -> None:
    server.reply = lambda body: f"{len(body.get('tools') or ())} tools"
    cache = HybridCache()
    question = {"messages": [HumanMessage("What can you do?")]}
    with_tool = create_agent(chat(), [stock], middleware=[CacheMiddleware(cache)])
    without = create_agent(chat(), [], middleware=[CacheMiddleware(cache)])
    assert with_tool.invoke(question)["messages"][-1].text == "1 tools"
    assert without.invoke(question)["messages"][-1].text == "0 tools"
