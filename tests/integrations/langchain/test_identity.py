"""Which of a model's settings are part of a cache key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_llm_optimizers.identity import identity_of_call
from langchain_llm_optimizers.llm_string import identity_of_string
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest
from support.fakes import StreamingFake


class Visible(BaseModel):
    """A schema that can be found by its name."""

    a: int


def string(settings: str) -> dict[str, Any]:
    return identity_of_string(f'{{"model": "m"}}---{settings}')


def test_a_schema_is_identified_by_its_content() -> None:
    identity = string(f"[('response_format', {Visible!r})]")
    (schema,) = identity["schemas"].values()
    assert schema["schema"]["properties"]["a"]["type"] == "integer"


@pytest.mark.parametrize(
    "name",
    [
        "no.such.Thing",
        f"{__name__}.test.<locals>.Local",
        f"{__name__}.test.<locals>.inner.<locals>.Local",
        f"{__name__}.Visible[int]",
        "json.JSONEncoder.missing",
        "json.JSONEncoder",
        "builtins.dict",
    ],
)
def test_a_schema_that_is_not_found_makes_a_call_uncacheable(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no different schemas have the name"):
        string(f"[('response_format', <class '{name}'>)]")


@pytest.mark.parametrize(
    "settings",
    [
        "[('f', <function f at 0x7f10>)]",
        "<x object at 0x1f> --- a",
        "[('key', SecretStr('**********'))]",
        "[('bias', array([   0,    1,    2, ..., 4997, 4998, 4999]))]",
        "[('bias', [0, 1, ...])]",
        "[('shape', Shape(shown=1))]",
        "[('timeout', Timeout(3))]",
        "[('a', Liar)]",
        "[('a', nan)]",
        "[('a', 1)",
        "[" * 10_000,
    ],
)
def test_an_object_in_langchains_text_makes_a_call_uncacheable(settings: str) -> None:
    with pytest.raises(ConfigurationError, match="CachedChatModel"):
        string(settings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[('a', 1)]", "[('a', True)]"),
        ("[('a', 1)]", "[('a', '1')]"),
        ("[('a', {1: 'x'})]", "[('a', {'1': 'x'})]"),
        ("[('a', <Level.LOW: 'low'>)]", "[('a', <Level.LOW: 'lower'>)]"),
        ("[('a', <Level.LOW: 'low'>)]", "[('a', 'low')]"),
        ("[('a', None)]", "[('a', 'None')]"),
    ],
)
def test_settings_in_langchains_text_are_told_apart(one: str, other: str) -> None:
    assert digest(string(one)) == digest(string(one))
    assert digest(string(one)) != digest(string(other))


def test_the_order_of_a_set_in_langchains_text_does_not_count() -> None:
    assert digest(string("[('a', {'x', 'y'})]")) == digest(string("[('a', {'y', 'x'})]"))


@pytest.mark.parametrize(("setting", "refused"), [("request_timeout", False), ("grammar", True)])
def test_an_object_among_a_models_settings(setting: str, refused: bool) -> None:
    hidden = '{"id": ["a", "B"], "lc": 1, "type": "not_implemented"}'
    text = f'{{"kwargs": {{"{setting}": {hidden}}}, "lc": 1, "type": "constructor"}}---[]'
    if refused:
        with pytest.raises(ConfigurationError, match="the model's setting grammar"):
            identity_of_string(text)
    else:
        assert identity_of_string(text)


def test_two_classes_of_one_name_make_a_call_uncacheable() -> None:
    class Twice(BaseModel):
        a: int

    text = f"[('response_format', {Twice!r})]"
    assert string(text)["schemas"]

    def again() -> Any:
        class Twice(BaseModel):
            b: int

        Twice.__qualname__ = text.split("'")[3].removeprefix(f"{__name__}.")
        return Twice

    other = again()
    with pytest.raises(ConfigurationError, match="2 different schemas"):
        string(text)
    del other


def test_a_name_that_is_not_langchains_stands_for_itself() -> None:
    assert digest(identity_of_string("mine")) != digest(identity_of_string("yours"))


def test_a_setting_that_looks_like_the_separator_is_still_in_the_key() -> None:
    with pytest.raises(ConfigurationError):
        string("[('response_format', <class 'no.Such'>), ('tools', 'a --- b')]")


def test_tools_are_recognised() -> None:
    assert string("[('tools', [{'type': 'function'}])]")["tools"]
    assert "tools" not in string("[('temperature', 0)]")


def test_a_real_models_llm_string_gives_a_key() -> None:
    cache = AnswersEverything()
    model = ChatOpenAI(model="gpt-4o-mini", api_key="sk-secret", cache=cache)  # type: ignore[arg-type]
    for stop in ("x", "y"):
        model.invoke("Hi", stop=[stop])
    one, other = (identity_of_string(llm_string) for llm_string in cache.llm_strings)
    assert "sk-secret" not in str(one)
    assert one != other


class AnswersEverything(BaseCache):
    """A cache that keeps the strings by which LangChain tells models and settings apart."""

    def __init__(self) -> None:
        self.llm_strings: list[str] = []

    def lookup(self, prompt: str, llm_string: str) -> list[Generation]:
        self.llm_strings.append(llm_string)
        return [ChatGeneration(message=AIMessage("Hello"))]

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        raise AssertionError("every lookup is a hit")

    def clear(self, **kwargs: Any) -> None:
        self.llm_strings.clear()


def outer(field: str) -> Any:
    @dataclass
    class Inner:
        __annotations__ = {field: str}

    class Outer(TypedDict):
        __annotations__ = {"inner": Inner}

    return Outer


def test_nested_schemas_are_part_of_the_key() -> None:
    one, same, other = (
        identity_of_call(StreamingFake(), None, {"schema": outer(field)})
        for field in ("a", "a", "b")
    )
    assert digest(one) == digest(same)
    assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [object(), [object()], {"a": object()}])
def test_settings_without_content_make_a_call_uncacheable(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        digest(identity_of_call(StreamingFake(), None, {"hook": value}))


def test_stop_words_and_settings_are_part_of_the_key() -> None:
    model = StreamingFake()
    seen = [
        digest(identity_of_call(model, stop, kwargs))
        for stop, kwargs in (
            (None, {}),
            (["a"], {}),
            (None, {"temperature": 1}),
            (None, {"response_format": Visible}),
        )
    ]
    assert len(set(seen)) == 4
