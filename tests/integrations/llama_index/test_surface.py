"""What code reads of a wrapper is what it would read of the LLM inside; what cannot be wrapped."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.mock import MockLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llama_index_llm_optimizers import BatchedLLM, CachedLLM, PromptOptimizingLLM, RoutedLLM
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import RequestOptimizer
from support.llama_fakes import FakeLLM, HashEmbedding, PlainLLM

Wrap = Callable[[Any], LLM]
WRAPPERS: dict[str, Wrap] = {
    "cached": CachedLLM,
    "optimizing": PromptOptimizingLLM,
    "batched": BatchedLLM,
    "routed": lambda llm: RoutedLLM({"a": llm, "b": llm.model_copy()}, safe="a"),
    "stack": lambda llm: CachedLLM(RoutedLLM({"a": PromptOptimizingLLM(BatchedLLM(llm))})),
}

OWN_SETTINGS: dict[Callable[..., Any], list[str]] = {
    kind: names.split()
    for kind, names in {
        CachedLLM: "llm cache",
        PromptOptimizingLLM: "llm optimizer context_tokens embed_model",
        BatchedLLM: "llm combine limits max_pending max_calls timeout namespace",
        RoutedLLM: "models policy safe tiers ledger router deadline_s context traffic",
    }.items()
}


def openai(**settings: Any) -> OpenAI:
    return OpenAI(model="gpt-4o", api_key="x", **settings)


class Town(BaseModel):
    name: str


class Holder(BaseModel):
    llm: OpenAI


@pytest.fixture(params=WRAPPERS)
def wrap(request: pytest.FixtureRequest) -> Wrap:
    return WRAPPERS[request.param]


# --- classes --------------------------------------------------------------------------------------


def test_a_wrapper_is_found_as_its_own_class_and_as_that_of_its_llm(wrap: Wrap) -> None:
    llm = wrap(openai())
    assert isinstance(llm, OpenAI)
    assert isinstance(llm, type(llm))
    assert not isinstance(llm, OpenAIResponses)
    assert type(llm).__name__ == llm.class_name()
    assert Holder(llm=llm).llm is llm


def test_a_router_is_found_as_the_class_that_all_its_llms_share() -> None:
    class Ours(OpenAI):
        pass

    ours = Ours(model="gpt-4o", api_key="x")
    mixed = RoutedLLM({"a": CachedLLM(ours), "b": openai()})
    assert isinstance(mixed, OpenAI)
    assert not isinstance(mixed, Ours)
    apart = RoutedLLM({"a": openai(), "b": FakeLLM()})
    assert isinstance(apart, FunctionCallingLLM)
    assert not isinstance(apart, OpenAI | FakeLLM)
    with pytest.raises(ValidationError):
        Holder(llm=apart)


def test_a_wrapper_that_is_not_made_yet_is_of_its_own_class_and_has_nothing(wrap: Wrap) -> None:
    kind = type(wrap(openai()))
    half = kind.__new__(kind)
    assert not isinstance(half, OpenAI)
    for name in ("temperature", "llm", "models", "router", "_no_such_attribute"):
        assert not hasattr(half, name)


def test_a_copy_is_found_as_the_class_of_its_llm_too(wrap: Wrap) -> None:
    llm = wrap(openai())
    for again in (copy.copy(llm), llm.model_copy()):
        assert isinstance(again, OpenAI)
        assert type(again) is type(llm)
        assert again == llm


# --- attributes -----------------------------------------------------------------------------------


def test_what_a_wrapper_lacks_is_read_from_the_llm(wrap: Wrap) -> None:
    llm = wrap(openai(temperature=0.3, max_tokens=7))
    assert (llm.model, llm.temperature, llm.max_tokens) == ("gpt-4o", 0.3, 7)  # type: ignore[attr-defined]
    assert not hasattr(llm, "no_such_attribute")
    with pytest.raises(AttributeError, match=f"'{type(llm).__name__}' object has no attribute"):
        llm.no_such_attribute  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(llm, "_get_client")


def test_a_wrappers_own_fields_win_and_the_llms_come_before_other_wrappers() -> None:
    batched = BatchedLLM(openai(timeout=9.0), timeout=3.0)
    assert batched.timeout == 3.0
    assert CachedLLM(batched).timeout == 9.0  # type: ignore[attr-defined]
    assert CachedLLM(batched).combine is False  # type: ignore[attr-defined]


def test_what_is_set_on_a_wrapper_reaches_its_only_llm() -> None:
    inner = openai()
    llm = CachedLLM(PromptOptimizingLLM(inner))
    llm.temperature = 0.7  # type: ignore[attr-defined]
    assert inner.temperature == 0.7
    with pytest.raises(ValueError, match="no field"):
        llm.no_such_attribute = 1  # type: ignore[attr-defined]


def test_nothing_is_set_on_the_llms_of_a_router() -> None:
    llm = RoutedLLM({"a": openai(), "b": openai()})
    with pytest.raises(ConfigurationError, match=r"temperature .*RoutedLLM.*each"):
        llm.temperature = 0.7  # type: ignore[attr-defined]


# --- what can be wrapped --------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "structured": (
        MockLLM().as_structured_llm(Town),
        r"wrap the LLM inside it first, as in .*\(llm\)\.as_structured_llm\(Town\)",
    ),
    "embedding": (HashEmbedding(), r"an embedding model \(HashEmbedding\): use with_embeddings"),
    "langchain": (FakeListChatModel(responses=["a"]), r"LangChain model .* langchain_llm_optim"),
    "name": ("gpt-4o", r"not a name: make the LLM first"),
    "none": (None, r"not None: give it one, such as Settings\.llm"),
    "class": (OpenAI, r"not a class: make an LLM of it first, OpenAI\(\.\.\.\)"),
    "other": (3, r"not a int"),
}
MAKERS: dict[str, Wrap] = {
    "cached": CachedLLM,
    "cached by name": lambda llm: CachedLLM(llm=llm),
    "optimizing": PromptOptimizingLLM,
    "batched": BatchedLLM,
    "routed list": lambda llm: RoutedLLM([openai(), llm]),
    "routed mapping": lambda llm: RoutedLLM({"a": openai(), "b": llm}),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_wrapped_is_refused_with_what_to_do(name: str, make: str) -> None:
    given, said = REFUSED[name]
    with pytest.raises(ConfigurationError, match=said):
        MAKERS[make](given)


@pytest.mark.parametrize("given", [None, "gpt-4o", MockLLM()])
def test_a_router_needs_a_list_or_a_mapping(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="a list, weakest first"):
        RoutedLLM(given)


def test_arguments_may_have_names() -> None:
    optimizer = RequestOptimizer()
    by_place, by_name = (
        PromptOptimizingLLM(openai(), optimizer),
        PromptOptimizingLLM(llm=openai(), optimizer=optimizer),
    )
    assert by_place.optimizer is by_name.optimizer
    assert BatchedLLM(llm=openai()).model == "gpt-4o"  # type: ignore[attr-defined]
    assert RoutedLLM(models=[openai()]).model == "gpt-4o"  # type: ignore[attr-defined]
    assert isinstance(CachedLLM(PlainLLM()), PlainLLM)


@pytest.mark.parametrize("setting", [{"semantic": False}, {"temperature": 0}])
@pytest.mark.parametrize("kind", OWN_SETTINGS)
def test_a_setting_that_a_wrapper_lacks_is_refused(
    kind: Callable[..., Any], setting: dict[str, Any]
) -> None:
    given: Any = [openai()] if kind is RoutedLLM else openai()
    (name,) = setting
    with pytest.raises(ConfigurationError, match=f"no setting '{name}': its own are") as raised:
        kind(given, **setting)
    named = str(raised.value).partition("its own are ")[2].partition(".")[0].split(", ")
    assert sorted(named) == sorted(OWN_SETTINGS[kind])
    assert "What belongs to a model, a cache or an optimizer is set on that" in str(raised.value)


def test_a_wrapper_takes_the_settings_of_an_llm(wrap: Wrap) -> None:
    kind: Any = type(wrap(openai()))
    given: Any = [openai()] if kind is RoutedLLM else openai()
    manager = CallbackManager()
    llm = kind(given, system_prompt="Be brief.", callback_manager=manager, output_parser=None)
    assert (llm.system_prompt, llm.callback_manager) == ("Be brief.", manager)


def test_a_subclass_may_have_settings_of_its_own() -> None:
    class Ours(CachedLLM):
        team: str = Field(default="", alias="team_name")

    assert Ours(openai(), team_name="a").team == "a"
    with pytest.raises(ConfigurationError, match=r"no setting 'teams': its own are .*team"):
        Ours(openai(), teams="a")

    class Open(CachedLLM):
        model_config = ConfigDict(extra="allow")

    assert Open(openai(), anything=1).model_extra == {"anything": 1}


# --- tools and prompts ----------------------------------------------------------------------------


def weather(town: str) -> str:
    """Return a town's weather."""
    return town


class TwoCalls(FakeLLM):
    """Always answers with two calls, and keeps the first where one is allowed."""

    def _respond(self, messages: Any, kwargs: dict[str, Any]) -> ChatResponse:
        call = ToolCallBlock(tool_call_id="call_1", tool_name="weather", tool_kwargs={"town": "a"})
        return ChatResponse(message=ChatMessage(role="assistant", blocks=[call, call]))

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Any, allow_parallel_tool_calls: bool = False, **_: Any
    ) -> ChatResponse:
        if not allow_parallel_tool_calls:
            del response.message.blocks[1:]
        return response


def test_a_router_of_two_classes_keeps_the_calls_that_the_llm_that_answered_allows() -> None:
    llm = RoutedLLM({"a": openai(), "b": TwoCalls()})
    tools = [FunctionTool.from_defaults(weather)]
    for several, count in ((False, 1), (True, 2)):
        answer = llm.chat_with_tools(tools, "Hi.", allow_parallel_tool_calls=several)
        assert len(llm.get_tool_calls_from_response(answer)) == count


def test_routers_of_wrappers_around_two_classes_write_tools_for_the_one_chosen() -> None:
    llm = RoutedLLM({"a": CachedLLM(openai()), "b": CachedLLM(FakeLLM())})
    answer = llm.chat_with_tools([FunctionTool.from_defaults(weather)], "The weather of 4.")
    (call,) = llm.get_tool_calls_from_response(answer)
    assert call.tool_name == "weather"


def test_a_message_of_several_texts_is_sent_as_it_is() -> None:
    inner = FakeLLM()
    llm = BatchedLLM(inner, combine=True)
    message = ChatMessage(role="user", blocks=[TextBlock(text="10"), TextBlock(text="0 euros?")])
    llm.chat([message])
    assert inner.asked == [[message]]


def test_a_formatted_prompt_is_passed_on_by_name_as_llama_index_does() -> None:
    seen: list[dict[str, Any]] = []

    class Noting(PlainLLM):
        def complete(self, prompt: str, **kwargs: Any) -> Any:  # type: ignore[override]
            seen.append(kwargs)
            return super().complete(prompt)

    CachedLLM(Noting()).complete("a", True)
    CachedLLM(Noting()).complete("a", temperature=0)
    assert seen == [{"formatted": True}, {"temperature": 0}]
