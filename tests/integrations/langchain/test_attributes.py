"""What code sets on a wrapper reaches the model inside, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, PrivateAttr, create_model, model_validator

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    OptimizedChatModel,
)
from llm_optimizers.errors import ConfigurationError
from support.fakes import StreamingFake

WRAPPERS: dict[str, Callable[[BaseChatModel], Any]] = {
    "cached": CachedChatModel,
    "optimized": OptimizedChatModel,
    "batching": BatchingChatModel,
    "router": lambda model: ChatModelRouter([model]),
    "all": lambda model: CachedChatModel(
        OptimizedChatModel(BatchingChatModel(ChatModelRouter([model])))
    ),
}
wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


class Provider(StreamingFake):
    """A model whose class reads and sets private names of it when it is validated."""

    region: str = "here"
    _checks: int = PrivateAttr(default=0)

    @property
    def models(self) -> list[str]:
        return [self.model]

    @model_validator(mode="after")
    def _checked(self) -> Provider:
        self.region = self._cleaned(self.region)
        self._checks = self._checks + 1
        return self

    @staticmethod
    def _cleaned(text: str) -> str:
        return text.strip()

    @property
    def checks(self) -> int:
        return self._checks


def openai(**settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o", api_key="none", **settings)


@wrappers
def test_a_setting_reaches_the_model(wrap: Callable[..., Any]) -> None:
    model = openai()
    wrapper = wrap(model)
    wrapper.temperature = 0.5
    wrapper.model_name = "gpt-4o-mini"
    assert (model.temperature, model.model_name) == (0.5, "gpt-4o-mini")
    assert (wrapper.temperature, wrapper.model_name) == (0.5, "gpt-4o-mini")
    del wrapper.temperature
    assert not hasattr(model, "temperature")


@wrappers
def test_what_nothing_has_is_refused_as_by_the_model(wrap: Callable[..., Any]) -> None:
    wrapper = wrap(openai())
    with pytest.raises(ValueError, match="no field"):
        wrapper.unheard_of = 1
    with pytest.raises(AttributeError, match="unheard_of"):
        del wrapper.unheard_of


@wrappers
def test_a_setting_that_was_changed_is_part_of_the_key(wrap: Callable[..., Any]) -> None:
    model = Provider(temperature=0)
    wrapper = CachedChatModel(wrap(model))
    wrapper.invoke("Where is the key?")
    wrapper.temperature = 0.0
    wrapper.invoke("Where is the key?")
    assert len(model.calls) == 1
    wrapper.max_tokens = 5
    wrapper.invoke("Where is the key?")
    assert len(model.calls) == 2


def test_own_fields_are_set_on_the_wrapper_whatever_its_model_has() -> None:
    first, second = openai(), openai()  # their `model` is a property
    cached = CachedChatModel(first)
    cached.model = second
    cached.tags = ["mine"]
    assert cached.model is second
    assert (first.tags, second.tags) == (None, None)
    router = ChatModelRouter([Provider()])
    router.models = {"other": second}
    assert router.models == {"other": second}


def test_a_router_of_several_models_refuses_what_they_have() -> None:
    models = {"small": openai(temperature=0), "large": openai()}
    router = ChatModelRouter(models)
    with pytest.raises(ConfigurationError, match=r"2 models: .*'temperature'.*model_copy"):
        router.temperature = 0
    with pytest.raises(ConfigurationError, match="'temperature'"):
        del router.temperature
    router.max_retries = models["small"].max_retries  # all have it already
    assert [each.temperature for each in models.values()] == [0, None]


@wrappers
def test_a_copy_with_another_setting_has_another_model(wrap: Callable[..., Any]) -> None:
    model = openai()
    copied = wrap(model).model_copy(update={"temperature": 0.5, "name": "copy"})
    assert (copied.temperature, copied.name, model.temperature) == (0.5, "copy", None)


def test_a_copy_of_a_router_has_a_setting_on_all_its_models() -> None:
    router = ChatModelRouter({"small": openai(), "large": openai(temperature=1)})
    copied = router.model_copy(update={"temperature": 0})
    assert [each.temperature for each in copied.models.values()] == [0, 0]
    assert [each.temperature for each in router.models.values()] == [None, 1]


def test_a_copy_cannot_have_what_only_some_models_have() -> None:
    router = ChatModelRouter({"small": openai(), "large": Provider()})
    with pytest.raises(ConfigurationError, match="ChatOpenAI has no 'region'"):
        router.model_copy(update={"region": "there"})


def test_fields_of_all_models_of_a_router_are_configured() -> None:
    small, large = Provider(model="gpt-4o-mini"), Provider(temperature=1)
    router = ChatModelRouter({"small": small, "large": large})
    configured = CachedChatModel(router).configurable_fields(
        temperature=ConfigurableField(id="heat"), tags=ConfigurableField(id="tags")
    )
    assert {spec.id for spec in configured.config_specs} == {"heat", "tags"}
    settings: Any = {"configurable": {"heat": 0.5, "tags": ["x"]}}
    made, _ = configured.prepare(settings)
    models = made.model.models
    assert [each.temperature for each in models.values()] == [0.5, 0.5]
    assert (made.tags, small.temperature, large.temperature) == (["x"], None, 1)
    assert configured.prepare()[0].model is router
    with pytest.raises(ValueError, match="unheard_of"):
        router.configurable_fields(unheard_of=ConfigurableField(id="none"))


@wrappers
def test_a_profile_that_is_taken_away_is_read_from_the_model(wrap: Callable[..., Any]) -> None:
    wrapper = wrap(Provider(profile={"max_input_tokens": 7}))
    wrapper.profile = {"max_input_tokens": 5}
    assert wrapper.profile == {"max_input_tokens": 5}
    wrapper.profile = None
    assert wrapper.profile == {"max_input_tokens": 7}


@wrappers
@pytest.mark.parametrize("make", [openai, Provider])
def test_a_field_of_the_models_class_takes_a_wrapper(
    wrap: Callable[..., Any], make: Callable[[], BaseChatModel]
) -> None:
    model = make()
    settings: Any = create_model("Settings", llm=(type(model), ...))
    wrapper = wrap(model)
    before = dict(vars(wrapper))
    assert settings(llm=wrapper).llm is wrapper
    assert vars(wrapper) == before
    assert getattr(wrapper, "checks", 2) == 2


def test_a_field_of_the_models_class_takes_a_router_of_several() -> None:
    class Settings(BaseModel):
        llm: ChatOpenAI

    router = ChatModelRouter({"small": openai(), "large": openai(temperature=1)})
    assert Settings(llm=router).llm is router


@wrappers
def test_a_hook_that_answers_a_call_is_never_read_from_the_model(wrap: Callable[..., Any]) -> None:
    class Hooked(Provider):
        def _stream_events(self) -> None:
            """Would answer in the wrapper's place."""

    assert not hasattr(wrap(Hooked()), "_stream_events")


@wrappers
def test_dir_lists_what_can_be_read(wrap: Callable[..., Any]) -> None:
    listed = dir(wrap(openai()))
    assert {"temperature", "max_tokens", "bind_tools", "model_name"} <= set(listed)
    assert "region" not in dir(ChatModelRouter({"small": openai(), "large": Provider()}))
