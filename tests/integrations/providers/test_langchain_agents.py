"""An agent with a schema asks a wrapped model as it asks the bare one, turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from support.provider_servers.base import ProviderServer
from support.provider_servers.gemini import GEMINI
from support.provider_servers.langchain_agents import MIDDLEWARES, Place, answer_to_agent, weather
from support.provider_servers.langchain_ways import WRAPPERS
from support.provider_servers.ollama import OLLAMA
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
ASKED = {"messages": [HumanMessage("Where is the sun shining?")]}


# Gemini before 3 takes tools and a schema one at a time, which LangChain knows by the name.
@pytest.mark.parametrize(
    ("provider", "settings"),
    [(GEMINI, {}), (GEMINI, {"model": "gemini-3-pro-preview"}), (OLLAMA, {})],
    ids=["gemini 2", "gemini 3", "ollama"],
)
@pytest.mark.parametrize("wrapped", [*WRAPPERS, *MIDDLEWARES])
async def test_an_agent_with_a_schema(
    made: Callable[..., Any],
    provider: Provider,
    server: ProviderServer,
    wrapped: str,
    settings: dict[str, Any],
):
    model = made("langchain", **settings)
    server.reset(answer_to_agent)
    answer = await create_agent(model, [weather], response_format=Place).ainvoke(ASKED)
    assert answer["structured_response"] == Place(town="Ulm")
    expected = list(server.requests)
    server.reset(answer_to_agent)
    middleware = [MIDDLEWARES[wrapped](model)] if wrapped in MIDDLEWARES else []
    given = WRAPPERS[wrapped](model) if wrapped in WRAPPERS else model
    agent = create_agent(given, [weather], response_format=Place, middleware=middleware)
    answer = await agent.ainvoke(ASKED)
    assert answer["structured_response"] == Place(town="Ulm")
    assert server.requests == expected
