"""Cached models in agents with tools, and in conversations with a checkpointer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from support.openai_server import FakeOpenAI, tool_call

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]
Chat = Callable[..., ChatOpenAI]


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


@tool
def population(city: str) -> str:
    """How many live in a city."""
    return f"many in {city}"


def plan(body: dict[str, Any]) -> Any:
    """Call both tools at once, then answer from their results; check the tool call ids."""
    messages = body["messages"]
    asked = [c["id"] for m in messages for c in m.get("tool_calls") or ()]
    results = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
    assert asked == results, "every call has one result"
    assert len(set(asked)) == len(asked), "no id is used twice"
    if messages[-1]["role"] == "user":
        number = len(asked)
        return {
            "tool_calls": [
                tool_call("weather", {"city": "Rome"}, f"call_{number:024d}"),
                tool_call("population", {"city": "Rome"}, f"call_{number + 1:024d}"),
            ]
        }
    return "; ".join(m["content"] for m in messages[-2:])


@pytest.fixture
def planned(server: FakeOpenAI) -> FakeOpenAI:
    server.reply = plan
    return server


def cached_model(kind: str, chat: Chat) -> Any:
    return chat(cache=HybridCache()) if kind == "cache=" else CachedChatModel(model=chat())


@pytest.mark.parametrize("kind", ["cache=", "wrapper"])
def test_an_agents_second_run_is_all_hits(kind: str, planned: FakeOpenAI, chat: Chat) -> None:
    agent = create_agent(cached_model(kind, chat), tools=[weather, population])
    costs = CostCallbackHandler()
    runs = [
        agent.invoke(
            {"messages": [HumanMessage("Tell me of Rome")]}, config={"callbacks": [costs]}
        )["messages"]
        for _ in range(2)
    ]
    assert [m.content for m in runs[0]] == [m.content for m in runs[1]]
    assert runs[1][-1].content == "sun in Rome; many in Rome"
    assert len(planned.requests) == 2
    summary = costs.summary()
    assert (summary.requests, summary.hits) == (4, 2)
    first, second = ({c["id"] for c in run[1].tool_calls} for run in runs)
    assert first.isdisjoint(second)


def test_a_streaming_agents_second_run_is_all_hits(planned: FakeOpenAI, chat: Chat) -> None:
    agent = create_agent(cached_model("wrapper", chat), tools=[weather, population])
    for _ in range(2):
        pieces = [
            chunk.text
            for chunk, _ in agent.stream(
                {"messages": [HumanMessage("Tell me of Rome")]}, stream_mode="messages"
            )
            if chunk.type == "AIMessageChunk"
        ]
        assert "".join(pieces) == "sun in Rome; many in Rome"
    assert len(planned.requests) == 2


@pytest.mark.parametrize("kind", ["cache=", "wrapper"])
async def test_hits_are_added_to_a_conversation_and_replace_no_message(
    kind: str, planned: FakeOpenAI, chat: Chat
) -> None:
    agent = create_agent(
        cached_model(kind, lambda **s: chat(http_client=None, **s)),
        tools=[weather, population],
        checkpointer=InMemorySaver(),
    )
    seen = []
    for thread in ("one", "two"):
        config: Any = {"configurable": {"thread_id": thread}}
        for _ in range(2):
            state = await agent.ainvoke(
                {"messages": [HumanMessage("Tell me of Rome")]}, config=config
            )
        messages = state["messages"]
        assert [m.type for m in messages] == ["human", "ai", "tool", "tool", "ai"] * 2
        assert len({m.id for m in messages}) == 10
        seen.append([m.content for m in messages])
    assert seen[0] == seen[1]
    # The second conversation repeats the first.
    assert len(planned.requests) == 4


def test_the_same_question_twice_in_one_conversation_keeps_both_answers(
    server: FakeOpenAI, chat: Chat
) -> None:
    """Without history in the request, a hit comes from the same conversation."""
    from langgraph.graph import START, MessagesState, StateGraph

    model = chat(cache=HybridCache())

    def answer(state: MessagesState) -> Any:
        return {"messages": [model.invoke([HumanMessage("Hi there")])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    app = graph.compile(checkpointer=InMemorySaver())
    for _ in range(3):
        state = app.invoke(
            {"messages": [HumanMessage("Hi there")]},
            config={"configurable": {"thread_id": "t"}},
        )
    assert [m.type for m in state["messages"]] == ["human", "ai"] * 3
    assert len(server.requests) == 1


def test_tools_reach_the_provider_in_its_own_form(planned: FakeOpenAI, chat: Chat) -> None:
    model = CachedChatModel(model=chat()).bind_tools([weather], tool_choice="weather")
    for _ in range(2):
        model.invoke("Weather in Rome?")
    (body,) = planned.requests
    assert body["tools"][0]["function"]["name"] == "weather"
    assert body["tool_choice"]["function"]["name"] == "weather"
    assert json.dumps(body["tools"][0]["function"]["parameters"])
