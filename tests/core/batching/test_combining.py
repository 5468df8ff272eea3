"""Which requests can be combined, and how the answers are split."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.combining.prompts import combination_key, combine, split_answers
from llm_optimizers.types import ChatRequest, Message, Part, ToolCall

IDS = ("q1", "q2", "q3")
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "mood", "schema": {"type": "object", "properties": {}}},
}


def request(
    text: str = "Why?", *, system: str = "Be brief.", tenant: str = "", **params: Any
) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="system", content=system), Message(role="user", content=text)),
        model="gpt-4o-mini",
        params=params,
        tenant=tenant,
    )


def test_questions_with_the_same_prefix_and_parameters_share_a_key() -> None:
    assert combination_key(request("a", temperature=0)) == combination_key(
        request("b", temperature=0)
    )
    assert combination_key(request("a")) is not None


@pytest.mark.parametrize(
    "other",
    [
        request(tenant="another"),
        request(system="Be long."),
        request(temperature=1),
        request(response_format=SCHEMA),
        ChatRequest(messages=request().messages, model="another"),
    ],
)
def test_tenants_prefixes_models_parameters_and_schemas_are_never_mixed(
    other: ChatRequest,
) -> None:
    assert combination_key(other) not in (None, combination_key(request()))


IMAGE = Part(kind="image_url", data={"type": "image_url", "image_url": {"url": "data:"}})


@pytest.mark.parametrize(
    "alone",
    [
        request(tools=[{"type": "function"}]),
        request(stream=True),
        request(n=2),
        request(stop=["\n"]),
        request(logprobs=True),
        request(some_new_setting=1),
        request(metadata={"x": object()}),
        request(response_format={"type": "json_object"}),
        request(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"$ref": "#/$defs/x"}},
            }
        ),
        request("  "),
        ChatRequest(messages=()),
        ChatRequest(messages=(Message(role="user", content=(IMAGE,)),)),
        ChatRequest(
            messages=(
                Message(role="user", content="a"),
                Message(role="assistant", content="b"),
                Message(role="user", content="c"),
            )
        ),
        ChatRequest(
            messages=(
                Message(role="user", content="a"),
                Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments=""),)),
                Message(role="tool", content="b", tool_call_id="1"),
            )
        ),
    ],
)
def test_requests_that_combining_could_change_have_no_key(alone: ChatRequest) -> None:
    assert combination_key(alone) is None


def test_the_shared_prefix_is_kept_and_the_output_limit_multiplied() -> None:
    requests = [request("Why?", max_tokens=50), request('Say "no"', max_tokens=50)]
    combined, ids = combine(requests)
    assert ids == ("q1", "q2")
    assert combined.messages[0] == requests[0].messages[0]
    assert combined.params["max_tokens"] >= 100
    asked = json.loads(combined.messages[-1].text.split("\n\n")[1])
    assert asked == [{"id": "q1", "request": "Why?"}, {"id": "q2", "request": 'Say "no"'}]
    schema = combined.params["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answers"]["items"]["properties"]["id"]["enum"] == ["q1", "q2"]
    assert combination_key(requests[0]) == combination_key(requests[1])


def test_a_callers_schema_becomes_the_schema_of_each_answer() -> None:
    combined, _ = combine([request("a", response_format=SCHEMA)] * 2)
    items = combined.params["response_format"]["json_schema"]["schema"]["properties"]["answers"]
    assert items["items"]["properties"]["answer"] == SCHEMA["json_schema"]["schema"]  # type: ignore[index]
    assert split_answers('{"answers": [{"id": "q1", "answer": {"a": 1}}]}', IDS) == {
        "q1": '{"a": 1}'
    }


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"answers":[{"id":"q2","answer":"b"},{"id":"q1","answer":"a"}]}', {"q1": "a", "q2": "b"}),
        ('```json\n{"answers": [{"id": "q1", "answer": "a"}]}\n```', {"q1": "a"}),
        ('{"answers":[{"id":"q1","answer":"a"},{"id":"q2","answer":"b', {"q1": "a"}),
        ('{"answers":[{"id":"q1","answer":"a"},{"id":"q1","answer":"b"}]}', {}),
        ('{"answers":[{"id":"q9","answer":"x"},{"id":1,"answer":"x"},"x",{"answer":"x"}]}', {}),
        ('{"answers":[{"id":"q1","answer":null},{"id":"q2","answer":""}]}', {}),
        ('{"answers":{"q1":"a"},"x":[{"id":"q1","answer":"a"}]}', {}),
        ("I cannot do that.", {}),
        ('{"answers"', {}),
        ("", {}),
    ],
)
def test_valid_answers_are_returned_and_invalid_ones_left_out(
    text: str, answers: dict[str, str]
) -> None:
    assert split_answers(text, IDS) == answers


def test_json_quoted_in_an_answer_is_not_taken_as_another_answer() -> None:
    quoted = '"answers": [{"id": "q2", "answer": "stolen"}]'
    text = json.dumps({"answers": [{"id": "q1", "answer": quoted}]})
    assert split_answers(text, IDS) == {"q1": quoted}
    assert split_answers(text[:-4], IDS) == {}


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_any_text_survives_a_round_trip(texts: list[str]) -> None:
    ids = [f"q{n}" for n in range(len(texts))]
    answers = [{"id": id_, "answer": text} for id_, text in zip(ids, texts, strict=True)]
    split = split_answers(json.dumps({"answers": answers}), ids)
    assert split == dict(zip(ids, texts, strict=True))
