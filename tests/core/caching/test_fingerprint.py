"""What a setting contributes to a cache key: its content, and nothing that has none."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from llm_optimizers.caching.keys import cache_key, fingerprint, normalise
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message


class Person(BaseModel):
    name: str


class Event(BaseModel):
    at: datetime


class City(TypedDict):
    name: str


class Country(TypedDict):
    name: int


@dataclass
class Place:
    name: str


class Plain:
    size: int


class Other:
    size: str


def made(source: str, **names: Any) -> Callable[..., Any]:
    """The function `f` of a piece of source, as another process would have it."""
    space: dict[str, Any] = {"__name__": "somewhere", **names}
    exec(source, space)
    found: Callable[..., Any] = space["f"]
    return found


@pytest.mark.parametrize("value", [None, "text", 1, 1.5, True])
def test_plain_values_are_themselves(value: object) -> None:
    assert fingerprint(value) == value


def test_classes_enter_by_what_they_declare() -> None:
    assert fingerprint(Person) == {"schema": Person.model_json_schema()}
    assert fingerprint(City)["class"] == "City"
    assert fingerprint(City)["fields"] != fingerprint(Country)["fields"]
    assert fingerprint(Place)["fields"]["properties"].keys() == {"name"}
    assert fingerprint(Plain) == {"class": "Plain", "fields": {"size": "'int'"}}
    assert fingerprint(Plain)["fields"] != fingerprint(Other)["fields"]
    assert fingerprint(int)["class"] == "int"
    assert fingerprint(io.StringIO) == {"class": "StringIO", "fields": {}}


def test_objects_enter_by_their_values() -> None:
    assert fingerprint(Person(name="Ada")) == {"class": "Person", "fields": {"name": "Ada"}}
    at = datetime(2026, 11, 1, tzinfo=UTC)
    assert fingerprint(Event(at=at))["fields"] == {"at": "2026-11-01T00:00:00Z"}
    assert fingerprint(Place("Rome")) == repr(Place("Rome"))
    assert fingerprint({1: [Person], "b": (None, 2)}) == {
        "1": [fingerprint(Person)],
        "b": [None, 2],
    }


def test_bytes_enter_by_their_digest() -> None:
    assert fingerprint(b"abc") == {
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }


def test_everything_that_has_a_fingerprint_can_be_written_down() -> None:
    values = [Person, City, Place, Plain, Person(name="x"), made("def f(x): return x + 1"), b"x"]
    assert json.loads(json.dumps(fingerprint(values))) == fingerprint(values)


def test_a_function_is_known_by_its_name_code_and_defaults() -> None:
    one = fingerprint(made("def f(x): return x + 1"))
    assert one["function"] == "somewhere.f"
    # Written into keys that a store keeps for weeks.
    assert (set(one), set(one["code"])) == (
        {"function", "code", "defaults"},
        {"body", "constants"},
    )
    assert fingerprint(made("def f(x): return x + 1")) == one
    for other in (
        "def f(x): return x - 1",
        "def f(x): return x + 2",
        "def f(x): return y + 1",
        "def f(x, y=1): return x + 1",
        "def f(x, *, y=1): return x + 1",
    ):
        assert fingerprint(made(other)) != one
    assert fingerprint(made("def f(x, y=1): return x")) != fingerprint(
        made("def f(x, y=2): return x")
    )
    assert fingerprint(made("def f(x, *, y=1): return x")) != fingerprint(
        made("def f(x, *, y=2): return x")
    )


def test_functions_inside_a_function_count() -> None:
    inner = "def f(x):\n    def g(y): return y + {0}\n    return g(x)"
    assert fingerprint(made(inner.format(1))) == fingerprint(made(inner.format(1)))
    assert fingerprint(made(inner.format(1))) != fingerprint(made(inner.format(2)))


def test_the_names_that_a_function_uses_count() -> None:
    assert fingerprint(made("def f(x): return x.a")) != fingerprint(made("def f(x): return x.b"))
    assert fingerprint(made("def f(x): return x")) != fingerprint(made("def f(y): return y"))


def test_what_hides_its_content_is_refused() -> None:
    outside = 3

    def closing_over(x: int) -> int:
        return x + outside

    with pytest.raises(ConfigurationError, match="closes over values"):
        fingerprint(closing_over)
    with pytest.raises(ConfigurationError, match="a Hidden without a stable form"):
        fingerprint(type("Hidden", (), {})())
    with pytest.raises(ConfigurationError):
        fingerprint({"deep": [object()]})


def ask(text: str = "Hi?", **params: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model="m", params=params)


def test_the_order_of_settings_does_not_matter() -> None:
    one = cache_key(ask(a={"x": 1, "y": 2}, b=1))
    assert one == cache_key(ask(b=1, a={"y": 2, "x": 1}))
    assert cache_key(ask(a={1, 2, 3})) == cache_key(ask(a={3, 2, 1}))
    assert cache_key(ask(a={1, 2})) != cache_key(ask(a={1, 3}))
    assert cache_key(ask(a={1, "x"})) == cache_key(ask(a={"x", 1}))


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
