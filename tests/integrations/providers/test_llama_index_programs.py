"""Structured output, agents, errors and routers with other providers' LLMs in LlamaIndex."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock, ToolCallBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_llm_optimizers import CachedLLM, RoutedLLM
from llm_optimizers.failures import retry_after
from llm_optimizers.routing import Always
from support.openai_server import FakeOpenAI, tool_call
from support.provider_servers.base import (
    Answer,
    Asked,
    Failure,
    ProviderServer,
    ToolCall,
    with_tools,
)
from support.provider_servers.llama_index_ways import CACHING, WAYS, WRAPPERS, ask
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
Maker = Callable[..., Any]
Clients = tuple[httpx.Client, httpx.AsyncClient]
TALK = [ChatMessage("How is the weather in Ulm?")]
CALL = ToolCall(name="weather", arguments={"town": "Ulm"})


class Place(BaseModel):
    """A town."""

    town: str
    degrees: int


ULM = Place(town="Ulm", degrees=21)
PROMPT = PromptTemplate("Where is {town}, and how warm is it?")


def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


TOOLS = [FunctionTool.from_defaults(weather)]


def as_place(asked: Asked) -> Answer:
    if asked.tools:
        return Answer(calls=(ToolCall(name=asked.tools[-1], arguments=ULM.model_dump()),))
    return Answer(text=ULM.model_dump_json())


@pytest.fixture(params=sorted(WRAPPERS))
def wrapper(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def other(openai: FakeOpenAI, clients: Clients) -> OpenAI:
    return OpenAI(
        model="gpt-4o-mini",
        api_base=openai.url,
        api_key="sk-of-the-test",
        max_retries=0,
        http_client=clients[0],
        async_http_client=clients[1],
    )


async def test_structured_output_in_every_form(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str
):
    bare = made("llama-index")
    llm = WRAPPERS[wrapper](bare)
    server.reset(as_place)
    asked = (Place, PROMPT)
    assert await to_thread(bare.structured_predict, *asked, town="Ulm") == ULM
    (expected,) = server.requests
    server.reset(as_place)
    found = [
        await to_thread(llm.structured_predict, *asked, town="Ulm"),
        await llm.astructured_predict(Place, PROMPT, town="Ulm"),
    ]
    assert found == [ULM, ULM]
    assert server.requests == [expected] * (1 if wrapper in CACHING else 2)
    streams = [each.stream_structured_predict for each in (llm, bare)]
    last, expected = [
        (await to_thread(lambda each=each: list(each(*asked, town="Ulm"))))[-1] for each in streams
    ]
    assert last.model_dump() == expected.model_dump()
    structured = llm.as_structured_llm(Place)
    assert (await to_thread(structured.chat, TALK)).raw == ULM
    assert (await structured.achat(TALK)).raw == ULM


async def test_an_agent(made: Maker, provider: Provider, server: ProviderServer, wrapper: str):
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), CALL))
    thinking = provider.thinking["llama-index"]
    sent = []
    for llm in (
        made("llama-index", **thinking),
        WRAPPERS[wrapper](made("llama-index", **thinking)),
    ):
        server.reset(server.reply)
        agent = FunctionAgent(llm=llm, tools=TOOLS, system_prompt="Be brief.")
        assert str(await agent.run("How is the weather in Ulm?")) == "Sunny."
        sent.append(list(server.requests))
    assert sent[0] == sent[1]
    if wrapper in CACHING:
        assert str(await agent.run("How is the weather in Ulm?")) == "Sunny."
        assert len(server.requests) == len(sent[1])


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "invalid"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_error_is_the_llms_own_and_is_not_kept(
    made: Maker, provider: Provider, server: ProviderServer, way: str, kind: Any
):
    failure = Failure(kind=kind, wait=60 if kind == "rate_limit" else None)
    bare = made("llama-index")

    async def error_of(llm: Any) -> BaseException:
        server.failures.append(failure)
        with pytest.raises(Exception) as caught:
            await ask(llm, way, TALK)
        return caught.value

    expected = await error_of(bare)
    for wrap in WRAPPERS.values():
        llm = wrap(bare)
        error = await error_of(llm)
        assert type(error) is type(expected)
        assert str(error) == str(expected)
        assert retry_after(error, now=0.0) == retry_after(expected, now=0.0)
        assert (await ask(llm, way, TALK)).text == "Hello"


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded"])
@pytest.mark.parametrize("way", WAYS)
async def test_another_provider_answers_instead(
    made: Maker,
    provider: Provider,
    server: ProviderServer,
    openai: FakeOpenAI,
    other: OpenAI,
    way: str,
    kind: Any,
):
    server.failures.append(Failure(kind=kind, wait=1))
    llm = RoutedLLM({"small": made("llama-index"), "large": other}, policy=Always("small"))
    answer = await ask(llm, way, TALK)
    assert answer.text == "OpenAI says: sunny."
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", ["chat", "astream_chat"])
async def test_a_talk_changes_hands_with_its_tool_calls_and_thoughts(
    made: Maker,
    provider: Provider,
    server: ProviderServer,
    openai: FakeOpenAI,
    other: OpenAI,
    way: str,
):
    """Each LLM gets what it would get bare, whoever answered before."""
    theirs = made("llama-index", **provider.thinking["llama-index"])
    server.reset(with_tools(Answer(text="Sunny."), CALL))
    plain = openai.reply

    def reply(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return plain(body)
        return {"tool_calls": [tool_call("weather", {"town": "Bonn"}, "call_1")]}

    openai.reply = reply
    models = {"theirs": theirs, "openai": other}
    routers = {
        name: RoutedLLM(
            {**{k: v for k, v in models.items() if k != name}, name: models[name]},
            policy=Always(name),
        )
        for name in models
    }
    talk: list[ChatMessage] = []
    with_them = f"{way}_with_tools"
    for name in ("theirs", "openai", "theirs", "openai"):
        talk.append(ChatMessage(f"The weather, by {name}?"))
        for _ in range(2):
            asked = server if name == "theirs" else openai
            answer = await ask(routers[name], with_them, list(talk), TOOLS)
            if provider.reads_others:
                await ask(models[name], with_them, list(talk), TOOLS)
                *_, by_router, by_bare = asked.requests
                assert by_router == by_bare
            message = answer.last.message
            talk.append(message)
            talk += [
                ChatMessage(
                    "sunny", role="tool", additional_kwargs={"tool_call_id": block.tool_call_id}
                )
                for block in message.blocks
                if isinstance(block, ToolCallBlock)
            ]
        assert answer.text in ("Sunny.", "OpenAI says: sunny.")


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
async def test_a_hit_keeps_the_signature_of_its_thoughts(
    made: Maker, provider: Provider, server: ProviderServer, way: str
):
    """The provider checks it when the answer comes back with the next request."""
    llm = CachedLLM(made("llama-index", **provider.thinking["llama-index"]))
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), CALL))
    thoughts = []
    for _ in range(2):
        answer = await ask(llm, f"{way}_with_tools", TALK, TOOLS)
        thoughts.append([b for b in answer.last.message.blocks if isinstance(b, ThinkingBlock)])
    assert len(server.requests) == 1
    assert thoughts[0] == thoughts[1]
    assert "".join(block.content for block in thoughts[0]) == "Ulm."
