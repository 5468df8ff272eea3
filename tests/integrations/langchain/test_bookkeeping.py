"""What a provider is not sent, or only keeps books by, makes no call another one."""

from __future__ import annotations

import threading
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

from langchain_llm_optimizers import CachedChatModel, ChatModelRouter, HybridCache
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


BOOKS: dict[str, dict[str, Any]] = {
    "user": {"user": "{i}"},
    "safety identifier": {"safety_identifier": "{i}"},
    "metadata": {"extra_body": {"metadata": {"session": "{i}"}}},
    "provider's prompt cache": {"prompt_cache_key": "{i}"},
    "tier": {"service_tier": "{tier}"},
    "headers": {"extra_headers": {"X-Request-Id": "{i}", "traceparent": "{i}"}},
    "body": {"extra_body": {"user": "{i}", "metadata": {"a": "{i}"}}},
}
SHAPING: dict[str, dict[str, Any]] = {
    "seed": {"seed": "{i}"},
    "beta header": {"extra_headers": {"OpenAI-Beta": "{i}", "X-Request-Id": "1"}},
    "query": {"extra_query": {"version": "{i}"}},
    "a gateway's metadata": {"extra_body": {"metadata": {"tags": ["{i}"]}}},
    "body": {"extra_body": {"top_k": "{i}"}},
    "store": {"store": "{flag}"},
}


def filled(setting: Any, i: int) -> Any:
    if isinstance(setting, dict):
        return {name: filled(value, i) for name, value in setting.items()}
    if isinstance(setting, list):
        return [filled(value, i) for value in setting]
    values = {"{i}": str(i), "{tier}": ("flex", "priority")[i], "{flag}": bool(i)}
    return values.get(setting, setting)


def on_a_model(setting: dict[str, Any]) -> dict[str, Any]:
    fields = {"service_tier", "extra_body", "seed", "store"}
    return setting if setting.keys() <= fields else {"model_kwargs": setting}


def ways(chat: Chat, global_cache: Any) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Ways to give a setting to a call or a model, each with one cache."""
    cache = HybridCache()

    def on_call(setting: dict[str, Any]) -> Any:
        return CachedChatModel(model=chat(), cache=cache).invoke(QUESTION, **setting)

    def bound(setting: dict[str, Any]) -> Any:
        return CachedChatModel(model=chat(), cache=cache).bind(**setting).invoke(QUESTION)

    def on_model(setting: dict[str, Any]) -> Any:
        model = chat(**on_a_model(setting))
        return CachedChatModel(model=model, cache=cache).invoke(QUESTION)

    def base_cache(setting: dict[str, Any]) -> Any:
        global_cache(cache)
        return chat().invoke(QUESTION, **setting)

    def base_cache_of_model(setting: dict[str, Any]) -> Any:
        global_cache(cache)
        return chat(**on_a_model(setting)).invoke(QUESTION)

    def router(setting: dict[str, Any]) -> Any:
        model = ChatModelRouter([chat(), chat(model="gpt-4o")])
        return CachedChatModel(model=model, cache=cache).invoke(QUESTION, **setting)

    return {
        "on the call": on_call,
        "bound": bound,
        "on the model": on_model,
        "base cache": base_cache,
        "base cache, on the model": base_cache_of_model,
        "router": router,
    }


WAYS = ("on the call", "bound", "on the model", "base cache", "base cache, on the model", "router")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BOOKS)
def test_books_do_not_count(
    server: FakeOpenAI, chat: Chat, global_cache: Any, way: str, name: str
) -> None:
    ask = ways(chat, global_cache)[way]
    answers = [ask(filled(BOOKS[name], i)).text for i in range(2)]
    assert len(server.requests) == 1
    assert answers[0] == answers[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHAPING)
def test_what_shapes_an_answer_counts(
    server: FakeOpenAI, chat: Chat, global_cache: Any, way: str, name: str
) -> None:
    ask = ways(chat, global_cache)[way]
    for i in (0, 1, 0, 1):
        ask(filled(SHAPING[name], i))
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", BOOKS)
def test_a_call_with_books_is_the_call_without(server: FakeOpenAI, chat: Chat, name: str) -> None:
    cached = CachedChatModel(model=chat())
    cached.invoke(QUESTION)
    cached.invoke(QUESTION, **filled(BOOKS[name], 0))
    CachedChatModel(model=chat(**on_a_model(filled(BOOKS[name], 0))), cache=cached.cache).invoke(
        QUESTION
    )
    assert len(server.requests) == 1


def test_timeouts_and_retries_do_not_count(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    for i in (1, 2):
        model = chat(timeout=10 + i, max_retries=i, default_headers={"X-Request-Id": str(i)})
        CachedChatModel(model=model, cache=cache).invoke(QUESTION, timeout=20 + i)
    assert len(server.requests) == 1


def test_tenants_stay_apart_whoever_the_user_is(server: FakeOpenAI, chat: Chat) -> None:
    tenants = iter("abab")
    cached = CachedChatModel(model=chat(), cache=HybridCache(namespace=lambda: next(tenants)))
    for _ in range(4):
        cached.invoke(QUESTION, user="the same")
    assert len(server.requests) == 2


def test_streams_do_not_count_books_either(server: FakeOpenAI, chat: Chat) -> None:
    cached = CachedChatModel(model=chat())
    for i in range(2):
        list(cached.stream(QUESTION, user=str(i), timeout=10 + i))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        ({"service_tier": "flex"}, {"service_tier": "priority"}, 2),
        ({"timeout": 30}, {"timeout": 3}, 2),
        ({"user": "a"}, {"user": "b"}, 1),
    ],
)
def test_nobody_waits_for_a_call_that_is_in_less_of_a_hurry(
    server: FakeOpenAI, chat: Chat, one: Any, other: Any, calls: int
) -> None:
    server.delay = 0.3
    cached = CachedChatModel(model=chat())
    threads = [
        threading.Thread(target=cached.invoke, args=(QUESTION,), kwargs=setting)
        for setting in (one, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == calls
    cached.invoke(QUESTION, **one)
    assert len(server.requests) == calls


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
    del same


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
