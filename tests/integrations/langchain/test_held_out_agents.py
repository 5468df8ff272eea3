"""An agent of a held-out user goes untouched: in its tools, streams, batches and shared calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from llm_optimizers.costs import HoldoutGroup, attributed
from llm_optimizers.routing import Always
from support.billing import bill_of, billed_by, spent
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
Chat = Callable[..., ChatOpenAI]
GROUP = HoldoutGroup(0.5)
HELD_OUT, TREATED = "u0", "u1"


@pytest.fixture
def costs(server: FakeOpenAI) -> CostCallbackHandler:
    return CostCallbackHandler(billed_by(server))


def reply(body: dict[str, Any]) -> Any:
    """Ask all tools at once, then answer."""
    names = [each["function"]["name"] for each in body.get("tools") or ()]
    if names and body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call(name, {"q": "?"}, name) for name in names]}
    return "done"


def router(chat: Chat) -> ChatModelRouter:
    models = {name: chat(model=name, stream_usage=True) for name in ("gpt-4o-mini", "gpt-4o")}
    return ChatModelRouter(models, policy=Always("gpt-4o-mini"), safe="gpt-4o")


def optimised(chat: Chat, cache: HybridCache) -> CachedChatModel:
    return CachedChatModel(model=OptimizedChatModel(model=router(chat)), cache=cache)


def agent(chat: Chat, cache: HybridCache, *, middleware: bool) -> Any:
    inner = optimised(chat, cache)
    shared = BatchingChatModel(optimised(chat, cache))

    @tool
    def ask(q: str) -> str:
        """Ask."""
        return inner.invoke(f"one {q}").text

    @tool
    def ask_several(q: str) -> str:
        """Ask several."""
        return "".join(each.text for each in inner.batch([f"two {q}", "three"]))

    @tool
    def read(q: str) -> str:
        """Read."""
        return "".join(each.text for each in inner.stream(f"four {q}"))

    @tool
    def share(q: str) -> str:
        """Share."""
        return shared.invoke(f"five {q}").text

    tools = [ask, ask_several, read, share]
    if not middleware:
        return create_agent(inner, tools=tools)
    own = [CacheMiddleware(cache), PromptMiddleware(), RouterMiddleware(router(chat))]
    return create_agent(chat(model="gpt-4o", stream_usage=True), tools=tools, middleware=own)


def invoke(agent: Any, config: Any) -> None:
    agent.invoke({"messages": [HumanMessage("Hi")]}, config)


def batch(agent: Any, config: Any) -> None:
    agent.batch([{"messages": [HumanMessage("Hi")]}], config)


def stream(agent: Any, config: Any) -> None:
    list(agent.stream({"messages": [HumanMessage("Hi")]}, config, stream_mode="messages"))


@pytest.mark.parametrize("way", [invoke, batch, stream], ids=lambda way: way.__name__)
@pytest.mark.parametrize("middleware", [False, True])
def test_no_strategy_touches_a_held_out_agent(
    way: Callable[..., None], middleware: bool, server: FakeOpenAI, chat: Chat, costs: Any
) -> None:
    server.reply = reply
    made = agent(chat, HybridCache(), middleware=middleware)
    for user in (TREATED, HELD_OUT, HELD_OUT, TREATED):
        with attributed(user=user), GROUP.assign(user):
            way(made, {"callbacks": [costs]})
    records = list(costs.ledger.records())
    group = {user: GROUP.assignment(user) for user in (HELD_OUT, TREATED)}
    assert all(r.held_out == group[r.tags["user"]].held_out for r in records)
    assert all(r.bucket == group[r.tags["user"]].bucket for r in records)
    held_out = [r for r in records if r.held_out]
    assert len(held_out) == 2 * 7
    assert not any(r.hit or r.savings for r in held_out)
    assert {r.model for r in held_out} == {"gpt-4o"}
    assert {r.model for r in records if not (r.held_out or r.hit)} == {"gpt-4o-mini"}
    assert any(r.hit for r in records)
    assert spent(records) == bill_of(server)


def test_a_stream_of_a_held_out_user_is_read_piece_by_piece_in_other_contexts(
    server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
) -> None:
    model = optimised(chat, HybridCache())
    config: Any = {"callbacks": [costs]}

    def pieces(user: str) -> Iterator[Any]:
        with attributed(user=user), GROUP.assign(user):
            yield from model.stream("Hi", config)
            yield model.invoke("Ho", config)

    for user in (TREATED, HELD_OUT, TREATED):
        reading = pieces(user)
        while copy_context().run(next, reading, None) is not None:
            pass
    found = [(r.tags["user"], r.held_out, r.hit) for r in costs.ledger.records()]
    assert found == [
        *[(TREATED, False, False)] * 2,
        *[(HELD_OUT, True, False)] * 2,
        *[(TREATED, False, True)] * 2,
    ]
