"""The ids of a served answer: whatever names a call moves along, and nothing else changes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.caching.answers.ids import (
    call_ids,
    copy_with_new_ids,
    ids_of_hit,
    lies_at_provider,
    new_id,
    without_provider_items,
)
from support.ids import steady_id

DAY = 24 * 3600.0


@pytest.mark.parametrize(
    ("same", "keeps_ids", "age", "expected"),
    [
        (True, False, 0.0, "renewed"),
        (True, False, 28 * DAY, "renewed"),
        (True, False, 29 * DAY, "detached"),
        (True, True, 0.0, "kept"),
        (True, True, 90 * DAY, "kept"),
        (False, False, 0.0, "detached"),
    ],
)
def test_ids_of_a_hit(same: bool, keeps_ids: bool, age: float, expected: str) -> None:
    assert ids_of_hit(same=same, keeps_ids=keeps_ids, age=age) == expected


OPENAI_CHAT = {"additional_kwargs": {"tool_calls": [{"id": "call_1", "type": "function"}]}}
ANTHROPIC = {"content": [{"type": "tool_use", "id": "toolu_1", "name": "stock", "input": {}}]}
ANTHROPIC_SERVER = {
    "content": [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"id": "1"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "stock",
            "input": {},
            "caller": {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"},
        },
    ]
}
BEDROCK = {"content": [{"toolUse": {"toolUseId": "tooluse_1", "name": "stock", "input": {}}}]}
RESPONSES = {
    "content": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "arguments": "{}"},
    ],
    "tool_calls": [{"type": "tool_call", "id": "call_1", "name": "stock", "args": {}}],
}
RESPONSES_V0 = {
    "additional_kwargs": {
        "reasoning": {"type": "reasoning", "id": "rs_1", "summary": []},
        "__openai_function_call_ids__": {"call_1": "fc_1"},
    },
    "tool_calls": [{"type": "tool_call", "id": "call_1", "name": "stock", "args": {}}],
}
GEMINI = {
    "additional_kwargs": {"signatures": {"call_1": "sig 1", "call_2": "sig 2"}},
    "tool_calls": [{"type": "tool_call", "id": f"call_{n}", "args": {}} for n in (1, 2)],
}
INVALID = {"invalid_tool_calls": [{"type": "invalid_tool_call", "id": "call_1", "args": "{"}]}
LLAMA = {"blocks": [{"block_type": "tool_call", "tool_call_id": "call_1", "tool_kwargs": "{}"}]}
FILED_AMONG_OTHERS = {
    "tool_calls": [{"type": "tool_call", "id": "call_1", "args": {}}],
    "signatures": {"call_1": "sig 1", "text": "sig 2"},
    "parents": ["call_1"],
    "origin": "call_1",
}
LISTED = {"tool_calls": [{"type": "tool_call", "id": "call_1"}], "approved_ids": ["call_1", "x"]}


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (OPENAI_CHAT, {"call_1"}),
        (ANTHROPIC, {"toolu_1"}),
        (ANTHROPIC_SERVER, {"toolu_1", "srvtoolu_1"}),
        (BEDROCK, {"tooluse_1"}),
        (RESPONSES, {"call_1"}),
        (RESPONSES_V0, {"call_1"}),
        (GEMINI, {"call_1", "call_2"}),
        (INVALID, {"call_1"}),
        (LLAMA, {"call_1"}),
        (LISTED, {"call_1"}),
        (FILED_AMONG_OTHERS, {"call_1"}),
        ({"type": "tool_call", "id": None}, set()),
        ({"type": "tool_call", "id": ""}, set()),
        ({"type": ["string", "null"], "id": "x"}, set()),
        ({"type": "tool_call", "id": "call_1", "args": {"tool_call_id": "mine"}}, {"call_1"}),
    ],
    ids=steady_id,
)
def test_every_provider_s_call_ids_are_renamed_wherever_they_stand(
    answer: Any, ids: set[str]
) -> None:
    assert call_ids(answer) == ids
    new = {identifier: f"new {identifier}" for identifier in ids}
    copied = json.dumps(copy_with_new_ids(answer, new))
    for identifier in ids:
        assert copied.count(f'"new {identifier}"') == json.dumps(answer).count(f'"{identifier}"')
        assert f'"{identifier}"' not in copied


def test_arguments_parsed_output_and_texts_stay() -> None:
    answer = {
        "tool_calls": [{"type": "tool_call", "id": "call_1", "args": {"id": "call_1"}}],
        "parsed": {"call_1": {"id": "call_1"}},
        "content": [{"type": "text", "text": "call_1"}, "call_1"],
        "name": "call_1",
    }
    copied = copy_with_new_ids(answer, {"call_1": "call_2"})
    assert copied["tool_calls"] == [{"type": "tool_call", "id": "call_2", "args": {"id": "call_1"}}]
    assert {k: v for k, v in copied.items() if k != "tool_calls"} == {
        k: v for k, v in answer.items() if k != "tool_calls"
    }


def test_an_id_that_could_be_a_word_counts_only_where_ids_stand() -> None:
    answer = {
        "blocks": [{"tool_call_id": "summary"}, {"summary": [], "kind": "summary"}],
        "signatures": {"summary": "sig"},
    }
    assert copy_with_new_ids(answer, {"summary": "new"}) == {
        "blocks": [{"tool_call_id": "new"}, {"summary": [], "kind": "summary"}],
        "signatures": {"new": "sig"},
    }


names = st.sampled_from(["id", "call_id", "type", "text", "args", "items", "call_a", "call_b"])
values = st.recursive(
    st.none() | st.integers() | st.sampled_from(["call_a", "call_b", "tool_call", "text", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_a_copy_is_equal_but_for_ids_and_shares_nothing(value: Any) -> None:
    before = copy.deepcopy(value)
    ids = {identifier: f"new_{identifier}" for identifier in call_ids(value)}
    copied = copy_with_new_ids(value, ids)
    assert value == before
    back = {new: old for old, new in ids.items()}
    assert copy_with_new_ids(copied, back) == value
    assert copy_with_new_ids(value, {}) == value
    assert without_provider_items(value) == value


def test_a_new_id_has_the_form_of_the_old_one() -> None:
    for old in ("call_24charactersxxxxxxxxxxx", "toolu_bdrk_01ABCDEFGH", "abcDEF123"):
        new = new_id(old)
        assert new != old
        assert len(new) == len(old)
        assert new.rpartition("_")[0] == old.rpartition("_")[0]
    assert len(new_id("call_1")) == len("call_") + 9


def test_a_signature_inside_an_id_stays() -> None:
    signature = "EpgB_CpUB-x=="
    new = new_id(f"call_0123456789__thought__{signature}")
    assert new.startswith("call_")
    assert new.endswith(f"__thought__{signature}")
    assert "0123456789" not in new


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"id": "resp_1"}, True),
        ({"id": "0f8d", "object": "response"}, True),
        ({"id": "chatcmpl-1", "object": "chat.completion"}, False),
        ({"id": None, "object": "response"}, False),
        ({}, False),
    ],
    ids=steady_id,
)
def test_an_answer_that_lies_at_its_provider(metadata: dict[str, Any], expected: bool) -> None:
    assert lies_at_provider(metadata) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            RESPONSES,
            {
                "content": [{"type": "function_call", "call_id": "call_1", "arguments": "{}"}],
                "tool_calls": RESPONSES["tool_calls"],
            },
        ),
        (
            RESPONSES_V0,
            {
                "additional_kwargs": {"__openai_function_call_ids__": {}},
                "tool_calls": RESPONSES_V0["tool_calls"],
            },
        ),
        ({"response_metadata": {"id": "resp_1"}}, {"response_metadata": {}}),
        ({"id": "0f8d", "object": "response"}, {"object": "response"}),
        ([{"type": "text", "text": "hi", "id": "msg_1"}], [{"type": "text", "text": "hi"}]),
        (
            [{"type": "web_search_call", "id": "ws_1"}, {"type": "text", "text": "hi"}],
            [{"type": "text", "text": "hi"}],
        ),
    ],
    ids=steady_id,
)
def test_a_detached_answer_stands_for_itself(answer: Any, expected: Any) -> None:
    assert without_provider_items(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"},
        [{"type": "reasoning", "reasoning": "a thought", "extras": {"signature": "s"}}],
        [{"type": "thinking", "thinking": "a thought", "signature": "s"}],
        [{"type": "image_generation_call", "id": "ig_1", "result": "aGk="}],
        {"response_metadata": {"id": "chatcmpl-1", "object": "chat.completion"}},
        {"tool_calls": [{"id": "call_1", "args": {"id": "msg_1"}}], "name": "msg_1"},
    ],
    ids=steady_id,
)
def test_what_stands_for_itself_is_not_detached(answer: Any) -> None:
    assert without_provider_items(answer) == answer
