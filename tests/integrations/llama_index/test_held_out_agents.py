"""An agent of a held-out user goes untouched: in its tools, streams, threads and shared calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    CostEventHandler,
    HybridCache,
    PromptOptimizingLLM,
    RoutedLLM,
)
from llm_optimizers.costs import HoldoutGroup, attributed
from llm_optimizers.routing import Always
from support.billing import bill_of, billed_by, spent
from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
USAGE: Any = {"additional_kwargs": {"stream_options": {"include_usage": True}}}
GROUP = HoldoutGroup(0.5)
HELD_OUT, TREATED = "u0", "u1"


@pytest.fixture
def costs(server: FakeOpenAI) -> Iterator[CostEventHandler]:
    with CostEventHandler(billed_by(server)) as handler:
        yield handler


def reply(body: dict[str, Any]) -> Any:
    """Ask all tools at once, then answer."""
    names = [each["function"]["name"] for each in body.get("tools") or ()]
    if names and body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call(name, {"q": "?"}, name) for name in names]}
    return "done"


def optimised(runner: OpenAIRunner, cache: HybridCache, **settings: Any) -> CachedLLM:
    models = [runner.llm(name, **settings) for name in ("gpt-4o-mini", "gpt-4o")]
    routed = RoutedLLM(models, policy=Always("gpt-4o-mini"), safe="gpt-4o")
    return CachedLLM(PromptOptimizingLLM(routed), cache)


def agent(runner: OpenAIRunner, cache: HybridCache, *, streaming: bool) -> FunctionAgent:
    whole, streamed = optimised(runner, cache), optimised(runner, cache, **USAGE)
    shared = BatchedLLM(optimised(runner, cache))

    async def ask(q: str) -> str:
        """Ask."""
        both = [ChatMessage(content=f"{n} {q}") for n in range(2)]
        return str(await asyncio.gather(*(whole.achat([each]) for each in both)))

    async def read(q: str) -> str:
        """Read."""
        return "".join([e.delta or "" async for e in await streamed.astream_complete(f"2 {q}")])

    async def share(q: str) -> str:
        """Share."""
        return str(await shared.acomplete(f"3 {q}"))

    def ask_in_a_thread(q: str) -> str:
        """Ask in a thread."""
        pieces = [each.delta or "" for each in streamed.stream_complete(f"4 {q}")]
        return str(whole.complete(f"5 {q}")) + "".join(pieces)

    tools: Any = [ask, read, share, ask_in_a_thread]
    llm = streamed if streaming else whole
    return FunctionAgent(name="boss", tools=tools, llm=llm, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_no_strategy_touches_a_held_out_agent(
    streaming: bool, server: FakeOpenAI, runner: OpenAIRunner, costs: CostEventHandler
) -> None:
    server.reply = reply
    cache = HybridCache()

    async def work(user: str) -> None:
        made = agent(runner, cache, streaming=streaming)
        with attributed(user=user), GROUP.assign(user):
            handler = made.run("Hi")
        await handler

    for user in (TREATED, HELD_OUT, HELD_OUT, TREATED):
        runner.run(work(user))
    records = list(costs.ledger.records())
    group = {user: GROUP.assignment(user) for user in (HELD_OUT, TREATED)}
    assert all(r.held_out == group[r.tags["user"]].held_out for r in records)
    assert all(r.bucket == group[r.tags["user"]].bucket for r in records)
    held_out = [r for r in records if r.held_out]
    assert len(held_out) == 2 * 8
    assert not any(r.hit or r.savings for r in held_out)
    assert {r.model for r in held_out} == {"gpt-4o"}
    assert {r.model for r in records if not (r.held_out or r.hit)} == {"gpt-4o-mini"}
    assert any(r.hit for r in records)
    assert spent(records) == bill_of(server)
