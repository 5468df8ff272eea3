"""What agents' runs cost, record by record, beside what a provider billed for them over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, TypedDict
from uuid import UUID, uuid4

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from langchain_llm_optimizers import CachedChatModel, ChatModelRouter, CostCallbackHandler
from llm_optimizers.costs import attributed
from llm_optimizers.routing import Always
from support.billing import bill_of, billed_by, spent
from support.openai_server import FakeOpenAI, tool_call

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]
Chat = Callable[..., ChatOpenAI]


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


@pytest.fixture
def costs(server: FakeOpenAI) -> CostCallbackHandler:
    return CostCallbackHandler(billed_by(server))


def boss(body: dict[str, Any]) -> Any:
    """Ask all tools at once, then answer; without tools just answer."""
    names = [each["function"]["name"] for each in body.get("tools") or ()]
    if names and body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call(name, {"q": "?"}, uuid4().hex) for name in names]}
    return "done"


def company(chat: Chat, **settings: Any) -> Any:
    """An agent with tools that run at once: one calls an agent, one a model; both try again."""
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0)
    small = chat(model="gpt-4.1-mini", stream_usage=True)
    clerk = create_agent(small, tools=[], name="clerk", middleware=[again])
    retried = chat(model="gpt-4o-mini", stream_usage=True).with_retry(wait_exponential_jitter=False)

    @tool
    def ask_the_clerk(q: str) -> str:
        """Ask the clerk."""
        return clerk.invoke({"messages": [HumanMessage(q)]})["messages"][-1].text

    @tool
    def look_it_up(q: str) -> str:
        """Look it up."""
        return retried.invoke(q).text

    tools = [ask_the_clerk, look_it_up]
    model = chat(model="gpt-4o", stream_usage=True)
    return create_agent(model, tools=tools, name="boss", **settings)


def invoke(agent: Any, given: Any, config: Any) -> None:
    agent.invoke(given, config)


def ainvoke(agent: Any, given: Any, config: Any) -> None:
    asyncio.run(agent.ainvoke(given, config))


def stream(agent: Any, given: Any, config: Any) -> None:
    list(agent.stream(given, config, stream_mode="messages"))


def astream(agent: Any, given: Any, config: Any) -> None:
    async def read() -> None:
        async for _ in agent.astream(given, config, stream_mode=["updates", "messages"]):
            pass

    asyncio.run(read())


def batch(agent: Any, given: Any, config: Any) -> None:
    agent.batch([given], config)


WAYS = [invoke, ainvoke, stream, astream, batch]


def ask(text: str = "Hi") -> Any:
    return {"messages": [HumanMessage(text)]}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("given_to", ["run", "models"])
def test_an_agent_with_tools_and_retries(
    way: Callable[..., None], given_to: str, server: FakeOpenAI, chat: Chat, costs: Any
) -> None:
    run_id = uuid4()
    config: Any = {"run_id": run_id, "metadata": {"user_id": 17}}
    if given_to == "run":
        config["callbacks"] = [costs]
    else:

        def chat(_make: Chat = chat, **settings: Any) -> ChatOpenAI:
            return _make(**settings, callbacks=[costs])

    def reply(body: dict[str, Any]) -> Any:
        if not server.billed:
            server.failures.append(500)  # for whichever tool asks first
        return boss(body)

    server.reply = reply
    with attributed(feature="office"):
        way(company(chat), ask(), config)
    records = list(costs.ledger.records())
    assert spent(records) == bill_of(server)
    assert Counter(r.status for r in records) == {"ok": len(server.billed), "error": 1}
    assert {r.tags["run"] for r in records} == {str(run_id)}
    assert {r.tags["user"] for r in records} == {"17"}
    assert {r.tags["feature"] for r in records} == {"office"}
    assert {(r.model, r.tags["agent"], r.tags["step"]) for r in records} == {
        ("gpt-4o", "boss", "model"),
        ("gpt-4.1-mini", "clerk", "model"),
        ("gpt-4o-mini", "boss", "tools"),
    }
    assert costs.by_run(run_id).cost == bill_of(server)


def test_agents_as_subgraphs(server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler) -> None:
    """A supervisor that sends work to graphs at the same time, some of them without a name."""
    writer = create_agent(chat(model="gpt-4o-mini"), tools=[], name="writer")
    inner = StateGraph(State)
    inner.add_node("draft", lambda state: {"messages": [chat().invoke(state["messages"])]})
    inner.add_edge(START, "draft")
    inner.add_edge("draft", END)
    graph = StateGraph(State)
    lead = chat(model="gpt-4o")
    graph.add_node("plan", lambda state: {"messages": [lead.invoke(state["messages"])]})
    graph.add_node("write", writer)
    graph.add_node("review", inner.compile())
    graph.add_edge(START, "plan")
    both = ["write", "review"]
    graph.add_conditional_edges("plan", lambda state: [Send(n, state) for n in both], both)
    app = graph.compile(name="desk")
    with costs.run() as run:
        app.invoke(ask(), {"callbacks": [costs], "configurable": {"thread_id": "t1"}})
    records = list(costs.ledger.records())
    assert spent(records) == bill_of(server) == run.cost
    assert len(records) == len(server.billed) == 3
    assert {r.tags["session"] for r in records} == {"t1"}
    assert sorted((r.tags["agent"], r.tags["step"]) for r in records) == [
        ("desk", "plan"),
        ("review", "draft"),
        ("writer", "model"),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_supervisor_of_agents(server: FakeOpenAI, chat: Chat, costs: Any) -> None:
    supervisor = pytest.importorskip("langgraph_supervisor")

    def reply(body: dict[str, Any]) -> Any:
        names = [each["function"]["name"] for each in body.get("tools") or ()]
        handed = [m for m in body["messages"] if m["role"] == "tool"]
        if names and len(handed) < 2:
            return {"tool_calls": [tool_call(names[0], {}, uuid4().hex)]}
        return "done"

    server.reply = reply
    expert = create_agent(chat(model="gpt-4o-mini"), tools=[], name="expert")
    made = supervisor.create_supervisor([expert], model=chat(model="gpt-4o")).compile()
    run_id = uuid4()
    made.invoke(ask(), {"callbacks": [costs], "run_id": run_id})
    records = list(costs.ledger.records())
    assert costs.by_run(run_id).cost == spent(records) == bill_of(server)
    found = {(r.model, r.tags["agent"]) for r in records}
    assert found == {("gpt-4o", "supervisor"), ("gpt-4o-mini", "expert")}


def test_a_fallback_and_a_router_in_an_agent(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    server.failures.extend([500])
    models = {"gpt-4o-mini": chat(), "gpt-4o": chat(model="gpt-4o")}
    routed = ChatModelRouter(models, policy=Always("gpt-4o-mini"))
    agent = create_agent(CachedChatModel(model=routed), tools=[], name="boss")
    fallback = chat(model="gpt-4.1-mini").with_fallbacks([chat(model="gpt-4o")])
    run_id = uuid4()

    def both(text: str) -> str:
        return fallback.invoke(text).text + agent.invoke(ask(text))["messages"][-1].text

    RunnableLambda(both).invoke("Hi", {"callbacks": [costs], "run_id": run_id})
    server.failures.extend([500])
    RunnableLambda(both).invoke("Ho", {"callbacks": [costs], "run_id": uuid4()})
    records = list(costs.ledger.records())
    mine = [r for r in records if r.tags["run"] == str(run_id)]
    assert [r.status for r in mine] == ["error", "ok", "ok"]
    assert spent(records) == bill_of(server)
    assert len({r.tags["run"] for r in records}) == 2


def test_a_router_asked_alone_is_one_run(server: FakeOpenAI, chat: Chat, costs: Any) -> None:
    server.failures.extend([500])
    models = {"gpt-4o-mini": chat(), "gpt-4o": chat(model="gpt-4o")}
    routed = ChatModelRouter(models, policy=Always("gpt-4o-mini"))
    run_id = uuid4()
    routed.invoke("Hi", {"callbacks": [costs], "run_id": run_id})
    records = list(costs.ledger.records())
    assert [r.status for r in records] == ["error", "ok"]
    assert costs.by_run(run_id).requests == 2


def test_an_interrupted_thread_is_one_session_of_two_runs(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    model = chat()
    graph = StateGraph(State)

    def ask_first(state: State) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    def approve(state: State) -> Any:
        said = interrupt("may I?")
        return {"messages": [model.invoke([*state["messages"], HumanMessage(said)])]}

    graph.add_node("first", ask_first)
    graph.add_node("approve", approve)
    graph.add_edge(START, "first")
    graph.add_edge("first", "approve")
    app = graph.compile(checkpointer=InMemorySaver())
    runs = [uuid4(), uuid4()]
    for run, given in zip(runs, (ask(), Command(resume="yes")), strict=True):
        config = {"callbacks": [costs], "run_id": run, "configurable": {"thread_id": "t1"}}
        app.invoke(given, config)
    assert [costs.by_run(run).requests for run in runs] == [1, 1]
    (session,) = costs.summary().by_tag["session"].items()
    assert session[0] == "t1"
    assert session[1].cost == bill_of(server)
    assert [r.tags["step"] for r in costs.ledger.records()] == ["first", "approve"]


@pytest.mark.parametrize("kind", ["threads", "tasks", "batch"])
def test_runs_at_the_same_time_never_mix(
    kind: str, server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    server.reply = boss
    server.delay = 0.01
    agent = company(chat)
    runs = {uuid4(): f"u{n}" for n in range(4)}

    def config(run: Any) -> Any:
        return {"callbacks": [costs], "run_id": run, "metadata": {"user": runs[run]}}

    if kind == "threads":
        threads = [threading.Thread(target=agent.invoke, args=(ask(), config(run))) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif kind == "tasks":

        async def all_of_them() -> None:
            await asyncio.gather(*(agent.ainvoke(ask(), config(run)) for run in runs))

        asyncio.run(all_of_them())
    else:
        agent.batch([ask()] * 4, [config(run) for run in runs])
    records = list(costs.ledger.records())
    assert spent(records) == bill_of(server)
    for run, user in runs.items():
        mine = [r for r in records if r.tags["run"] == str(run)]
        assert len(mine) == 4
        assert {r.tags["user"] for r in mine} == {user}
    assert sum((costs.by_run(run).cost for run in runs), Decimal(0)) == bill_of(server)


def test_a_run_begun_inside_a_run_counts_for_both(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    model = chat()
    inner: list[Any] = []

    @tool
    def look_it_up(q: str) -> str:
        """Look it up."""
        with costs.run() as run, attributed(feature="search"), costs.run() as innermost:
            inner.extend([run, innermost])
            return model.invoke(q).text

    server.reply = boss
    agent = create_agent(chat(model="gpt-4o"), tools=[look_it_up], name="boss")
    with costs.run() as outer:
        agent.invoke(ask(), {"callbacks": [costs]})
    records = list(costs.ledger.records())
    assert outer.cost == spent(records) == bill_of(server)
    (looked_up,) = (r for r in records if r.tags.get("feature") == "search")
    assert [run.cost for run in inner] == [looked_up.cost] * 2
    with costs.run() as nobodys:
        pass
    assert nobodys.summary().requests == 0


def test_a_chain_of_parallel_parts_and_callbacks_of_a_part_only(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    watched, other = chat(callbacks=[costs]), chat(model="gpt-4o", callbacks=[costs])
    chain = RunnableParallel(a=watched, b=RunnableLambda(lambda text: other.invoke(text)))
    run_id = uuid4()
    chain.invoke("Hi", {"run_id": run_id, "metadata": {"session_id": "s"}})
    assert costs.by_run(str(run_id)).cost == bill_of(server)
    assert {r.tags["session"] for r in costs.ledger.records()} == {"s"}


def test_nobody_puts_a_call_on_anothers_run(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    victim, model = uuid4(), chat()
    model.invoke("Hi", {"callbacks": [costs], "run_id": victim})
    forged: Any = {"run": str(victim), "run_id": str(victim), "subrun": str(victim)}
    model.invoke("Hi", {"callbacks": [costs], "metadata": forged})
    assert costs.by_run(victim).requests == 1


def test_a_config_used_again_loses_no_call_and_keeps_no_user(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    model, again = chat(), CostCallbackHandler(costs.ledger)
    chain = RunnableLambda(lambda text: model.invoke(text).text)
    config: Any = {"run_id": uuid4(), "callbacks": [costs, again]}
    for user in ("a", "b"):
        with attributed(user=user):
            model.invoke("Hi", config)
            chain.invoke("Hi", {**config, "run_id": UUID(int=7)})
    records = list(costs.ledger.records())
    assert len(records) == len(server.billed) == 4
    assert spent(records) == bill_of(server)
    assert Counter(r.tags["user"] for r in records) == {"a": 2, "b": 2}
    assert costs.by_run(UUID(int=7)).requests == costs.by_run(config["run_id"]).requests == 2
