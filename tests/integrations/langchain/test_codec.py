"""`GenerationsCodec`: how generations are stored and read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from langchain_llm_optimizers.codec import GenerationsCodec
from llm_optimizers.caching import reason_not_to_cache
from llm_optimizers.costs import Usage

codec = GenerationsCodec()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def chat(content: Any = "hello", **fields: Any) -> ChatGeneration:
    return ChatGeneration(message=AIMessage(content, **fields))


def returned(*generations: Generation) -> list[Any]:
    return codec.decode(codec.encode(list(generations)))


def test_a_message_is_read_back_with_a_new_id() -> None:
    made = chat(
        id="old",
        response_metadata={"model_name": "m", "finish_reason": "stop"},
        usage_metadata={
            "input_tokens": 3,
            "output_tokens": 2,
            "total_tokens": 5,
            "input_token_details": {"cache_read": 1},
        },
        additional_kwargs={"x": [1]},
        name="n",
    )
    (back,) = returned(made)
    assert back.message.id not in (None, "old")
    assert back.message.model_copy(update={"id": "old"}) == made.message
    assert back.text == "hello"


@given(content=st.text(), extra=st.dictionaries(st.text(), json_values, max_size=3))
def test_any_text_and_any_json_is_read_back(content: str, extra: dict[str, Any]) -> None:
    (back,) = returned(chat(content, additional_kwargs=extra))
    assert back.message.content == content
    assert back.message.additional_kwargs == extra


def test_copies_share_nothing() -> None:
    payload = codec.encode([chat(response_metadata={"a": {"b": [1]}})])
    one, other = codec.decode(payload)[0], codec.decode(payload)[0]
    one.message.response_metadata["a"]["b"].append(2)
    assert other.message.response_metadata["a"]["b"] == [1]
    assert codec.decode(payload)[0].message.response_metadata["a"]["b"] == [1]


def test_tool_call_ids_are_new_wherever_they_occur() -> None:
    call = {"name": "1", "args": {"x": "1", "id": "1"}, "id": "1", "type": "tool_call"}
    made = chat(
        [
            {"type": "text", "text": "1"},
            {"type": "tool_use", "id": "1", "name": "1", "input": {"id": "1"}},
        ],
        tool_calls=[call],
        additional_kwargs={
            "tool_calls": [{"id": "1", "function": {"name": "1", "arguments": '{"x": "1"}'}}]
        },
    )
    (back,) = returned(made)
    fresh = back.message.tool_calls[0]["id"]
    assert fresh != "1"
    assert len(fresh) > 5
    assert back.message.tool_calls[0] == {**call, "id": fresh}
    assert back.message.content == [
        {"type": "text", "text": "1"},
        {"type": "tool_use", "id": fresh, "name": "1", "input": {"id": "1"}},
    ]
    assert back.message.additional_kwargs["tool_calls"][0]["id"] == fresh
    assert back.message.additional_kwargs["tool_calls"][0]["function"]["name"] == "1"


@pytest.mark.parametrize("old", ["call_" + "a" * 24, "toolu_01AbCdEfGhIjKlMnOpQrStUv", "abcdefghi"])
def test_new_ids_look_like_the_providers(old: str) -> None:
    (back,) = returned(chat("", tool_calls=[{"name": "f", "args": {}, "id": old}]))
    (call,) = back.message.tool_calls
    prefix, _, _ = old.rpartition("_")
    assert call["id"].startswith(prefix)
    assert len(call["id"]) == len(old)
    assert call["id"].replace("_", "").isalnum()


def test_chunks_are_stored_as_messages() -> None:
    (back,) = returned(ChatGeneration(message=AIMessageChunk("hello")))
    assert type(back.message) is AIMessage


def test_completions_are_read_back_equal() -> None:
    made = Generation(text="hello", generation_info={"finish_reason": "stop"})
    assert returned(made, made) == [made, made]


class Parsed(BaseModel):
    """The parsed object that structured output puts into a message."""

    a: int


def test_parsed_objects_are_stored_as_data() -> None:
    (back,) = returned(chat(additional_kwargs={"parsed": Parsed(a=1)}))
    assert back.message.additional_kwargs["parsed"] == {"a": 1}


SIGNATURE = b"\x01\xffsigned"


def test_bytes_anywhere_in_an_answer_come_back() -> None:
    made = chat(
        [
            {"type": "text", "text": "a", "extras": {"signature": SIGNATURE}},
            {"type": "file", "data": SIGNATURE},
        ],
        additional_kwargs={"signatures": [SIGNATURE, {"nested": (SIGNATURE,)}]},
        response_metadata={"when": datetime(2026, 1, 2, tzinfo=UTC), "by_index": {0: SIGNATURE}},
        tool_calls=[{"name": "f", "args": {"x": SIGNATURE}, "id": "call_1"}],
    )
    made.generation_info = {"logits": SIGNATURE}
    one, other = codec.decode(payload := codec.encode([made]))[0], codec.decode(payload)[0]
    assert isinstance(one, ChatGeneration)
    assert one.message.content == made.message.content
    assert one.message.additional_kwargs == {"signatures": [SIGNATURE, {"nested": [SIGNATURE]}]}
    assert one.message.response_metadata == made.message.response_metadata
    assert one.message.tool_calls[0]["args"] == {"x": SIGNATURE}  # type: ignore[attr-defined]
    assert one.generation_info == {"logits": SIGNATURE}
    one.message.additional_kwargs["signatures"].append(b"mine")
    assert len(other.message.additional_kwargs["signatures"]) == 2  # type: ignore[attr-defined]


def test_an_answer_whose_only_count_was_a_cost_is_read_back() -> None:
    # LangChain's own cache sets this on a hit of a model that reports no tokens.
    made = chat()
    made.message.usage_metadata = {"total_cost": 0}  # type: ignore[attr-defined]
    assert returned(made)[0].message.usage_metadata is None


@pytest.mark.parametrize("identifier", ["", None])
def test_a_call_without_an_id_gets_none(identifier: str | None) -> None:
    made = chat("", tool_calls=[{"name": "weather", "args": {}, "id": identifier}])
    assert returned(made)[0].message.tool_calls[0]["id"] == identifier


def test_values_without_json_are_rejected() -> None:
    with pytest.raises(TypeError):
        codec.encode([chat(additional_kwargs={"x": object()})])


def test_headers_and_marks_of_other_caches_are_not_stored() -> None:
    made = chat(
        response_metadata={"headers": {"set-cookie": "secret"}, "model_name": "m"},
        usage_metadata={
            "input_tokens": 1,
            "output_tokens": 1,
            "total_tokens": 2,
            "total_cost": 0,  # type: ignore[typeddict-unknown-key]
        },
    )
    payload = codec.encode([made])
    assert "secret" not in payload
    assert "total_cost" not in payload
    assert made.message.response_metadata["headers"]
    assert "total_cost" in (made.message.usage_metadata or {})


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "null",
        "{}",
        "[]",
        "[1]",
        '[{"text": "no info"}]',
        '[{"text": 1, "info": null}]',
        '[{"message": {"type": "system", "data": {"content": "x"}}, "info": null}]',
        '[{"message": {"type": "nothing", "data": {}}, "info": null}]',
        '[{"message": {"type": "ai"}, "info": null}]',
        '[{"message": {"type": "ai", "data": {"content": "x", "tool_calls": 1}}, "info": null}]',
        "[" * 100_000,
    ],
)
def test_a_payload_of_another_codec_is_a_value_error(raw: str) -> None:
    with pytest.raises(ValueError):
        codec.decode(raw)


@given(json_values)
def test_no_json_makes_anything_but_generations(value: Any) -> None:
    try:
        decoded = codec.decode(json.dumps(value))
    except ValueError:
        return
    assert all(isinstance(each, Generation) for each in decoded)


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        (chat(), True),
        (chat(""), False),
        (chat("  \n"), False),
        (chat([]), False),
        (chat([{"type": "thinking", "thinking": "Where is Ulm?"}]), False),
        (chat([{"type": "text", "text": " ", "extras": {"signature": "x"}}]), False),
        (chat([{"type": "image", "base64": "AAAA", "mime_type": "image/png"}]), True),
        (chat([], tool_calls=[{"name": "f", "args": {}, "id": "1"}]), True),
        (chat("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]), True),
        (chat(response_metadata={"finish_reason": "STOP"}), True),
        (chat(response_metadata={"finish_reason": "length"}), False),
        (chat(response_metadata={"stop_reason": "max_tokens"}), False),
        (chat(response_metadata={"stop_reason": "end_turn"}), True),
        (chat(response_metadata={"stopReason": "guardrail_intervened"}), False),
        (chat(response_metadata={"done_reason": "length"}), False),
        (chat(response_metadata={"status": "incomplete"}), False),
        (chat(response_metadata={"status": "completed"}), True),
        (chat(additional_kwargs={"refusal": "no"}), False),
        (Generation(text="x", generation_info={"finish_reason": "length"}), False),
        (Generation(text="x"), True),
        (Generation(text=" "), False),
    ],
)
def test_only_complete_answers_are_cacheable(made: Generation, kept: bool) -> None:
    assert (reason_not_to_cache(codec.cacheability([made])) is None) is kept


def test_answers_of_two_kinds_are_neither_written_nor_read() -> None:
    both = [codec.encode([made])[1:-1] for made in (chat(), Generation(text="x"))]
    with pytest.raises(ValueError, match="chat messages and completions"):
        codec.encode([chat(), Generation(text="x")])
    with pytest.raises(ValueError, match="chat messages and completions"):
        codec.decode(f"[{','.join(both)}]")


def test_a_stored_chunk_is_no_answer() -> None:
    with pytest.raises(ValueError, match="AIMessageChunk"):
        codec.decode(codec.encode([chat()]).replace('"type": "ai"', '"type": "AIMessageChunk"'))


def test_the_least_cacheable_generation_decides() -> None:
    assert reason_not_to_cache(codec.cacheability([chat(), chat("")]))
    assert reason_not_to_cache(codec.cacheability([]))


def test_cacheability_holds_the_usage_of_the_call() -> None:
    cacheability = codec.cacheability(
        [
            chat(
                response_metadata={"model_name": "gpt-4o"},
                usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
            )
        ]
    )
    assert cacheability.model == "gpt-4o"
    assert cacheability.usage == Usage(input_tokens=3, output_tokens=2)
