"""Checks of answers, where two rules meet."""

from __future__ import annotations

from typing import Any

import pytest

from llm_optimizers.routing.cascade.checks import (
    Agreement,
    Matches,
    ModelAnswer,
    NotRefused,
    ValidJson,
)


def schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"schema": {"type": "object", "properties": properties}},
    }


def score(ask: Any, text: str, **properties: Any) -> float | None:
    answer = ModelAnswer(model="m", text=text)
    return ValidJson().score(ask(response_format=schema(**properties)), [answer])


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("boolean", "true", 1.0),
        ("boolean", "1", 0.0),
        ("number", "true", 0.0),
        ("number", "1.5", 1.0),
        ("integer", "1.5", 0.0),
        ("array", "[]", 1.0),
        ("array", "{}", 0.0),
    ],
)
def test_values_are_held_to_the_type_asked_for(ask, kind, value, fits):
    assert score(ask, f'{{"x": {value}}}', x={"type": kind}) == fits


def test_only_two_levels_are_held_to_the_schema(ask):
    inner = {"type": "object", "required": ["c"], "properties": {"c": {"type": "string"}}}
    outer = {"type": "object", "required": ["b"], "properties": {"b": inner}}
    assert score(ask, '{"a": {}}', a=outer) == 0.0
    assert score(ask, '{"a": {"b": 1}}', a=outer) == 0.0
    assert score(ask, '{"a": {"b": {}}}', a=outer) == 1.0


def test_a_tool_call_does_not_agree_with_a_text(ask):
    text = ModelAnswer(model="m", text="4")
    call = ModelAnswer(model="m", text="4", tool_calls='[{"name": "f"}]')
    assert Agreement().score(ask(), [text, call]) == 0.0
    assert Agreement().score(ask(), [call, text]) == 0.0


def test_a_pattern_is_a_gate_unless_it_is_asked_not_to_be():
    assert Matches("####").gate


def test_a_tool_call_with_an_excuse_is_an_answer(ask):
    call = ModelAnswer(model="m", text="I'm sorry, I must look.", tool_calls='[{"name": "f"}]')
    assert NotRefused().score(ask(), [call]) == 1.0
