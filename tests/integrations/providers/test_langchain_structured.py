"""Structured output, combined prompts, shorter prompts and agents with other providers' models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    CostCallbackHandler,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware
from llm_optimizers.costs import Ledger, PriceBook
from support.provider_servers.base import (
    Answer,
    Asked,
    ProviderServer,
    Tokens,
    ToolCall,
    with_tools,
)
from support.provider_servers.langchain_agents import weather
from support.provider_servers.langchain_ways import CACHING, WRAPPERS
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
Maker = Callable[..., Any]
QUESTION = "Where is Ulm, and how warm is it?"


class Place(BaseModel):
    """A town."""

    town: str
    degrees: int


ULM = Place(town="Ulm", degrees=21)


def as_place(asked: Asked) -> Answer:
    """Answer in the form that was asked for."""
    if asked.schema:
        return Answer(text=ULM.model_dump_json())
    if asked.tools:
        return Answer(calls=(ToolCall(name=asked.tools[-1], arguments=ULM.model_dump()),))
    return Answer(text="In Swabia.")


@pytest.fixture(params=sorted(WRAPPERS))
def wrapper(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_structured_output_by_every_method(
    made: Maker, provider: Provider, server: ProviderServer, wrapper: str
):
    bare = made("langchain")
    server.reset(as_place)
    for method in provider.methods:
        for raw in (False, True):
            plain = bare.with_structured_output(Place, method=method, include_raw=raw)
            expected = await plain.ainvoke(QUESTION)
            wrapped = WRAPPERS[wrapper](bare)
            chain = wrapped.with_structured_output(Place, method=method, include_raw=raw)
            server.reset(as_place)
            found = [chain.invoke(QUESTION), await chain.ainvoke(QUESTION)]
            seen = provider.states_settings or wrapper != "cache of LangChain's"
            assert len(server.requests) == (1 if wrapper in CACHING and seen else 2)
            parsed = [each["parsed"] if raw else each for each in (expected, *found)]
            assert parsed == [ULM] * 3


def test_short_questions_share_a_prompt(made: Maker, provider: Provider, server: ProviderServer):
    tokens = Tokens(fresh=300, output=60, read=90)

    def reply(asked: Asked) -> Answer:
        numbers = re.findall(r'"id": "(\w+)", "request"', asked.question)
        if not numbers:
            return Answer(text="alone", tokens=tokens)
        answers = [{"id": each, "answer": f"answer {each}"} for each in numbers]
        text = json.dumps({"answers": answers})
        if asked.tools:
            call = ToolCall(name=asked.tools[0], arguments={"answers": answers})
            return Answer(calls=(call,), tokens=tokens)
        return Answer(text=text, tokens=tokens)

    server.reset(reply)
    costs = CostCallbackHandler(Ledger())
    model = BatchingChatModel(model=made("langchain"), combine=True, max_delay=5.0, max_size=3)
    questions = [f"What is the population of town {n}?" for n in range(3)]
    answers = model.batch(questions, {"callbacks": [costs]})
    assert len(server.requests) == 1
    assert len({each.text for each in answers}) == 3
    records = list(costs.ledger.records())
    usage = provider.counted(tokens, "langchain", False)
    assert sum(record.usage for record in records) == usage
    if provider.prices:
        price = PriceBook().cost(usage, provider.model, provider=provider.prices)
        assert sum(record.cost or 0 for record in records) == price


async def test_shorter_prompts_leave_a_providers_own_blocks_as_they_are(
    made: Maker, provider: Provider, server: ProviderServer
):
    thinking = made("langchain", **provider.thinking["langchain"])
    bare = thinking.bind_tools([weather])
    call = ToolCall(name="weather", arguments={"town": "Ulm"})
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm   \n\n\n  maybe."), call))
    talk: list[Any] = [HumanMessage(f"{QUESTION}   \n\n\n\n  Please.")]
    answer = bare.invoke(talk)
    rows = json.dumps([{"town": f"town {n}", "degrees": n} for n in range(40)], indent=4)
    (made_call,) = answer.tool_calls
    talk += [answer, ToolMessage(rows, tool_call_id=made_call["id"])]
    server.reset(server.reply)
    bare.invoke(list(talk))
    OptimizedChatModel(model=thinking).bind_tools([weather]).invoke(list(talk))
    as_is, shorter = (json.dumps(request) for request in server.requests)
    # LangChain's Gemini itself sends a tool's JSON as an object.
    assert len(shorter) < len(as_is) or provider.name == "gemini"
    assert _assistant(server.requests[0]) == _assistant(server.requests[1])


def _assistant(request: dict[str, Any]) -> list[Any]:
    messages = request.get("messages") or request.get("contents") or ()
    return [each for each in messages if each["role"] in ("assistant", "model")]


@pytest.mark.parametrize("stack", ["cache", "prompts", "both"])
async def test_an_agent_answers_from_the_cache(
    made: Maker, provider: Provider, server: ProviderServer, stack: str
):
    call = ToolCall(name="weather", arguments={"town": "Ulm"})
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), call))
    model = made("langchain", **provider.thinking["langchain"])
    stacks: dict[str, list[Any]] = {
        "cache": [CacheMiddleware()],
        "prompts": [PromptMiddleware()],
        "both": [CacheMiddleware(), PromptMiddleware()],
    }
    agent = create_agent(model, [weather], middleware=stacks[stack], system_prompt="Be brief.")
    talks = [agent.invoke({"messages": [HumanMessage(QUESTION)]})["messages"] for _ in range(2)]
    for talk in talks:
        assert [type(each) for each in talk] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert talk[-1].text == "Sunny."
    assert len(server.requests) == (4 if stack == "prompts" else 2)


async def test_a_hit_keeps_the_signature_of_its_thoughts(
    made: Maker, provider: Provider, server: ProviderServer
):
    """The provider checks it when the answer comes back with the next request."""
    call = ToolCall(name="weather", arguments={"town": "Ulm"})
    server.reset(with_tools(Answer(text="Sunny.", thoughts="Ulm."), call))
    thinking = made("langchain", **provider.thinking["langchain"])
    models = [thinking.bind_tools([weather]), CachedChatModel(model=thinking).bind_tools([weather])]
    sent = []
    for model in models:
        for way in ("invoke", "stream"):
            talk: list[Any] = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
            model.invoke(talk)
            answer = model.invoke(talk) if way == "invoke" else _whole(model.stream(talk))
            (made_call,) = answer.tool_calls
            result = ToolMessage("sunny", tool_call_id=made_call["id"])
            server.reset(server.reply)
            thinking.bind_tools([weather]).invoke([*talk, answer, result])
            sent.append(_without_ids(_assistant(server.requests[0])))
    assert sent[0] == sent[1] == sent[2] == sent[3]
    assert "Ulm." in json.dumps(sent[0])


def _whole(chunks: Any) -> Any:
    first, *others = chunks
    for each in others:
        first = first + each
    return first


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in ("id", "toolUseId")}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value
