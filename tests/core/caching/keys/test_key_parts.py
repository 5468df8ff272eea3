"""The parts of a cache key, and what does not change them."""

from __future__ import annotations

from typing import Any

import pytest

from llm_optimizers.caching.keys import cache_key, normalise
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message


def ask(text: str = "Hi?", **params: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model="m", params=params)


def test_the_order_of_settings_does_not_matter() -> None:
    one = cache_key(ask(a={"x": 1, "y": 2}, b=1))
    assert one == cache_key(ask(b=1, a={"y": 2, "x": 1}))
    assert cache_key(ask(a={1, 2, 3})) == cache_key(ask(a={3, 2, 1}))
    assert cache_key(ask(a={1, 2})) != cache_key(ask(a={1, 3}))
    assert cache_key(ask(a={1, "x"})) == cache_key(ask(a={"x", 1}))
    assert cache_key(ask(a={1: 2, "a": 3})) == cache_key(ask(a={"a": 3, 1: 2}))


def test_the_three_parts_of_a_key_are_digests_that_never_meet() -> None:
    key = cache_key(ask("hi"), embedder="e")
    scope, _, embedder = key.scope.partition("/")
    assert embedder == "e"
    assert key.normalised is not None
    parts = [key.exact, key.normalised, scope]
    assert len(set(parts)) == 3
    assert all(len(part) == 64 and set(part) <= set("0123456789abcdef") for part in parts)


def test_another_embedder_changes_the_scope_only() -> None:
    one, two, none = (cache_key(ask(), embedder=e) for e in ("a", "b", ""))
    assert one.scope != two.scope
    assert (one.exact, one.normalised) == (two.exact, two.normalised)
    assert none == cache_key(ask())


def test_the_tenant_given_replaces_the_requests_own() -> None:
    request = ChatRequest(messages=ask().messages, model="m", tenant="theirs")
    assert cache_key(request).tenant == "theirs"
    assert cache_key(request, tenant="") == cache_key(ask())
    assert cache_key(request, tenant="other").exact != cache_key(request).exact


def test_the_sender_of_the_last_message_counts_only_for_a_question() -> None:
    named = Message(role="user", content="Hi?", name="ann")
    other = Message(role="user", content="Hi?", name="bob")
    keys = {cache_key(ChatRequest(messages=(m,), model="m")).scope for m in (named, other)}
    assert len(keys) == 2


def test_a_call_without_messages_has_no_key() -> None:
    with pytest.raises(ConfigurationError, match="without messages"):
        cache_key(ChatRequest(messages=(), model="m"))


def test_a_value_that_nests_without_end_makes_no_key() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    with pytest.raises(ConfigurationError, match="cannot be written"):
        cache_key(ask(a=endless))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 400, "x" * 400),
        ("x" * 401, None),
        ("A cat", "a cat"),
        ("is UNHCR big", "is UNHCR big"),
        ("is UNESCO big", "is unesco big"),
        ("Is it. ?!", None),
        ("Is it?!.", "is it"),
        pytest.param("it\u2019s here", "its here", id="curly apostrophe"),
        pytest.param("we\u2019re here", "we\u02bcre here", id="kept curly apostrophe"),
        pytest.param("cafe\u0301", "caf\u00e9", id="combining accent"),
        ("Do you post on X?", "do you post on x"),
        ("...", None),
        ("US", "us"),
    ],
)
def test_the_edges_of_what_is_evened_out(text: str, expected: str | None) -> None:
    assert normalise(text) == expected
