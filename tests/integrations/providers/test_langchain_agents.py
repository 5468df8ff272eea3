"""An agent with a schema asks a wrapped model as it asks the bare one, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_llm_optimizers import ChatModelRouter
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from support.provider_servers.base import Answer, Asked, ProviderServer, ToolCall
from support.provider_servers.gemini import GEMINI
from support.provider_servers.langchain_ways import WRAPPERS
from support.provider_servers.ollama import OLLAMA
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
ASKED = {"messages": [HumanMessage("Where is the sun shining?")]}
MIDDLEWARES: Mapping[str, Callable[[Any], Any]] = {
    "cache": lambda _: CacheMiddleware(),
    "prompts": lambda _: PromptMiddleware(),
    "router": lambda model: RouterMiddleware(ChatModelRouter(models={"only": model})),
}


class Place(BaseModel):
    """A town."""

    town: str


@tool
def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


def reply(asked: Asked) -> Answer:
    """Call the tool, then answer in the form that was asked for."""
    if not asked.results:
        return Answer(calls=(ToolCall(name="weather", arguments={"town": "Ulm"}),))
    if "Place" in asked.tools:
        return Answer(calls=(ToolCall(name="Place", arguments={"town": "Ulm"}),))
    return Answer(text='{"town": "Ulm"}')


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
    server.reset(reply)
    answer = await create_agent(model, [weather], response_format=Place).ainvoke(ASKED)
    assert answer["structured_response"] == Place(town="Ulm")
    expected = list(server.requests)
    server.reset(reply)
    middleware = [MIDDLEWARES[wrapped](model)] if wrapped in MIDDLEWARES else []
    given = WRAPPERS[wrapped](model) if wrapped in WRAPPERS else model
    agent = create_agent(given, [weather], response_format=Place, middleware=middleware)
    answer = await agent.ainvoke(ASKED)
    assert answer["structured_response"] == Place(town="Ulm")
    assert server.requests == expected
