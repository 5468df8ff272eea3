"""What is no chat model is refused, and the message shows the order that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.language_models import FakeListLLM
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from pydantic import Field

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import CacheMiddleware, RouterMiddleware
from llm_optimizers.errors import ConfigurationError
from support.fakes import StreamingFake

WRAPPERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "cached": (CachedChatModel, "CachedChatModel({})"),
    "optimized": (OptimizedChatModel, "OptimizedChatModel({})"),
    "batching": (BatchingChatModel, "BatchingChatModel({})"),
    "router": (lambda model: ChatModelRouter([model]), "ChatModelRouter([{}, …])"),
}
SCHEMA = {"title": "answer", "type": "object", "properties": {"a": {"type": "integer"}}}


class Mine(StreamingFake):
    """A user's own model."""


class Spare(StreamingFake):
    """Another one."""


STEPS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "bind": (lambda model: model.bind(stop=["x"]), "{}.bind(…)"),
    "bind_tools": (lambda model: model.bind_tools([SCHEMA]), "{}.bind_tools(…)"),
    "with_config": (lambda model: model.with_config(tags=["a"]), "{}.with_config(…)"),
    "with_retry": (lambda model: model.with_retry(), "{}.with_retry(…)"),
    "structured": (
        lambda model: model.with_structured_output(SCHEMA),
        "{}.with_structured_output(…)",
    ),
    "structured, with the raw answer": (
        lambda model: model.with_structured_output(SCHEMA, include_raw=True),
        "{}.with_structured_output(…)",
    ),
    "alternatives": (
        lambda model: model.configurable_alternatives(ConfigurableField(id="llm"), b=Spare()),
        "{}.configurable_alternatives(…)",
    ),
    "chain": (lambda model: ChatPromptTemplate.from_template("{a}") | model, "… | {} | …"),
}
every_wrapper = pytest.mark.parametrize(("wrap", "shown"), WRAPPERS.values(), ids=WRAPPERS)


@every_wrapper
@pytest.mark.parametrize(("step", "order"), STEPS.values(), ids=STEPS)
def test_the_message_shows_the_order(
    wrap: Callable[[Any], Any], shown: str, step: Callable[[Any], Any], order: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        wrap(step(Mine()))
    assert order.format(shown.format("Mine(…)")) in str(raised.value)


@every_wrapper
def test_fallbacks_are_wrapped_one_by_one(wrap: Callable[[Any], Any], shown: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        wrap(Mine().with_fallbacks([Spare()]))
    wrapped = f"{shown.format('Mine(…)')}.with_fallbacks([{shown.format('Spare(…)')}])"
    routed = "a router falls back by itself, ChatModelRouter([Mine(…), Spare(…), …])"
    assert (routed if "Router" in shown else wrapped) in str(raised.value)


@every_wrapper
def test_fields_are_configured_after_the_wrapper(wrap: Callable[[Any], Any], shown: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        wrap(Mine().configurable_fields(temperature=ConfigurableField(id="t")))
    assert f"{shown.format('Mine(…)')}.configurable_fields(…)" in str(raised.value)


NESTED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "fields, then bind": (
        lambda model: model.configurable_fields(temperature=ConfigurableField(id="t")).bind(n=1),
        "CachedChatModel(Mine(…)).configurable_fields(…).bind(…)",
    ),
    "fallbacks, then retry": (
        lambda model: model.with_fallbacks([Spare().bind(n=1)]).with_retry(),
        "CachedChatModel(Mine(…)).with_fallbacks([CachedChatModel(Spare(…)).bind(…)]).with_retry(…)",
    ),
    "schema, then retry": (
        lambda model: model.with_structured_output(SCHEMA).with_retry(),
        "CachedChatModel(Mine(…)).with_structured_output(…).with_retry(…)",
    ),
    "already wrapped": (
        lambda model: CachedChatModel(model).with_fallbacks([Spare()]),
        "first, CachedChatModel(…).with_fallbacks([CachedChatModel(Spare(…))])",
    ),
}


@pytest.mark.parametrize(("steps", "order"), NESTED.values(), ids=NESTED)
def test_no_step_is_lost_from_the_order(steps: Callable[[Any], Any], order: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        CachedChatModel(steps(Mine()))
    assert order in str(raised.value)


def test_a_router_takes_the_fallbacks_below_a_retry_as_models() -> None:
    with pytest.raises(ConfigurationError) as raised:
        ChatModelRouter([Mine().with_fallbacks([Spare()]).with_retry()])
    assert "ChatModelRouter([Mine(…), Spare(…), …]).with_retry(…)" in str(raised.value)


@every_wrapper
@pytest.mark.parametrize("setting", [{"semantic": False}, {"temperature": 0}])
def test_a_setting_that_a_wrapper_lacks_is_refused(
    wrap: Callable[..., Any], shown: str, setting: dict[str, Any]
) -> None:
    kind = type(wrap(Mine()))
    given: Any = [Mine()] if kind is ChatModelRouter else Mine()
    (name,) = setting
    with pytest.raises(ConfigurationError, match=f"no setting '{name}': its own are .*model"):
        kind(given, **setting)


def test_a_subclass_may_have_settings_of_its_own() -> None:
    class Ours(CachedChatModel):
        team: str = Field(default="", alias="team_name")

    assert Ours(Mine(), team_name="a").team == "a"


def test_a_router_of_no_models_is_refused() -> None:
    for none in ([], {}):
        with pytest.raises(ConfigurationError, match="got no models"):
            ChatModelRouter(none)


OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "none": (lambda: None, "a model's name such as"),
    "class": (lambda: Mine, "Mine(…)"),
    "completion model": (lambda: FakeListLLM(responses=["a"]), "cache=HybridCache()"),
    "number": (lambda: 3, "not int: give it a model"),
    "configurable": (init_chat_model, "name a model"),
    "prompt": (lambda: ChatPromptTemplate.from_template("{a}"), "not ChatPromptTemplate"),
}


@every_wrapper
@pytest.mark.parametrize(("make", "said"), OTHERS.values(), ids=OTHERS)
def test_anything_else_is_named(
    wrap: Callable[[Any], Any], shown: str, make: Callable[[], Any], said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        wrap(make())
    assert said in str(raised.value)


@pytest.mark.parametrize("given", [None, "openai:gpt-4o", Mine(), Mine().bind(stop=["x"])])
def test_a_router_takes_a_list_or_a_mapping(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="a list, weakest first, or a mapping"):
        ChatModelRouter(given)


def test_two_models_of_one_name_in_a_list_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"small: name them in a mapping.*small \(1\)"):
        ChatModelRouter([StreamingFake(model="small"), StreamingFake(model="small", n=2)])
    with pytest.raises(ConfigurationError, match="in a mapping"):
        ChatModelRouter(["openai:gpt-4o", "openai:gpt-4o"])


def test_middleware_says_what_it_takes() -> None:
    wrong: Any = "answers.sqlite"
    with pytest.raises(ConfigurationError, match=r"`cache` is '.+'; give a HybridCache\(path="):
        CacheMiddleware(wrong)
    wrong = [Mine()]
    with pytest.raises(ConfigurationError, match=r"`router` is \[.*; give a ChatModelRouter"):
        RouterMiddleware(wrong)
    for model in (Mine(), CachedChatModel(Mine())):
        wrong = model
        with pytest.raises(ConfigurationError, match=r"`router` is a (Mine|Cached)"):
            RouterMiddleware(wrong)
    inside: Any = CachedChatModel(OptimizedChatModel(ChatModelRouter([Mine()])))
    assert RouterMiddleware(inside).router is inside
