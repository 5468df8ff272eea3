"""Every wrapper around another provider's LLM, called in every way, is like that LLM."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.tools import FunctionTool

from support.provider_servers.base import Answer, ProviderServer, Tokens, ToolCall, fixed
from support.provider_servers.llama_index_ways import (
    CACHING,
    COMPLETIONS,
    TOOL_WAYS,
    WAYS,
    WRAPPERS,
    Reply,
    ask,
    content_of,
)
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]

TOKENS = Tokens(fresh=11, output=70, read=100, written_5m=20, written_1h=30, thinking=7)
ANSWER = Answer(text="It is sunny in Ulm today.", tokens=TOKENS)
CALLS = (ToolCall(name="weather", arguments={"town": "Ulm"}), ToolCall(name="clock"))
Maker = Callable[..., LLM]


def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


def clock() -> str:
    """The time of day."""
    return "noon"


TOOLS = [FunctionTool.from_defaults(weather), FunctionTool.from_defaults(clock)]
TALK = [
    ChatMessage("You are a guide to towns on the Danube.", role="system"),
    ChatMessage("Good morning."),
    ChatMessage("Good morning to you.", role="assistant"),
    ChatMessage("How is the weather in Ulm?"),
]
IMAGE = [
    ChatMessage(
        blocks=[
            TextBlock(text="What is in this image?"),
            ImageBlock(image=b"\x89PNG\r\n\x1a\n of one pixel", image_mimetype="image/png"),
        ]
    )
]


@pytest.fixture(params=sorted(WRAPPERS))
def wrapper(request: pytest.FixtureRequest) -> str:
    return request.param


_COUNTS = {"usage", "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens"}


async def is_like_bare(
    llm: Any, wrapper: str, way: str, messages: Any, server: ProviderServer, tools: Any = ()
) -> Reply:
    """Ask bare and wrapped, and again if that is a hit; return the last answer."""
    wrapped = WRAPPERS[wrapper](llm)
    reply = server.reply
    server.reset(reply)
    bare = await ask(llm, way, messages, tools)
    (request,), (path,) = server.requests, server.paths
    server.reset(reply)
    answer = await ask(wrapped, way, messages, tools)
    assert server.requests == [request]
    assert server.paths == [path]
    assert content_of(answer) == content_of(bare)
    if wrapper in CACHING:
        answer = await ask(wrapped, way, messages, tools)
        assert len(server.requests) == 1
        # No counts of the first call, which an app would add up again.
        assert not answer.last.additional_kwargs.keys() & _COUNTS
        like = {"ids": False, "counts": False}
        assert content_of(answer, **like) == content_of(bare, **like)
    return answer


@pytest.mark.parametrize("way", WAYS)
async def test_a_talk(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    server.reset(fixed(ANSWER))
    answer = await is_like_bare(made("llama-index"), wrapper, way, TALK, server)
    assert answer.text == ANSWER.text


@pytest.mark.parametrize("way", COMPLETIONS)
async def test_a_completion(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    server.reset(fixed(ANSWER))
    answer = await is_like_bare(made("llama-index"), wrapper, way, "The weather in Ulm is", server)
    assert answer.text == ANSWER.text


@pytest.mark.parametrize("way", TOOL_WAYS)
async def test_thoughts_and_calls_of_tools(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    thinking = provider.thinking["llama-index"]
    server.reset(fixed(Answer(text="Let me see.", thoughts="Ulm.", calls=CALLS, tokens=TOKENS)))
    llm = made("llama-index", **thinking)
    answer = await is_like_bare(llm, wrapper, way, TALK, server, TOOLS)
    blocks = answer.last.message.blocks
    thoughts = [block.content for block in blocks if isinstance(block, ThinkingBlock)]
    assert "".join(thoughts) == "Ulm."  # Gemini's stream gives each part a block
    calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [
        ("weather", {"town": "Ulm"}),
        ("clock", {}),
    ]


@pytest.mark.parametrize("way", ["chat", "astream_chat"])
async def test_images(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    server.reset(fixed(ANSWER))
    await is_like_bare(made("llama-index"), wrapper, way, IMAGE, server)


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
async def test_the_models_own_answer_in_a_history(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str, way: str
):
    llm = made("llama-index", **provider.thinking["llama-index"])
    server.reset(fixed(Answer(text="Let me see.", thoughts="Ulm.", calls=CALLS, tokens=TOKENS)))
    first = await ask(llm, f"{way}_with_tools", TALK, TOOLS)
    calls = [b for b in first.last.message.blocks if isinstance(b, ToolCallBlock)]
    results = [
        ChatMessage(
            "sunny", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": call.tool_call_id}
        )
        for call in calls
    ]
    server.reset(fixed(ANSWER))
    history = [*TALK, first.last.message, *results]
    await is_like_bare(llm, wrapper, f"{way}_with_tools", history, server, TOOLS)


@pytest.mark.parametrize("way", [*WAYS, *COMPLETIONS])
async def test_an_answer_cut_at_the_limit_is_not_served_again(
    made: Maker, provider: Provider, server: ProviderServer, way: str
):
    llm = WRAPPERS["cached"](made("llama-index"))
    asked = "The weather in Ulm is" if "complete" in way else TALK
    server.reset(fixed(Answer(text="It is sunny in", cut=True, tokens=Tokens(output=4096))))
    for _ in range(2):
        with suppress(RuntimeError):  # LlamaIndex's Gemini raises one
            await ask(llm, way, asked)
    assert len(server.requests) == 2
    server.reset(fixed(ANSWER))
    for _ in range(2):
        assert (await ask(llm, way, asked)).text == ANSWER.text
    assert len(server.requests) == 1
