"""What agents' runs cost, record by record, beside what a provider billed for them over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from llama_index_instrumentation.dispatcher import instrument_tags

from llama_index_llm_optimizers import CostEventHandler
from llm_optimizers.costs import attributed
from support.billing import bill_of, billed_by, spent
from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI, tool_call

pytestmark = [
    pytest.mark.loopback,
    # LlamaIndex's ReActAgent asks this of its own workflow.
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]
USAGE: Any = {"stream_options": {"include_usage": True}}


@pytest.fixture
def costs(server: FakeOpenAI) -> Iterator[CostEventHandler]:
    with CostEventHandler(billed_by(server)) as handler:
        yield handler


def boss(body: dict[str, Any]) -> Any:
    """Ask all tools at once, then answer; without tools just answer."""
    names = [each["function"]["name"] for each in body.get("tools") or ()]
    if names and body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call(name, {"q": "?"}, uuid4().hex) for name in names]}
    return "done"


def llm(runner: OpenAIRunner, model: str) -> Any:
    return runner.llm(model, additional_kwargs=USAGE)


def small(runner: OpenAIRunner, model: str = "gpt-4o-mini") -> Any:
    return runner.llm(model)


def company(runner: OpenAIRunner, *, streaming: bool) -> FunctionAgent:
    """An agent with tools that run at once: one calls an agent, the other a model."""
    settings: Any = USAGE if streaming else {}
    models = {
        name: runner.llm(name, additional_kwargs=settings)
        for name in ("gpt-4o", "gpt-4.1-mini", "gpt-4o-mini")
    }
    clerk = FunctionAgent(name="clerk", tools=[], llm=models["gpt-4.1-mini"], streaming=streaming)

    async def ask_the_clerk(q: str) -> str:
        """Ask the clerk."""
        return str(await clerk.run(q))

    async def look_it_up(q: str) -> str:
        """Look it up."""
        return str(await models["gpt-4o-mini"].acomplete(q))

    tools: Any = [ask_the_clerk, look_it_up]
    return FunctionAgent(name="boss", tools=tools, llm=models["gpt-4o"], streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_an_agent_with_tools(
    streaming: bool, server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    server.reply = boss

    async def work() -> str:
        agent = company(runner, streaming=False)
        if streaming:
            agent = company(runner, streaming=True)
        with instrument_tags({"userId": "u17"}), attributed(feature="office"):
            handler = agent.run("Hi")
        await handler
        return handler.run_id

    run = runner.run(work())
    records = list(costs.ledger.records())
    assert spent(records) == bill_of(server)
    assert len(records) == len(server.billed) == 4
    assert costs.by_run(run).cost == bill_of(server)
    assert {r.tags["user"] for r in records} == {"u17"}
    assert {r.tags["feature"] for r in records} == {"office"}
    assert {(r.model, r.tags["agent"], r.tags["step"]) for r in records} == {
        ("gpt-4o", "boss", "run_agent_step"),
        ("gpt-4.1-mini", "clerk", "run_agent_step"),
        ("gpt-4o-mini", "boss", "call_tool"),
    }


def test_two_agents_that_hand_over(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        names = {each["function"]["name"] for each in body.get("tools") or ()}
        if body["model"] == "gpt-4o":
            given = {"to_agent": "writer", "reason": "it writes"}
            assert "handoff" in names
            return {"tool_calls": [tool_call("handoff", given, uuid4().hex)]}
        if len(server.billed) == 1:
            return {"tool_calls": [tool_call("look", {"q": "?"}, uuid4().hex)]}
        return "done"

    server.reply = reply
    helper = small(runner, "gpt-4.1-mini")

    async def look(q: str) -> str:
        """Look it up."""
        return str(await helper.acomplete(q))

    async def work() -> str:
        planner = FunctionAgent(
            name="planner",
            description="plans",
            tools=[],
            llm=llm(runner, "gpt-4o"),
            can_handoff_to=["writer"],
        )
        tools: Any = [look]
        writer = FunctionAgent(
            name="writer",
            description="writes",
            tools=tools,
            llm=llm(runner, "gpt-4o-mini"),
            can_handoff_to=["planner"],
        )
        handler = AgentWorkflow(agents=[planner, writer], root_agent="planner").run("Hi")
        await handler
        return handler.run_id

    run = runner.run(work())
    records = list(costs.ledger.records())
    assert costs.by_run(run).cost == spent(records) == bill_of(server)
    found = Counter((r.model, r.tags["agent"], r.tags["step"]) for r in records)
    assert found == {
        ("gpt-4o", "planner", "run_agent_step"): 1,
        ("gpt-4o-mini", "writer", "run_agent_step"): 2,
        ("gpt-4.1-mini", "writer", "call_tool"): 1,
    }


def test_a_react_agent(server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler) -> None:
    def reply(body: dict[str, Any]) -> str:
        if body["model"] == "gpt-4o-mini":
            return "found"
        if len(server.billed) == 0:
            return 'Thought: I look.\nAction: look\nAction Input: {"q": "x"}'
        return "Thought: I can answer without using any more tools.\nAnswer: done"

    server.reply = reply
    helper = small(runner)

    async def look(q: str) -> str:
        """Look it up."""
        return str(await helper.acomplete(q))

    async def work() -> str:
        tools: Any = [look]
        handler = ReActAgent(name="thinker", tools=tools, llm=llm(runner, "gpt-4o")).run("Hi")
        await handler
        return handler.run_id

    run = runner.run(work())
    records = list(costs.ledger.records())
    assert costs.by_run(run).cost == spent(records) == bill_of(server)
    assert [(r.model, r.tags["agent"]) for r in records] == [
        ("gpt-4o", "thinker"),
        ("gpt-4o-mini", "thinker"),
        ("gpt-4o", "thinker"),
    ]


class Part(Event):
    number: int


class Done(Event):
    text: str


class TriesAgain:
    """At once, up to three times."""

    def next(self, elapsed_time: float, attempts: int, error: Exception, **_: Any) -> float | None:
        return 0 if attempts < 3 else None


class Report(Workflow):
    """Parts that are written at once by a step that tries again, then a summary."""

    writer: Any = None

    @step
    async def divide(self, ctx: Context, ev: StartEvent) -> Part | None:
        for number in range(3):
            ctx.send_event(Part(number=number))
        return None

    @step(num_workers=3, retry_policy=TriesAgain())
    async def write(self, ev: Part) -> Done:
        return Done(text=str(await self.writer.acomplete(f"part {ev.number}")))

    @step
    async def sum_up(self, ctx: Context, ev: Done) -> StopEvent | None:
        if ctx.collect_events(ev, [Done] * 3) is None:
            return None
        pieces = [piece.delta async for piece in await self.writer.astream_complete("all")]
        return StopEvent(result="".join(filter(None, pieces)))


def report(runner: OpenAIRunner) -> Report:
    made = Report(timeout=30)
    made.writer = llm_for_both(runner)
    return made


def llm_for_both(runner: OpenAIRunner) -> Any:
    class Both:
        """Asks for usage in streams, and not elsewhere, where OpenAI refuses it."""

        async def acomplete(self, text: str) -> Any:
            return await runner.llm("gpt-4o-mini").acomplete(text)

        async def astream_complete(self, text: str) -> Any:
            return await runner.llm("gpt-4o", additional_kwargs=USAGE).astream_complete(text)

    return Both()


def test_a_workflow_with_parallel_steps_one_of_which_is_tried_again(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    server.failures.extend([500])

    async def work() -> str:
        handler = report(runner).run()
        await handler
        return handler.run_id

    run = runner.run(work())
    records = list(costs.ledger.records())
    assert costs.by_run(run).cost == spent(records) == bill_of(server)
    assert Counter((r.status, r.tags["agent"], r.tags["step"]) for r in records) == {
        ("error", "Report", "write"): 1,
        ("ok", "Report", "write"): 3,
        ("ok", "Report", "sum_up"): 1,
    }


def test_runs_at_the_same_time_never_mix(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    server.reply, server.delay = boss, 0.01

    async def one(user: str) -> tuple[str, str]:
        agent: Any = report(runner) if user == "u0" else company(runner, streaming=True)
        with attributed(user=user):
            handler = agent.run() if user == "u0" else agent.run("Hi")
            await handler
            return handler.run_id, user

    async def work() -> list[tuple[str, str]]:
        return await asyncio.gather(*(one(f"u{n}") for n in range(4)))

    runs = runner.run(work())
    records = list(costs.ledger.records())
    assert spent(records) == bill_of(server)
    for run, user in runs:
        mine = [r for r in records if r.tags["run"] == run]
        assert len(mine) == 4
        assert {r.tags["user"] for r in mine} == {user}
    assert sum((costs.by_run(run).cost for run, _ in runs), Decimal(0)) == bill_of(server)


@pytest.mark.parametrize("way", ["query", "aquery", "streaming"])
def test_a_query_engines_calls_are_one_run(
    way: str, server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    documents = [Document(text=f"Fact {n}. " * 20) for n in range(4)]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=2))
    before = len(list(costs.ledger.records()))
    streaming = way == "streaming"
    model = llm(runner, "gpt-4o") if streaming else small(runner)
    engine: Any = index.as_query_engine(
        llm=model, response_mode="refine", similarity_top_k=2, streaming=streaming
    )
    with costs.run() as run:
        if way == "aquery":
            runner.run(engine.aquery("What?"))
        else:
            answer = engine.query("What?")
            if streaming:
                list(answer.response_gen)
    records = list(costs.ledger.records())[before:]
    assert {r.tags["run"] for r in records} == {run.id}
    assert len(records) > len(server.billed) > 0  # with the embedding of the question
    assert sum((r.cost or 0 for r in records if "gpt" in r.model), Decimal(0)) == bill_of(server)
    summary = run.summary()
    assert (summary.requests, summary.embeddings.requests) == (
        len(server.billed),
        len(records) - len(server.billed),
    )


def test_a_query_engine_alone_is_one_run(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    documents = [Document(text=f"Fact {n}. " * 20) for n in range(4)]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=2))
    before = len(list(costs.ledger.records()))
    engine = index.as_query_engine(llm=small(runner), similarity_top_k=2)
    for _ in range(2):
        engine.query("What?")
    records = list(costs.ledger.records())[before:]
    assert sorted(Counter(r.tags["run"] for r in records).values()) == [2, 2]


def test_a_run_begun_inside_a_run_counts_for_both(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    inner: list[Any] = []
    helper = small(runner)

    async def look(q: str) -> str:
        """Look it up."""
        with costs.run() as run:
            inner.append(run)
            return str(await helper.acomplete(q))

    async def work() -> str:
        tools: Any = [look]
        agent = FunctionAgent(name="boss", tools=tools, llm=llm(runner, "gpt-4o"))
        handler = agent.run("Hi")
        await handler
        return handler.run_id

    server.reply = boss
    run = runner.run(work())
    records = list(costs.ledger.records())
    assert costs.by_run(run).cost == spent(records) == bill_of(server)
    (looked_up,) = (r for r in records if r.model == "gpt-4o-mini")
    assert inner[0].cost == looked_up.cost


def test_no_record_holds_the_input_of_a_step(
    server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    """LlamaIndex puts a step's input, which is a user's text, into the tags of its events."""

    async def work() -> None:
        await FunctionAgent(name="boss", tools=[], llm=llm(runner, "gpt-4o")).run("my secret plan")

    runner.run(work())
    (record,) = costs.ledger.records()
    assert "secret plan" not in str(record.tags)
    assert record.tags.keys() == {"run", "agent", "step"}
