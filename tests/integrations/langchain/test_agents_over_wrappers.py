"""Agents with a schema, and with bound or configurable models, over wrappers and middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI, tool_call

Chat = Callable[..., ChatOpenAI]
Wrap = Callable[[Any], Any]
QUESTION = {"messages": [HumanMessage("Where is it?")]}
WRAPPERS: dict[str, Wrap] = {
    "bare": lambda model: model,
    "cached": CachedChatModel,
    "optimized": OptimizedChatModel,
    "batching": BatchingChatModel,
    "combining": lambda model: BatchingChatModel(model, combine=True),
    "router": lambda model: ChatModelRouter({"a": model.model_copy(), "b": model}),
    "nested": lambda model: CachedChatModel(
        OptimizedChatModel(ChatModelRouter({"a": model.model_copy(), "b": CachedChatModel(model)}))
    ),
}
MIDDLEWARE: dict[str, Callable[[BaseChatModel], list[AgentMiddleware]]] = {
    "none": lambda model: [],
    "cache": lambda model: [CacheMiddleware()],
    "prompts": lambda model: [PromptMiddleware()],
    "router": lambda model: [RouterMiddleware(ChatModelRouter({"a": model, "b": model}))],
    "all": lambda model: [
        PromptMiddleware(),
        CacheMiddleware(),
        RouterMiddleware(ChatModelRouter({"a": model, "b": model})),
    ],
}


class Place(BaseModel):
    """Where it is."""

    city: str


@tool
def stock(item: str) -> str:
    """Stock of an item."""
    return "7"


def reply(body: dict[str, Any]) -> Any:
    names = [each["function"]["name"] for each in body.get("tools", [])]
    if "stock" in names and body["messages"][-1]["role"] == "user":
        return {"tool_calls": [tool_call("stock", {"item": "a"}, "call_000000000000000000000001")]}
    if body.get("response_format"):
        return '{"city": "Lyon"}'
    if "Place" in names:
        return {"tool_calls": [tool_call("Place", {"city": "Rome"}, "call_00000000000000000002")]}
    return "no format was asked for"


@pytest.mark.loopback
@pytest.mark.parametrize("middleware", MIDDLEWARE.values(), ids=MIDDLEWARE)
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_schema_takes_the_same_way_as_without_a_wrapper(
    server: FakeOpenAI, chat: Chat, wrap: Wrap, middleware: Any
) -> None:
    server.reply = reply
    formats = [(Place, "Lyon"), (ProviderStrategy(Place), "Lyon"), (ToolStrategy(Place), "Rome")]
    for schema, city in formats:
        for tools in ([], [stock]):
            model = chat(model="gpt-4.1")
            agent = create_agent(
                wrap(model), tools, response_format=schema, middleware=middleware(model)
            )
            answers = [agent.invoke(QUESTION), asyncio.run(agent.ainvoke(QUESTION))]
            assert [each["structured_response"] for each in answers] == [Place(city=city)] * 2


@pytest.mark.loopback
def test_a_router_asks_for_the_providers_format_only_if_all_its_models_have_it(
    server: FakeOpenAI, chat: Chat
) -> None:
    server.reply = reply
    plain = chat(model="an-unknown-model", profile={"structured_output": False})
    for models, city in (
        ([chat(model="gpt-4.1-mini"), chat(model="gpt-4.1")], "Lyon"),
        ([plain, chat(model="gpt-4.1")], "Rome"),
        ([chat(model="gpt-4.1"), plain], "Rome"),
    ):
        agent = create_agent(ChatModelRouter(models), [stock], response_format=Place)
        assert agent.invoke(QUESTION)["structured_response"] == Place(city=city)


BOUND: dict[str, Callable[[BaseChatModel], Any]] = {
    "bind": lambda model: model.bind(stop=["x"]),
    "with_config": lambda model: model.with_config(tags=["a"]),
    "with_fallbacks": lambda model: model.with_fallbacks([StreamingFake(model="spare")]),
    "configurable_fields": lambda model: model.configurable_fields(
        temperature=ConfigurableField(id="t")
    ),
    "alternatives": lambda model: StreamingFake(model="a").configurable_alternatives(
        ConfigurableField(id="llm"), chosen=model
    ),
    "bound wrapper": lambda model: OptimizedChatModel(model).bind(stop=["x"]),
    "configurable wrapper": lambda model: OptimizedChatModel(model).configurable_fields(
        temperature=ConfigurableField(id="t")
    ),
}


@pytest.mark.parametrize("tools", [[], [stock]], ids=["no tools", "tools"])
@pytest.mark.parametrize("bind", BOUND.values(), ids=BOUND)
def test_the_cache_is_inside_what_is_bound_on_a_model(bind: Any, tools: list[Any]) -> None:
    model, cache = StreamingFake(), HybridCache(semantic=False)
    agent = create_agent(
        bind(model), tools, middleware=[PromptMiddleware(), CacheMiddleware(cache)]
    )
    config: Any = {"configurable": {"llm": "chosen"}}
    texts = [agent.invoke(QUESTION, config)["messages"][-1].text for _ in range(2)]
    texts.append(asyncio.run(agent.ainvoke(QUESTION, config))["messages"][-1].text)
    assert texts == ["gpt-4o-mini says: Where is it?"] * 3
    assert cache.stats.hits == {"exact": 2}
    assert len(model.calls) == 1


def test_settings_bound_on_a_model_are_part_of_the_key() -> None:
    cache, asked = HybridCache(semantic=False), []
    for stop in ("a", "b", "a"):
        model = StreamingFake()
        bound: Any = model.bind(stop=[stop])
        create_agent(bound, [], middleware=[CacheMiddleware(cache)]).invoke(QUESTION)
        asked.append(len(model.calls))
    assert asked == [1, 1, 0]


@pytest.mark.loopback
def test_a_model_that_is_chosen_at_each_call(server: FakeOpenAI) -> None:
    model: Any = init_chat_model(
        "openai:gpt-4o", configurable_fields=("model",), api_key="x", base_url=server.url
    )
    cache = HybridCache(semantic=False)
    agent = create_agent(model, [], middleware=[PromptMiddleware(), CacheMiddleware(cache)])
    for name in ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1"):
        agent.invoke(QUESTION, {"configurable": {"model": name}})
    assert [body["model"] for body in server.requests] == ["gpt-4.1", "gpt-4.1-mini"]
    routed = create_agent(
        model, [], middleware=[RouterMiddleware(ChatModelRouter([StreamingFake()]))]
    )
    assert routed.invoke(QUESTION)["messages"][-1].text == "gpt-4o-mini says: Where is it?"


@pytest.mark.parametrize(
    "bind", [lambda m: m, lambda m: m.bind(stop=["x"])], ids=["plain", "bound"]
)
def test_the_router_takes_the_models_place_behind_its_cache(bind: Any) -> None:
    own, routed = StreamingFake(model="own"), StreamingFake(model="routed")
    cache = HybridCache(semantic=False)
    model = bind(CachedChatModel(OptimizedChatModel(own), cache))
    agent = create_agent(model, [], middleware=[RouterMiddleware(ChatModelRouter([routed]))])
    for _ in range(2):
        assert agent.invoke(QUESTION)["messages"][-1].text == "routed says: Where is it?"
    assert (len(own.calls), len(routed.calls), cache.stats.hits) == (0, 1, {"exact": 1})


class Claude(StreamingFake):
    """A provider's model that takes marks for its cache."""

    marks: list[Any] = Field(default_factory=list)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any) -> Any:
        self.marks.append(kw.pop("cache_control", None))
        return super()._generate(messages, stop, run_manager, **kw)


class FakeOfNoClass(FakeListChatModel):
    """A model that shares no class with the others; it notes a call's settings."""

    settings: list[Any] = Field(default_factory=list)

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any) -> str:
        self.settings.append(kw)
        return super()._call(messages, stop, run_manager, **kw)


class MarksForClaude(AgentMiddleware):
    """Marks prompts of its own provider's models only."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        if isinstance(request.model, Claude):
            settings = {**request.model_settings, "cache_control": "5m"}
            request = request.override(model_settings=settings)
        return handler(request)


ORDERS: dict[str, Callable[[BaseChatModel], list[AgentMiddleware]]] = {
    "cache last": lambda model: [MarksForClaude(), CacheMiddleware()],
    "cache first": lambda model: [CacheMiddleware(), MarksForClaude()],
    "router last": lambda m: [MarksForClaude(), RouterMiddleware(ChatModelRouter([m]))],
    "router first": lambda m: [RouterMiddleware(ChatModelRouter([m])), MarksForClaude()],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_middleware_finds_its_providers_model_in_any_order(
    order: Any, wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    model = Claude()
    create_agent(wrap(model), [], middleware=order(model)).invoke(QUESTION)
    assert model.marks == ["5m"]
    assert not caplog.records


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(True, id="router first"),
        pytest.param(
            False,
            id="router last",
            marks=pytest.mark.skipif(
                tuple(map(int, version("langchain").split(".")[:3])) < (1, 3, 12),
                reason="this LangChain cannot remove marks of one provider from a request",
            ),
        ),
    ],
)
def test_a_router_of_other_classes_says_so_once_and_gets_no_marks_of_one_provider(
    first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    own = Claude()
    other = FakeOfNoClass(responses=["hi"])
    middleware: list[AgentMiddleware] = [MarksForClaude()]
    router = RouterMiddleware(ChatModelRouter({"own": own, "other": other}))
    middleware.insert(0 if first else 1, router)
    agent = create_agent(own, [], middleware=middleware)
    with caplog.at_level(logging.WARNING, "llm_optimizers"):
        for _ in range(2):
            agent.invoke(QUESTION)
    (record,) = caplog.records
    said = "the router's models (Claude, FakeOfNoClass) are not all of the agent's class Claude"
    assert said in record.getMessage()
    assert other.settings == [{}, {}]
