"""Every wrapper around another provider's model, called in every way, is like that model.

What is asked of the server is the same, what the app gets is the same, and a hit is like the first
answer but for the ids of its tool calls.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from support.provider_servers.base import (
    COOKIE,
    Answer,
    ProviderServer,
    Tokens,
    ToolCall,
    fixed,
)
from support.provider_servers.langchain_agents import weather
from support.provider_servers.langchain_ways import (
    CACHING,
    STREAMS,
    WAYS,
    WRAPPERS,
    ask,
    content_of,
)
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]

TOKENS = Tokens(fresh=11, output=70, read=100, written_5m=20, written_1h=30, thinking=7)
ANSWER = Answer(text="It is sunny in Ulm today.", tokens=TOKENS)
CALLS = (ToolCall(name="weather", arguments={"town": "Ulm"}), ToolCall(name="time"))
_PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n of one pixel").decode()
Maker = Callable[..., BaseChatModel]


@tool
def time() -> str:
    """The time of day."""
    return "noon"


TALK = [
    SystemMessage("You are a guide to towns on the Danube."),
    HumanMessage("Good morning."),
    AIMessage("Good morning to you."),
    HumanMessage("How is the weather in Ulm?"),
]
IMAGE = [
    HumanMessage(
        [
            {"type": "text", "text": "What is in this image?"},
            {"type": "image", "base64": _PIXEL, "mime_type": "image/png"},
        ]
    )
]
RESULTS = [
    HumanMessage("How is the weather in Ulm, and what time is it?"),
    AIMessage(
        "",
        tool_calls=[
            {"name": "weather", "args": {"town": "Ulm"}, "id": "call_1", "type": "tool_call"},
            {"name": "time", "args": {}, "id": "call_2", "type": "tool_call"},
        ],
    ),
    ToolMessage("sunny in Ulm", tool_call_id="call_1"),
    ToolMessage("noon", tool_call_id="call_2"),
]


@pytest.fixture(params=sorted(WRAPPERS))
def wrapper(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


async def is_like_bare(
    provider: Provider,
    model: Any,
    wrapper: str,
    way: str,
    messages: Any,
    server: ProviderServer,
    **settings: Any,
) -> AIMessage:
    """Ask bare and wrapped, and again if that is a hit; return the last answer."""
    wrapped = WRAPPERS[wrapper](model)
    bound = settings.pop("tools", None)
    asked = [each.bind_tools(bound) if bound else each for each in (model, wrapped)]
    reply = server.reply
    server.reset(reply)
    bare = await ask(asked[0], way, messages, **settings)
    (request,), (path,) = server.requests, server.paths
    server.reset(reply)
    answer = await ask(asked[1], way, messages, **settings)
    assert server.requests == [request]
    assert server.paths == [path]
    ids = provider.names_calls
    assert content_of(answer, ids=ids) == content_of(bare, ids=ids)
    seen = provider.states_settings and way not in STREAMS and (provider.keeps_tools or not bound)
    if wrapper in CACHING and (seen or wrapper != "cache of LangChain's"):
        answer = await ask(asked[1], way, messages, **settings)
        assert len(server.requests) == 1
        assert content_of(answer, ids=False) == content_of(bare, ids=False)
        assert COOKIE not in repr(answer)
    return answer


async def test_a_talk(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    server.reset(fixed(ANSWER))
    answer = await is_like_bare(provider, made("langchain"), wrapper, way, TALK, server)
    assert answer.text == ANSWER.text


async def test_thoughts_and_calls_of_tools(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    thinking = provider.thinking["langchain"]
    server.reset(fixed(Answer(text="Let me see.", thoughts="Ulm.", calls=CALLS, tokens=TOKENS)))
    answer = await is_like_bare(
        provider, made("langchain", **thinking), wrapper, way, TALK, server, tools=[weather, time]
    )
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("weather", {"town": "Ulm"}),
        ("time", {}),
    ]


@pytest.mark.parametrize("way", ["invoke", "astream"])
async def test_results_of_tools_images_and_cut_answers(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    server.reset(fixed(ANSWER))
    await is_like_bare(
        provider, made("langchain"), wrapper, way, RESULTS, server, tools=[weather, time]
    )
    await is_like_bare(provider, made("langchain"), wrapper, way, IMAGE, server)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_answer_cut_at_the_limit_is_not_served_again(
    made: Maker, provider: Provider, server: ProviderServer, way: str
):
    model = WRAPPERS["cached"](made("langchain"))
    server.reset(fixed(Answer(text="It is sunny in", cut=True, tokens=Tokens(output=4096))))
    for _ in range(2):
        await ask(model, way, TALK)
    assert len(server.requests) == 2
    server.reset(fixed(ANSWER))
    for _ in range(2):
        assert (await ask(model, way, TALK)).text == ANSWER.text
    assert len(server.requests) == 1
