"""Which parts of a message, and which settings of a user's class, make a call another one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import CachedChatModel, HybridCache
from langchain_llm_optimizers.identity import identity_of_model
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.providers import PROVIDERS, sent_by, serialised_provider
from llm_optimizers.caching.keys import cache_key
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI

pytestmark = pytest.mark.loopback
Chat = Callable[..., ChatOpenAI]
QUESTION = "How long is the warranty?"


@pytest.fixture
def chat(chat: Chat) -> Chat:
    """Models that do not fill langchain-openai's cache of clients, which drops them unclosed."""
    unused = httpx.AsyncClient()
    return lambda **settings: chat(**{"http_async_client": unused, **settings})


NOTES = {"sent_at": 1, "message_uuid": "m1", "metadata": {"a": 1}}
MESSAGES: list[Callable[[dict[str, Any]], list[BaseMessage]]] = [
    lambda notes: [HumanMessage(QUESTION, additional_kwargs=notes)],
    lambda notes: [SystemMessage("Be brief.", additional_kwargs=notes), HumanMessage(QUESTION)],
    lambda notes: [
        HumanMessage("Hi"),
        AIMessage("Hello", additional_kwargs=notes),
        HumanMessage(QUESTION),
    ],
    lambda notes: [
        HumanMessage("Hi"),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}]),
        ToolMessage("1", tool_call_id="c1", additional_kwargs=notes),
    ],
]


@pytest.mark.parametrize("messages", MESSAGES)
@pytest.mark.parametrize("base_cache", [False, True])
def test_an_interface_s_own_notes_on_a_message_do_not_count(
    server: FakeOpenAI, chat: Chat, global_cache: Any, messages: Any, base_cache: bool
) -> None:
    model: BaseChatModel = chat()
    if base_cache:
        global_cache(HybridCache())
    else:
        model = CachedChatModel(model=model)
    for i in range(2):
        model.invoke(messages({**NOTES, "sent_at": i}))
    assert len(server.requests) == 1


SENT: list[Callable[[Any], list[BaseMessage]]] = [
    lambda i: [HumanMessage(QUESTION, additional_kwargs={"name": i})],
    lambda i: [
        SystemMessage(
            "A", additional_kwargs={"__openai_role__": ("system", "developer")[i == "b"]}
        ),
        HumanMessage(QUESTION),
    ],
    lambda i: [
        AIMessage("", additional_kwargs={"function_call": {"name": i, "arguments": "{}"}}),
        HumanMessage(QUESTION),
    ],
    lambda i: [AIMessage("A", additional_kwargs={"audio": {"id": i}}), HumanMessage(QUESTION)],
]


@pytest.mark.parametrize("messages", SENT)
@pytest.mark.parametrize("base_cache", [False, True])
def test_what_is_sent_of_a_message_counts(
    server: FakeOpenAI, chat: Chat, global_cache: Any, messages: Any, base_cache: bool
) -> None:
    model: BaseChatModel = chat()
    if base_cache:
        global_cache(HybridCache())
    else:
        model = CachedChatModel(model=model)
    for name in "abab":
        model.invoke(messages(name))
    assert len(server.requests) == 2
    assert server.requests[0] != server.requests[1]


@pytest.mark.parametrize("messages", MESSAGES)
def test_all_notes_count_where_the_model_is_not_known(messages: Any) -> None:
    fake = StreamingFake()
    cached = CachedChatModel(model=fake)
    for i in (0, 1, 0, 1):
        cached.invoke(messages({"sent_at": i, "kept": True}))
    assert len(fake.calls) == 2


def test_settings_of_a_model_that_is_not_known_count() -> None:
    fake = StreamingFake()
    cached = CachedChatModel(model=fake)
    for i in (0, 1, 0, 1):
        cached.invoke(QUESTION, user=str(i))
    assert len(fake.calls) == 2


class Greeting(ChatOpenAI):
    """Sends the user's name, which `ChatOpenAI` does not."""

    def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> Any:
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        first = self._convert_input(input_).to_messages()[0]
        name = kwargs.get("user") or first.additional_kwargs.get("sent_at")
        payload["messages"].insert(0, {"role": "system", "content": f"Greet {name}."})
        return payload


class Named(ChatOpenAI):
    """Says only what it is."""

    @property
    def _llm_type(self) -> str:
        return "named"


@pytest.mark.parametrize(("kind", "calls"), [(Greeting, 2), (Named, 1)])
@pytest.mark.parametrize("base_cache", [False, True])
def test_a_class_of_the_user_s(
    server: FakeOpenAI, chat: Chat, global_cache: Any, kind: Any, calls: int, base_cache: bool
) -> None:
    made = chat()
    given = {name: getattr(made, name) for name in ("http_client", "http_async_client")}
    model = kind(model="gpt-4o-mini", base_url=server.url, api_key="x", **given)
    if base_cache:
        global_cache(HybridCache())
    else:
        model = CachedChatModel(model=model)
    for i in (0, 1):
        model.invoke(QUESTION, user=f"u{i}")
    assert len(server.requests) == calls
    for i in (0, 1):
        model.invoke([HumanMessage("Hi there?", additional_kwargs={"sent_at": f"s{i}"})])
    assert len(server.requests) == 2 * calls


def test_a_class_of_the_same_name_makes_the_text_of_the_settings_say_nothing() -> None:
    identifier = ChatOpenAI.lc_id()
    assert serialised_provider(identifier) is not None

    def _generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        return None

    space = {"_generate": _generate, "__module__": __name__, "__qualname__": "ChatOpenAI"}
    same = type("ChatOpenAI", (ChatOpenAI,), space)
    assert same.lc_id() == identifier
    assert serialised_provider(identifier) is None
    assert serialised_provider(["langchain", "chat_models", "openai", "Unknown"]) is None
    # No other test may find the class.
    del same
    gc.collect()
    assert serialised_provider(identifier) is not None


def test_models_that_are_not_all_known_send_everything(chat: Chat) -> None:
    assert PROVIDERS.of_each([chat()]) is not None
    assert sent_by([chat(), chat()]) is not None
    assert sent_by([chat(), StreamingFake()]) is None


def key_of(messages: list[BaseMessage], model: BaseChatModel) -> str:
    return cache_key(request_of_messages(messages, {}, sent=sent_by([model]))).exact


def anthropic() -> Any:
    return pytest.importorskip("langchain_anthropic").ChatAnthropic(model="claude-x", api_key="x")


def gemini() -> Any:
    package = pytest.importorskip("langchain_google_genai")
    return package.ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="x")


def ollama() -> Any:
    return pytest.importorskip("langchain_ollama").ChatOllama(model="llama3")


def answer(**fields: Any) -> list[BaseMessage]:
    return [HumanMessage("Hi"), AIMessage(**{"content": "A", **fields}), HumanMessage(QUESTION)]


def called(identifier: str, signature: str) -> list[BaseMessage]:
    calls = [{"name": "f", "args": {}, "id": identifier}]
    signed = {"__gemini_function_call_thought_signatures__": {identifier: signature}}
    return [
        AIMessage("", tool_calls=calls, additional_kwargs=signed),
        ToolMessage("1", tool_call_id=identifier),
        HumanMessage(QUESTION),
    ]


@pytest.mark.providers
@pytest.mark.parametrize(
    ("make", "one", "other", "counts"),
    [
        (ollama, {"reasoning_content": "a"}, {"reasoning_content": "b"}, True),
        (ollama, {"sent_at": 1}, {"sent_at": 2}, False),
        (anthropic, {"reasoning_content": "a"}, {"reasoning_content": "b"}, False),
        (gemini, {"audio": "a"}, {"audio": "b"}, False),
    ],
)
def test_what_other_integrations_send_of_an_answer(
    make: Any, one: Any, other: Any, counts: bool
) -> None:
    model = make()
    keys = {key_of(answer(additional_kwargs=each), model) for each in (one, other)}
    assert (len(keys) == 2) == counts


@pytest.mark.providers
def test_gemini_s_signatures_belong_to_the_call_whatever_its_id() -> None:
    model = gemini()
    assert key_of(called("a", "s"), model) == key_of(called("b", "s"), model)
    assert key_of(called("a", "s"), model) != key_of(called("a", "t"), model)


@pytest.mark.providers
@pytest.mark.parametrize("make", [anthropic, gemini, ollama])
def test_the_format_of_an_answer_s_blocks_counts(make: Any) -> None:
    model, content = make(), [{"type": "reasoning", "reasoning": "a"}, "A"]
    keys = {
        key_of(answer(content=content, response_metadata={"model_provider": each, "id": i}), model)
        for i, each in enumerate(["anthropic", "openai", "anthropic"])
    }
    assert len(keys) == 2


@pytest.mark.providers
@pytest.mark.filterwarnings("ignore:Parameters {'metadata'} should be specified explicitly")
def test_other_integrations_settings() -> None:
    chat = pytest.importorskip("langchain_anthropic").ChatAnthropic
    books = {"metadata": {"user_id": "a"}}
    one, other, third = (
        identity_of_model(chat(model="claude-x", api_key="x", max_tokens=9, **each))
        for each in (
            {"timeout": 3, "default_headers": {"x-request-id": "1"}, "model_kwargs": books},
            {"timeout": 4, "max_retries": 9},
            {"default_headers": {"anthropic-beta": "b"}},
        )
    )
    assert one == other != third
    chat = pytest.importorskip("langchain_ollama").ChatOllama
    one, other, third = (
        identity_of_model(chat(model="llama3", **each))
        for each in ({"keep_alive": 3}, {"client_kwargs": {"timeout": 3}}, {"num_ctx": 3})
    )
    assert one == other != third


def test_a_mark_for_the_provider_s_prompt_cache_does_not_count(
    server: FakeOpenAI, chat: Chat
) -> None:
    cached = CachedChatModel(model=chat())
    mark = {"cache_control": {"type": "ephemeral"}}
    for system in ("Be brief.", [{"type": "text", "text": "Be brief.", **mark}]):
        for block in (
            {"type": "text", "text": QUESTION},
            {"type": "text", "text": QUESTION, **mark},
        ):
            cached.invoke([SystemMessage(system), HumanMessage([block])])
    assert len(server.requests) == 1


def test_a_role_that_the_table_does_not_name_counts(server: FakeOpenAI, chat: Chat) -> None:
    cached = CachedChatModel(model=chat())
    for i in (0, 1):
        note = {"sent_at": i}
        said = ChatMessage(role="critic", content="Hm.", additional_kwargs=note)
        cached.invoke([said, HumanMessage(QUESTION)])
    assert len(server.requests) == 2


def reasoned(text: str) -> AIMessage:
    held = {"type": "reasoning", "id": "rs_1", "encrypted_content": text}
    return AIMessage("I have thought of one.", additional_kwargs={"reasoning": held})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ChatMessage("Be brief.", role="developer"), ChatMessage("Be brief.", role="system")),
        (ChatMessage("Be brief.", role="human"), ChatMessage("Be brief.", role="user")),
        (reasoned("a number"), reasoned("another number")),
    ],
)
def test_roles_and_reasoning_are_sent_as_they_are(
    chat: Chat, first: BaseMessage, second: BaseMessage
) -> None:
    keys = {key_of([each, HumanMessage("Which one?")], chat()) for each in (first, second)}
    assert len(keys) == 2


@pytest.mark.parametrize("flag", [False, 0])
def test_a_switch_that_is_off_counts_where_the_model_is_not_known(flag: Any) -> None:
    said = [AIMessage("Yes.", additional_kwargs=held) for held in ({"think": flag}, {})]
    keys = {key_of([each, HumanMessage("Why?")], StreamingFake()) for each in said}
    assert len(keys) == 2
