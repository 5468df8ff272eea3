"""What code sets on a wrapper reaches the model inside, or is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, PrivateAttr, create_model, model_validator

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    OptimizedChatModel,
)
from langchain_llm_optimizers.wrappers import underlying_models
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


def limiter() -> InMemoryRateLimiter:
    return InMemoryRateLimiter(requests_per_second=1_000)


def ids(text: str) -> list[int]:
    return [len(text)]


COMMON: dict[str, Any] = {
    "cache": InMemoryCache(),
    "rate_limiter": limiter(),
    "disable_streaming": True,
    "output_version": "v1",
    "custom_get_token_ids": ids,
    "verbose": True,
}
"""What LangChain reads of the model that opens the run."""
GIVERS: dict[str, Callable[..., Any]] = {
    "optimized": OptimizedChatModel,
    "batching": BatchingChatModel,
    "cached": CachedChatModel,
    "router": lambda model, **given: ChatModelRouter(
        {"a": model, "b": model.model_copy()}, **given
    ),
    "two": lambda model, **given: OptimizedChatModel(BatchingChatModel(model), **given),
}
common = pytest.mark.parametrize("name", COMMON)


def inside(wrapper: Any, name: str) -> list[Any]:
    return [getattr(each, name) for each in underlying_models(wrapper)]


@common
@pytest.mark.parametrize("kind", GIVERS)
def test_what_langchain_reads_of_a_model_is_given_to_the_models_inside(
    kind: str, name: str
) -> None:
    if (kind, name) == ("cached", "cache"):
        return  # its own
    wrap, value = GIVERS[kind], COMMON[name]
    model = StreamingFake()
    before = getattr(model, name)
    given = wrap(model, **{name: value})
    copied = wrap(model).model_copy(update={name: value})
    for wrapper in (given, copied, copy.copy(given), given.model_copy()):
        assert all(found is value for found in inside(wrapper, name))
        assert getattr(wrapper, name) is (None if name == "rate_limiter" else value)
    assert getattr(model, name) is before
    assert given.invoke("Hi").content


@pytest.mark.parametrize("kind", GIVERS)
def test_a_setting_given_to_the_wrapper_is_pickled_with_its_model(kind: str) -> None:
    given = GIVERS[kind](FakeListChatModel(responses=["hi"]), disable_streaming=True)
    loaded = pickle.loads(pickle.dumps(given))
    assert loaded.disable_streaming is True
    assert set(inside(loaded, "disable_streaming")) == {True}


@common
@wrappers
def test_what_langchain_reads_of_a_model_is_set_on_it(wrap: Callable[..., Any], name: str) -> None:
    model, value = StreamingFake(), COMMON[name]
    wrapper = wrap(model)
    if name == "cache" and isinstance(wrapper, CachedChatModel):
        with pytest.raises(ConfigurationError, match=r"a HybridCache, not .*on the model in it"):
            wrapper.cache = value
        return
    setattr(wrapper, name, value)
    assert getattr(model, name) is value


def test_a_model_without_a_cache_is_asked_each_time() -> None:
    model = StreamingFake()
    set_llm_cache(InMemoryCache())
    try:
        for wrap in (OptimizedChatModel, BatchingChatModel, GIVERS["router"], GIVERS["two"]):
            model.calls.clear()
            wrapper = wrap(model, cache=False)
            for _ in range(2):
                wrapper.invoke("Hi")
            assert len(model.calls) == 2
    finally:
        set_llm_cache(None)


def test_the_form_of_answers_is_configured_on_the_model() -> None:
    field = ConfigurableField(id="form")
    for wrap in GIVERS.values():
        chain = wrap(StreamingFake()).configurable_fields(output_version=field)
        (block,) = chain.with_config(configurable={"form": "v1"}).invoke("Hi").content
        assert block["type"] == "text"
        assert isinstance(chain.invoke("Hi").content, str)


def test_a_wrapper_of_a_cached_model_gives_it_no_other_kind_of_cache() -> None:
    cached = CachedChatModel(StreamingFake())
    for make in (
        lambda: OptimizedChatModel(cached, cache=False),
        lambda: OptimizedChatModel(cached).model_copy(update={"cache": False}),
    ):
        with pytest.raises(ConfigurationError, match="a HybridCache, not a bool"):
            make()


def test_settings_of_models_are_checked_and_written_like_the_models() -> None:
    with pytest.raises(ValueError, match="disable_streaming"):
        OptimizedChatModel(StreamingFake(), disable_streaming="sometimes")
    wrapper = OptimizedChatModel(StreamingFake(), output_version="v1")
    assert wrapper.model_dump()["model"]["output_version"] == "v1"
    assert "output_version" in repr(wrapper)
