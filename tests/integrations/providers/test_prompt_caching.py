"""The providers' own middleware marks prompts for their cache, with ours before or after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_aws.middleware import BedrockPromptCachingMiddleware
from langchain_core.messages import HumanMessage

from support.provider_servers.anthropic import ANTHROPIC
from support.provider_servers.base import ProviderServer
from support.provider_servers.bedrock import BEDROCK
from support.provider_servers.langchain_agents import MIDDLEWARES, Place, answer_to_agent, weather
from support.provider_servers.langchain_ways import CACHING, WRAPPERS
from support.provider_servers.provider import Provider

pytestmark = [
    pytest.mark.providers,
    pytest.mark.loopback,
    pytest.mark.parametrize("provider", [ANTHROPIC, BEDROCK], ids=str),
]
Maker = Callable[..., Any]
MARKS = {"anthropic": "cache_control", "bedrock": "cachePoint"}
THEIRS: dict[str, Callable[..., Any]] = {
    "anthropic": AnthropicPromptCachingMiddleware,
    "bedrock": BedrockPromptCachingMiddleware,
}
ASKED = {"messages": [HumanMessage("How is the weather in Ulm?")]}


async def sent_by(
    model: Any, middleware: list[Any], server: ProviderServer, **settings: Any
) -> list[dict[str, Any]]:
    """Return the requests of an agent's run, which must not warn."""
    server.reset(answer_to_agent)
    agent = create_agent(
        model, [weather], system_prompt="Be brief.", middleware=middleware, **settings
    )
    found = await agent.ainvoke(ASKED)
    if settings:
        assert found["structured_response"] == Place(town="Ulm")
    return list(server.requests)


@pytest.mark.parametrize("settings", [{}, {"response_format": Place}], ids=["plain", "schema"])
async def test_marks_reach_the_server_from_behind_every_wrapper(
    made: Maker, provider: Provider, server: ProviderServer, settings: dict[str, Any]
):
    model = made("langchain")
    theirs = THEIRS[provider.name](unsupported_model_behavior="raise")
    expected = await sent_by(model, [theirs], server, **settings)
    assert all(MARKS[provider.name] in json.dumps(request) for request in expected)
    for name, wrap in WRAPPERS.items():
        wrapped = wrap(model)
        assert await sent_by(wrapped, [theirs], server, **settings) == expected
        if name in CACHING:
            assert await sent_by(wrapped, [theirs], server, **settings) == []


@pytest.mark.parametrize("settings", [{}, {"response_format": Place}], ids=["plain", "schema"])
@pytest.mark.parametrize("order", ["ours first", "theirs first"])
async def test_marks_reach_the_server_with_every_middleware_of_ours(
    made: Maker,
    provider: Provider,
    server: ProviderServer,
    order: str,
    settings: dict[str, Any],
):
    model = made("langchain")
    theirs = THEIRS[provider.name](unsupported_model_behavior="raise")
    expected = await sent_by(model, [theirs], server, **settings)
    for name, make in MIDDLEWARES.items():
        both = [make(model), theirs]
        both = both if order == "ours first" else both[::-1]
        assert await sent_by(model, both, server, **settings) == expected
        if name == "cache":
            assert await sent_by(model, both, server, **settings) == []
