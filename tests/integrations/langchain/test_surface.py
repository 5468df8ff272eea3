"""What code around a wrapper reads of it is what it would read of the model inside."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.runnables import ConfigurableField, Runnable
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI
from langgraph_supervisor.supervisor import create_supervisor

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.errors import ConfigurationError
from support.fakes import StreamingFake
from support.prompt_texts import FACTS

Wrap = Callable[[BaseChatModel], Any]
WRAPPERS: dict[str, Wrap] = {
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
    """A model with what providers' classes have beyond `BaseChatModel`."""

    top_p: float = 0.5
    depth: int = 0

    def deeper(self) -> Provider:
        return self.model_copy(update={"depth": self.depth + 1})

    def spared(self) -> Runnable[Any, Any]:
        return self.with_fallbacks([Other()])

    def briefly(self) -> Runnable[Any, Any]:
        return self.bind(max_tokens=5)

    def bind_tools(
        self,
        tools: Any,
        *,
        tool_choice: Any = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)


class Other(StreamingFake):
    """A model of another class."""


def openai(model: str = "gpt-4.1", **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, api_key="x", **settings)


@wrappers
def test_a_wrapper_is_found_as_the_class_of_its_model(wrap: Wrap) -> None:
    wrapper = wrap(openai())
    assert isinstance(wrapper, ChatOpenAI)
    assert isinstance(wrapper, BaseChatOpenAI)
    assert not isinstance(wrapper, AzureChatOpenAI)
    assert type(wrapper).__name__ == wrapper.__class__.__name__
    assert isinstance(wrapper, type(wrapper))
    assert not issubclass(type(wrapper), ChatOpenAI)


@wrappers
def test_it_has_the_profile_name_type_and_attributes_of_its_model(wrap: Wrap) -> None:
    model = openai(temperature=0.5, model_kwargs={"beta": 1}, max_tokens=7)
    wrapper = wrap(model)
    assert model.profile
    assert wrapper.profile == model.profile
    assert wrapper.model_name == "gpt-4.1"
    for name in ("model_kwargs", "temperature", "max_tokens", "use_responses_api"):
        assert getattr(wrapper, name) == getattr(model, name), name
    assert wrapper._llm_type == "openai-chat"
    assert wrapper._get_ls_params() == model._get_ls_params()
    assert not hasattr(wrapper, "no_such_name")
    with pytest.raises(AttributeError, match=type(wrapper).__name__):
        _ = wrapper.no_such_name


@wrappers
def test_a_model_whose_name_is_elsewhere_has_it_all_the_same(wrap: Wrap) -> None:
    assert wrap(StreamingFake(model="small")).model_name == "small"


@wrappers
def test_the_profile_is_that_of_the_model_now(wrap: Wrap) -> None:
    model = openai()
    wrapper = wrap(model)
    model.profile = {"max_input_tokens": 5}
    assert wrapper.profile == {"max_input_tokens": 5}
    assert copy.copy(wrapper).profile == wrapper.profile
    wrapper.profile = {"max_input_tokens": 4}
    assert wrapper.profile == {"max_input_tokens": 4}


def test_a_profile_given_to_the_wrapper_is_kept() -> None:
    model = CachedChatModel(openai(), profile={"max_input_tokens": 3})
    assert model.profile == {"max_input_tokens": 3}


@wrappers
def test_summaries_by_a_fraction_of_the_window(wrap: Wrap) -> None:
    SummarizationMiddleware(model=wrap(openai()), trigger=("fraction", 0.8), keep=("messages", 4))


@wrappers
def test_the_signature_of_bind_tools_is_the_models(wrap: Wrap) -> None:
    def parameters(model: BaseChatModel) -> set[str]:
        return set(inspect.signature(model.bind_tools).parameters)

    assert "parallel_tool_calls" in parameters(wrap(Provider()))
    assert "parallel_tool_calls" not in parameters(wrap(StreamingFake()))
    assert "tool_choice" in inspect.signature(type(wrap(Provider())).bind_tools).parameters


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_a_supervisor_turns_off_parallel_calls_of_a_wrapped_model() -> None:
    bound: list[Any] = []

    class Recorded(Provider):
        def bind_tools(self, tools: Any, *, parallel_tool_calls: Any = None, **kwargs: Any) -> Any:
            bound.append(parallel_tool_calls)
            return super().bind_tools(tools, **kwargs)

    for model in (Recorded(), CachedChatModel(Recorded())):
        create_supervisor([], model=model)
    assert bound == [False, False]


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_a_supervisor_turns_off_parallel_calls_of_a_router() -> None:
    bound: list[Any] = []

    class Recorded(Provider):
        def bind_tools(self, tools: Any, *, parallel_tool_calls: Any = None, **kwargs: Any) -> Any:
            bound.append((len(tools), parallel_tool_calls))
            return super().bind_tools(tools, **kwargs)

    router = ChatModelRouter({"small": Recorded(model="gpt-4o-mini"), "large": Recorded()})
    helper = create_agent(Provider(), name="helper")
    graph = create_supervisor([helper], model=CachedChatModel(router)).compile()
    graph.invoke({"messages": [("user", "hello")]})
    assert set(bound) == {(1, False)}


def test_tools_that_a_router_shows_are_bound_in_the_format_of_its_model() -> None:
    seen: list[Any] = []

    class Own(Provider):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[{"name": "own format"} for _ in tools], **kwargs)

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any):
            seen.append(kw.get("tools"))
            return super()._generate(messages, stop, run_manager)

    def search(query: str) -> str:
        """Find something."""
        return query

    bound = ChatModelRouter({"small": Own(model="gpt-4o-mini"), "large": Own()}).bind_tools(
        [search]
    )
    assert bound.kwargs["tools"][0]["function"]["name"] == "search"
    bound.invoke("hello")
    bound.bind(tools=["the caller's"]).invoke("hello")
    assert seen == [[{"name": "own format"}], ["the caller's"]]


def test_what_a_method_of_the_model_builds_calls_the_wrapper() -> None:
    model = Provider()
    wrapper = CachedChatModel(model, HybridCache(semantic=False))
    for _ in range(2):
        assert wrapper.briefly().invoke("hi").text == "gpt-4o-mini says: hi"
    assert len(model.calls) == 1
    spared = wrapper.spared()
    assert (spared.runnable, type(spared.fallbacks[0])) == (wrapper, Other)
    deeper = wrapper.deeper()
    assert isinstance(deeper, CachedChatModel)
    assert deeper.model.depth == deeper.depth == 1


@wrappers
def test_a_copy_and_a_text_form_can_be_made(wrap: Wrap) -> None:
    wrapper = wrap(openai())
    assert wrapper == wrapper.model_copy()
    assert type(wrapper.model_copy()) is type(wrapper)
    assert '"not_implemented"' in dumps(wrapper)
    assert "openai_api_key" not in repr(wrapper.model_dump(exclude={"model", "models"}))


def test_a_changed_copy_changes_the_model_inside() -> None:
    model = Provider(reply=str)
    wrapper = CachedChatModel(OptimizedChatModel(model), HybridCache(semantic=False))
    changed = wrapper.model_copy(update={"top_p": 0.1, "tags": ["a"]})
    inner: Any = changed.model
    assert (changed.top_p, inner.model.top_p, changed.tags) == (0.1, 0.1, ["a"])
    assert (wrapper.top_p, model.top_p, wrapper.tags) == (0.5, 0.5, None)
    for each in (wrapper, changed, changed):
        each.invoke("hi")
    assert wrapper.cache.stats.hits == {"exact": 1}


def test_a_router_has_what_holds_for_all_its_models() -> None:
    small, large = openai("gpt-4.1-mini"), openai()
    small.profile = {"max_input_tokens": 10, "tool_calling": True, "name": "s", "text_inputs": True}
    large.profile = {"max_input_tokens": 20, "tool_calling": False, "name": "l", "pdf_inputs": True}
    router = ChatModelRouter([small, large])
    assert router.profile == {"max_input_tokens": 10, "tool_calling": False}
    assert router.model_name == "gpt-4.1"
    assert isinstance(router, ChatOpenAI)
    large.profile = None
    assert router.profile is None


def test_a_router_of_several_classes_is_found_as_what_they_share() -> None:
    mixed = ChatModelRouter({"a": openai(), "b": Other()})
    assert not isinstance(mixed, ChatOpenAI)
    assert isinstance(mixed, BaseChatModel)
    assert mixed._llm_type == "chat-model-router"
    related = ChatModelRouter({"a": Provider(), "b": Other()})
    assert isinstance(related, StreamingFake)
    assert not isinstance(related, Provider)
    assert related.temperature is None
    assert not hasattr(related, "top_p")


def test_a_routers_attribute_is_the_safe_models_where_they_differ() -> None:
    router = ChatModelRouter({"a": Provider(top_p=0.1), "b": Provider(top_p=0.9)})
    assert router.top_p == 0.9
    assert not hasattr(router, "deeper")
    responses = {"a": openai(use_responses_api=True), "b": openai()}
    assert not ChatModelRouter(responses).use_responses_api


@wrappers
async def test_the_run_that_tracing_sees_stays_the_models(wrap: Wrap) -> None:
    seen: list[Any] = []

    class Seen(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            seen.append((serialized["name"], kwargs["metadata"]["ls_model_name"]))

    await wrap(Provider()).ainvoke("hi", {"callbacks": [Seen()]})
    assert seen == [("Provider", "gpt-4o-mini")]


def test_a_wrapper_takes_the_name_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    for wrapper in (CachedChatModel, OptimizedChatModel, BatchingChatModel):
        assert wrapper("openai:gpt-4o").model_name == "gpt-4o"


def test_the_second_argument_is_the_cache_or_the_optimizer() -> None:
    cache = HybridCache(semantic=False)
    assert CachedChatModel(StreamingFake(), cache).cache is cache
    first = OptimizedChatModel(StreamingFake())
    assert OptimizedChatModel(StreamingFake(), first.optimizer).optimizer is first.optimizer


def test_retrieved_context_is_cut_to_a_number_of_tokens() -> None:
    model = StreamingFake(reply=str)
    documents = "\n".join(f"{fact.title}\n{fact.text}\n" for fact in FACTS)
    question = f"<context>\n{documents}\n</context>\nWho is the mayor of Carrow?"
    OptimizedChatModel(model, context_tokens=40).invoke(question)
    assert "Mina Vale" in model.calls[0]
    assert len(model.calls[0]) < len(question) / 2
    with pytest.raises(ConfigurationError, match="context_tokens"):
        OptimizedChatModel(model, OptimizedChatModel(model).optimizer, context_tokens=60)


def test_fields_of_the_wrapper_and_of_its_model_can_be_configured() -> None:
    model = Provider(reply=str)
    cached = CachedChatModel(model, HybridCache(semantic=False)).configurable_fields(
        top_p=ConfigurableField(id="top_p"), tags=ConfigurableField(id="tags")
    )
    assert {spec.id for spec in cached.config_specs} == {"top_p", "tags"}
    made: Any = cached.prepare({"configurable": {"top_p": 0.25, "tags": ["a"]}})[0]
    assert isinstance(made, CachedChatModel)
    assert (made.model.top_p, made.tags, model.top_p) == (0.25, ["a"], 0.5)
    answers = [cached.invoke("hi", {"configurable": {"top_p": p}}).text for p in (0.1, 0.1, 0.2)]
    assert answers == ["hi"] * 3
    assert made.cache.stats.hits == {"exact": 1}
    with pytest.raises(ValueError, match="no_such_field"):
        CachedChatModel(model).configurable_fields(no_such_field=ConfigurableField(id="x"))


def test_fields_of_the_wrapper_alone_are_configured_by_langchain() -> None:
    tagged = CachedChatModel(Provider()).configurable_fields(tags=ConfigurableField(id="tags"))
    made: Any = tagged.prepare({"configurable": {"tags": ["a"]}})[0]
    assert type(made) is CachedChatModel
    assert made.tags == ["a"]


NO_MESSAGES: dict[str, Wrap] = {
    **WRAPPERS,
    "combining": lambda model: BatchingChatModel(model, combine=True),
}


@pytest.mark.parametrize("wrap", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_a_call_without_messages_is_the_models_business(wrap: Wrap) -> None:
    model = StreamingFake()
    wrapper, answer = wrap(model), model.invoke([]).text
    del model.calls[:]

    async def asynchronously() -> list[str]:
        chunks = [chunk.text async for chunk in wrapper.astream([])]
        (batched,) = await wrapper.abatch([[]])
        return [(await wrapper.ainvoke([])).text, "".join(chunks), batched.text]

    answers = [wrapper.invoke([]).text, "".join(chunk.text for chunk in wrapper.stream([]))]
    answers += [each.text for each in wrapper.batch([[], []])]
    answers += [wrapper.generate([[]]).generations[0][0].text, *asyncio.run(asynchronously())]
    assert {text.strip() for text in answers} == {answer.strip()}
    assert len(model.calls) == len(answers)


@pytest.mark.parametrize("wrap", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_the_error_of_a_call_without_messages_is_the_models(wrap: Wrap) -> None:
    model = StreamingFake(fail=lambda text: LookupError("no messages"), max_retries=0)
    with pytest.raises(LookupError, match="no messages"):
        wrap(model).invoke([])


def test_an_attribute_is_read_once_however_many_wrappers_are_around_the_model() -> None:
    reads: list[str] = []

    class Counting(StreamingFake):
        @property
        def region(self) -> str:
            reads.append("region")
            return "here"

    wrapper: BaseChatModel = Counting()
    for wrap in (OptimizedChatModel, CachedChatModel, BatchingChatModel) * 2:
        wrapper = wrap(wrapper)
    assert getattr(wrapper, "region") == "here"  # noqa: B009 - no type has it
    assert len(reads) == 1


@wrappers
def test_the_error_of_a_property_is_the_models_own(wrap: Wrap) -> None:
    class Unset(StreamingFake):
        @property
        def region(self) -> str:
            raise AttributeError("set REGION first")

    wrapper = wrap(Unset())
    with pytest.raises(AttributeError, match="set REGION first"):
        _ = wrapper.region
    with pytest.raises(AttributeError, match=r"has no attribute 'country'"):
        _ = wrapper.country
