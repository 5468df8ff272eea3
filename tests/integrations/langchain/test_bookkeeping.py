"""What a provider is not sent, or only keeps books by, makes no call another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import CachedChatModel, ChatModelRouter, HybridCache
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


@pytest.mark.parametrize(
    "name",
    ["newrelic", "Helicone-Session-Id", "x-portkey-trace-id", "X-Title", "langfuse_trace_id"],
)
def test_headers_for_a_gateway_s_logs_do_not_count(
    server: FakeOpenAI, chat: Chat, name: str
) -> None:
    cache = HybridCache()
    for value in ("a", "b"):
        CachedChatModel(model=chat(default_headers={name: value}), cache=cache).invoke(QUESTION)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "name", ["x-portkey-config", "x-portkey-metadata", "Helicone-Cache-Seed", "x-litellm-tags"]
)
def test_headers_by_which_a_gateway_chooses_count(
    server: FakeOpenAI, chat: Chat, name: str
) -> None:
    cache = HybridCache()
    for value in ("a", "b"):
        CachedChatModel(model=chat(default_headers={name: value}), cache=cache).invoke(QUESTION)
    assert len(server.requests) == 2
