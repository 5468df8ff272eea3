"""Agents with a router, and a provider that rejects some calls."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_llm_optimizers import ChatModelRouter, CostCallbackHandler
from langchain_llm_optimizers.middleware import RouterMiddleware
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import Always, Weighted
from support.openai_server import FakeOpenAI, openai_server, tool_call

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]
Chat = Callable[..., ChatOpenAI]
QUESTION = {"messages": [HumanMessage("Sun and people of Rome?")]}


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


@tool
def population(city: str) -> str:
    """How many live in a city."""
    return f"many in {city}"


def plan(body: dict[str, Any]) -> Any:
    """Call one tool after the other, then answer."""
    results = [m for m in body["messages"] if m["role"] == "tool"]
    names = [t["function"]["name"] for t in body["tools"]]
    assert names[:2] == ["weather", "population"]
    if len(results) < 2:
        name = names[len(results)]
        return {"tool_calls": [tool_call(name, {"city": "Rome"}, f"call_{len(results):024d}")]}
    return "; ".join(m["content"] for m in results)


def served(messages: list[Any]) -> list[str]:
    return [
        m.response_metadata["llm_optimizers"]["routed"]
        for m in messages
        if isinstance(m, AIMessage)
    ]


@pytest.fixture
def busy(chat: Chat) -> Any:
    """A child whose provider answers the first calls and then returns 429."""
    with openai_server() as fake:
        yield fake


def router_of_two(chat: Chat, busy: FakeOpenAI, policy: Any, **settings: Any) -> ChatModelRouter:
    models = {
        "small": chat(model="gpt-4o-mini", base_url=busy.url),
        "large": chat(model="gpt-4o"),
    }
    return ChatModelRouter(models=models, policy=policy, **settings)


def test_an_agent_finishes_if_one_child_is_rate_limited(
    server: FakeOpenAI, chat: Chat, busy: FakeOpenAI
):
    server.reply = busy.reply = plan
    busy.failures = deque([429] * 20)
    ledger = Ledger()
    costs = CostCallbackHandler(ledger)
    router = router_of_two(chat, busy, Always("small"), ledger=ledger)
    agent = create_agent(router, [weather, population])
    result = agent.invoke(QUESTION, config={"callbacks": [costs]})
    assert result["messages"][-1].text == "sun in Rome; many in Rome"
    assert served(result["messages"]) == ["large"] * 3
    assert len(busy.requests) == 1
    records = list(ledger.records())
    assert [r.status for r in records].count("ok") == 3
    assert [r.status for r in records].count("error") == 1
    decisions = [note.payload for note in ledger.notes("routing.decision")]
    assert [a["outcome"] for a in decisions[0]["attempts"]] == ["failed", "served"]


def test_a_child_that_fails_during_a_run_is_replaced(
    server: FakeOpenAI, chat: Chat, busy: FakeOpenAI
):
    server.reply = busy.reply = plan

    def once(body: dict[str, Any]) -> Any:
        busy.failures = deque([503] * 20)
        return plan(body)

    busy.reply = once
    agent = create_agent(router_of_two(chat, busy, Always("small")), [weather, population])
    messages = agent.invoke(QUESTION)["messages"]
    assert served(messages) == ["small", "large", "large"]
    assert messages[-1].text == "sun in Rome; many in Rome"


@pytest.mark.parametrize("attempt", range(4))
def test_the_model_never_changes_between_a_call_and_its_result(
    server: FakeOpenAI, chat: Chat, busy: FakeOpenAI, attempt: int
):
    server.reply = busy.reply = plan
    router = router_of_two(chat, busy, Weighted({"small": 1, "large": 1}))
    agent = create_agent(chat(), [weather, population], middleware=[RouterMiddleware(router)])
    assert len(set(served(agent.invoke(QUESTION)["messages"]))) == 1


async def test_the_middleware_routes_asynchronously_and_in_streams(
    server: FakeOpenAI, busy: FakeOpenAI
):
    server.reply = busy.reply = plan
    models = {
        name: ChatOpenAI(model=model, base_url=fake.url, api_key="sk-test", max_retries=0)
        for name, model, fake in (("small", "gpt-4o-mini", busy), ("large", "gpt-4o", server))
    }
    router = ChatModelRouter(models=models, policy=Always("small"))
    agent = create_agent(
        models["large"], [weather, population], middleware=[RouterMiddleware(router)]
    )
    result = await agent.ainvoke(QUESTION)
    assert served(result["messages"]) == ["small"] * 3
    texts = [chunk.text async for chunk, _ in agent.astream(QUESTION, stream_mode="messages")]
    assert "sun in Rome" in "".join(texts)
    assert server.requests == []


def test_a_conversation_in_a_checkpointer_continues(
    server: FakeOpenAI, chat: Chat, busy: FakeOpenAI
):
    server.reply = busy.reply = plan
    ledger = Ledger()
    router = router_of_two(chat, busy, Always("small"), ledger=ledger)
    agent = create_agent(router, [weather, population], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t1"}}
    agent.invoke(QUESTION, config)
    agent.invoke(QUESTION, config)
    sessions = {note.payload["session"] for note in ledger.notes("routing.decision")}
    assert sessions == {"t1"}


class City(BaseModel):
    """A city."""

    name: str
    sunny: bool


def test_an_agent_with_a_response_format(server: FakeOpenAI, chat: Chat, busy: FakeOpenAI):
    busy.reply = lambda body: json.dumps({"name": "Rome", "sunny": True})
    agent = create_agent(
        router_of_two(chat, busy, Always("small")), [weather], response_format=City
    )
    assert agent.invoke(QUESTION)["structured_response"] == City(name="Rome", sunny=True)
    (asked,) = busy.requests
    assert asked["response_format"]["type"] == "json_schema"
    assert [each["function"]["name"] for each in asked["tools"]] == ["weather"]


def test_structured_output_of_a_real_provider(chat: Chat, busy: FakeOpenAI):
    busy.reply = lambda body: json.dumps({"name": "Rome", "sunny": True})
    model = router_of_two(chat, busy, Always("small")).with_structured_output(City)
    assert model.invoke("Rome?") == City(name="Rome", sunny=True)
    assert busy.requests[0]["response_format"]["type"] == "json_schema"
    assert "llm_optimizers_port" not in busy.requests[0]
