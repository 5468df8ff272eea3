"""What of a model's settings enters a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_llm_optimizers.identity import identity_of_call, identity_of_string
from llm_optimizers.errors import ConfigurationError
from support.fakes import StreamingFake


class Visible(BaseModel):
    """A schema that can be found where it is defined."""

    a: int


def string(settings: str) -> dict[str, Any]:
    return identity_of_string(f'{{"model": "m"}}---{settings}')


def test_a_schema_is_taken_by_its_content() -> None:
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
    ],
)
def test_a_schema_that_cannot_be_looked_at_makes_a_call_uncacheable(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not found by this name"):
        string(f"[('response_format', <class '{name}'>)]")


@pytest.mark.parametrize(
    "settings", ["[('f', <function f at 0x7f10>)]", "<x object at 0x1f> --- a"]
)
def test_an_object_that_is_only_an_address_makes_a_call_uncacheable(settings: str) -> None:
    with pytest.raises(ConfigurationError, match="content cannot be read"):
        string(settings)


def test_text_that_looks_like_a_divider_hides_nothing() -> None:
    with pytest.raises(ConfigurationError):
        string("[('response_format', <class 'no.Such'>), ('tools', 'a --- b')]")


def test_tools_are_noticed() -> None:
    assert string("[('tools', [{'type': 'function'}])]")["tools"]
    assert "tools" not in string("[('temperature', 0)]")


def test_a_real_models_own_string_can_be_keyed() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", api_key="sk-secret")  # type: ignore[arg-type]
    identity = identity_of_string(model._get_llm_string(stop=["x"]))
    assert "sk-secret" not in str(identity)
    assert identity != identity_of_string(model._get_llm_string(stop=["y"]))


def outer(field: str) -> Any:
    @dataclass
    class Inner:
        __annotations__ = {field: str}

    class Outer(TypedDict):
        __annotations__ = {"inner": Inner}

    return Outer


def test_inner_schemas_count() -> None:
    one, same, other = (
        identity_of_call(StreamingFake(), None, {"schema": outer(field)})
        for field in ("a", "a", "b")
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize("value", [object(), [object()], {"a": object()}])
def test_settings_without_content_make_a_call_uncacheable(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        identity_of_call(StreamingFake(), None, {"hook": value})


def test_stop_words_and_settings_count() -> None:
    model = StreamingFake()
    seen = [
        str(identity_of_call(model, stop, kwargs))
        for stop, kwargs in (
            (None, {}),
            (["a"], {}),
            (None, {"temperature": 1}),
            (None, {"response_format": Visible}),
        )
    ]
    assert len(set(seen)) == 4
