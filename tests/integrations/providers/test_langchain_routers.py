"""A router between OpenAI and another provider: errors, tools, histories that change hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import CachedChatModel, ChatModelRouter
from llm_optimizers.failures import retry_after
from llm_optimizers.routing import Always
from support.openai_server import FakeOpenAI, tool_call
from support.provider_servers.base import (
    Answer,
    Failure,
    ProviderServer,
    ToolCall,
    with_tools,
)
from support.provider_servers.langchain_agents import weather
from support.provider_servers.langchain_ways import WRAPPERS, ask
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
Maker = Callable[..., Any]
Clients = tuple[httpx.Client, httpx.AsyncClient]
WAYS = ("invoke", "ainvoke", "stream", "astream")
TALK = [HumanMessage("How is the weather in Ulm?")]


@pytest.fixture
def other(openai: FakeOpenAI, clients: Clients) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini",
        base_url=openai.url,
        api_key="sk-of-the-test",
        max_retries=0,
        http_client=clients[0],
        http_async_client=clients[1],
    )


async def error_of(model: Any, way: str) -> BaseException:
    with pytest.raises(Exception) as caught:
        await ask(model, way, TALK)
    return caught.value


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "invalid"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_error_is_the_models_own_and_is_not_kept(
    made: Maker, provider: Provider, server: ProviderServer, way: str, kind: Any
):
    # A router waits for a single model, but not as long as this.
    failure = Failure(kind=kind, wait=60 if kind == "rate_limit" else None)
    bare = made("langchain")
    server.failures.append(failure)
    expected = await error_of(bare, way)
    for wrap in WRAPPERS.values():
        model = wrap(bare)
        server.failures.append(failure)
        error = await error_of(model, way)
        assert type(error) is type(expected)
        assert str(error) == str(expected)
        assert retry_after(error, now=0.0) == retry_after(expected, now=0.0)
        assert (await ask(model, way, TALK)).text == "Hello"


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded"])
@pytest.mark.parametrize("way", WAYS)
async def test_another_provider_answers_instead(
    made: Maker,
    provider: Provider,
    server: ProviderServer,
    openai: FakeOpenAI,
    other: ChatOpenAI,
    way: str,
    kind: Any,
):
    server.failures.append(Failure(kind=kind, wait=1))
    models = {"small": made("langchain"), "large": other}
    router = ChatModelRouter(models=models, policy=Always("small"))
    answer = await ask(router, way, TALK)
    assert answer.text == "OpenAI says: sunny."
    assert answer.response_metadata["llm_optimizers"]["routed"] == "large"
    assert len(server.requests) == 1


async def test_a_bad_request_goes_to_no_other_provider(
    made: Maker, provider: Provider, server: ProviderServer, openai: FakeOpenAI, other: ChatOpenAI
):
    server.failures.append(Failure(kind="invalid"))
    models = {"small": made("langchain"), "large": other}
    await error_of(ChatModelRouter(models=models, policy=Always("small")), "invoke")
    assert openai.requests == []


@pytest.mark.parametrize("way", ["invoke", "astream"])
async def test_a_talk_changes_hands_with_its_tool_calls_and_thoughts(
    made: Maker,
    provider: Provider,
    server: ProviderServer,
    openai: FakeOpenAI,
    other: ChatOpenAI,
    way: str,
):
    """Each model gets what it would get bare, whoever answered before."""
    theirs = made("langchain", **provider.thinking["langchain"])
    call = ToolCall(name="weather", arguments={"town": "Ulm"})
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), call))
    plain = openai.reply

    def reply(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return plain(body)
        return {"tool_calls": [tool_call("weather", {"town": "Bonn"}, "call_of.openai:1")]}

    openai.reply = reply
    models = {"theirs": theirs, "openai": other}
    bare = {name: model.bind_tools([weather]) for name, model in models.items()}
    # A talk only moves to a model that is as strong, or cheaper: the last of a router's.
    routers = {
        name: ChatModelRouter(
            models={**{k: v for k, v in models.items() if k != name}, name: models[name]},
            policy=Always(name),
        ).bind_tools([weather])
        for name in models
    }
    talk: list[Any] = []
    for name in ("theirs", "openai", "theirs", "openai"):
        talk.append(HumanMessage(f"The weather, by {name}?"))
        for _ in range(2):
            asked = server if name == "theirs" else openai
            answer = await ask(routers[name], way, list(talk))
            assert answer.response_metadata["llm_optimizers"]["routed"] == name
            expected = await ask(bare[name], way, list(talk))
            *_, by_router, by_bare = asked.requests
            assert by_router == by_bare
            assert answer.text == expected.text
            assert [each["args"] for each in answer.tool_calls] == [
                each["args"] for each in expected.tool_calls
            ]
            talk.append(answer)
            talk += [ToolMessage("sunny", tool_call_id=each["id"]) for each in answer.tool_calls]


async def test_a_hit_of_one_provider_in_a_talk_with_another(
    made: Maker, provider: Provider, server: ProviderServer, openai: FakeOpenAI, other: ChatOpenAI
):
    thinking = made("langchain", **provider.thinking["langchain"])
    call = ToolCall(name="weather", arguments={"town": "Ulm"})
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), call))
    cached = CachedChatModel(model=thinking).bind_tools([weather])
    cached.invoke(TALK)
    hit = cached.invoke(TALK)
    assert len(server.requests) == 1
    result = ToolMessage("sunny", tool_call_id=hit.tool_calls[0]["id"])
    assert other.bind_tools([weather]).invoke([*TALK, hit, result]).text == "OpenAI says: sunny."
    (sent,) = openai.requests
    asked, answered = sent["messages"][-2:]
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"] == hit.tool_calls[0]["id"]
