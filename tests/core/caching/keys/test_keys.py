"""Cache keys: which requests are the same, and which questions may be matched semantically."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from llm_optimizers.caching.keys import CacheKey, cache_key, normalise
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest


def key(*messages: dict[str, Any] | str, **fields: Any) -> CacheKey:
    turns = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    tenant = fields.pop("tenant", "")
    return cache_key(
        ChatRequest.from_openai({"model": "m", "messages": turns, **fields}, tenant=tenant)
    )


SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Hello."}


@pytest.mark.parametrize(
    "other",
    [
        key({"role": "system", "content": "Be long."}, "Hi?", temperature=0),
        key(SYSTEM, "Hello", ANSWER, "Hi?", temperature=0),
        key(SYSTEM, "Hi?", temperature=1),
        key(SYSTEM, "Hi?", temperature=0, model="other"),
        key(SYSTEM, "Hi?", temperature=0, tenant="t"),
        key(SYSTEM, {"role": "user", "content": "Hi?", "name": "ann"}, temperature=0),
        key(SYSTEM, "Documents: a\nQuestion: Hi?", temperature=0),
    ],
)
def test_everything_except_the_last_user_text_is_part_of_the_scope(other: CacheKey) -> None:
    one = key(SYSTEM, "Hi?", temperature=0)
    assert other.scope != one.scope
    assert other.exact != one.exact
    assert other.normalised != one.normalised


def test_the_last_user_text_is_not_part_of_the_scope() -> None:
    one, other = key(SYSTEM, "Where is my card?"), key(SYSTEM, "I lost my card")
    assert one.scope == other.scope
    assert one.exact != other.exact
    assert one.question == "Where is my card?"


def conversation(first: str, second: str) -> CacheKey:
    def call(identifier: str) -> dict[str, Any]:
        return {"id": identifier, "function": {"name": "f", "arguments": "{}"}}

    return key(
        "Compare.",
        {"role": "assistant", "content": None, "tool_calls": [call(first), call(second)]},
        {"role": "tool", "tool_call_id": first, "content": "1"},
        {"role": "tool", "tool_call_id": second, "content": "2"},
    )


def test_tool_call_ids_matter_by_position_only() -> None:
    assert conversation("call_a", "call_b") == conversation("call_x", "call_y")
    swapped = key(
        "Compare.",
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "1"},
        {"role": "tool", "tool_call_id": "a", "content": "2"},
    )
    assert swapped.exact != conversation("call_a", "call_b").exact


def test_ids_of_content_blocks_matter_by_position_only() -> None:
    def after(identifier: str, name: str = "f") -> CacheKey:
        block = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
        result = {"type": "tool_result", "tool_use_id": identifier, "content": "1"}
        return key(
            "Look.",
            {"role": "assistant", "content": [block]},
            {"role": "tool", "tool_call_id": identifier, "content": [result]},
            "And now?",
        )

    assert after("toolu_1") == after("toolu_2")
    assert after("toolu_1") != after("toolu_1", name="g")


def test_content_blocks_of_two_tools_are_told_apart_by_their_ids() -> None:
    def after(first: str, second: str) -> str:
        calls = [
            {"type": "tool_use", "id": identifier, "name": name, "input": {}}
            for identifier, name in (("a", "length"), ("b", "width"))
        ]
        results = [
            {"type": "tool_result", "tool_use_id": identifier, "content": size}
            for identifier, size in ((first, "1"), (second, "2"))
        ]
        return key(
            "Look.",
            {"role": "assistant", "content": calls},
            {"role": "tool", "tool_call_id": first, "content": results},
            "And now?",
        ).exact

    assert after("a", "b") != after("a", "a")
    assert after("a", "b") != after("b", "a")


def test_ids_in_user_messages_matter() -> None:
    def with_file(identifier: str) -> CacheKey:
        return key({"role": "user", "content": [{"type": "file", "id": identifier}]})

    assert with_file("file-1").exact != with_file("file-2").exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  What's  my Balance?? ", "whats my balance"),
        ("whats my balance", "whats my balance"),
        ("What's the meaning of APR?", "whats the meaning of APR"),
        ("How do I use John's card", "how do i use johns card"),
        ("Is the US larger?", "is the US larger"),
        ("is the us larger", "is the us larger"),
        ("WHERE IS IT?", "where is it"),
        pytest.param(
            "We're closed", "we\N{MODIFIER LETTER APOSTROPHE}re closed", id="kept apostrophe"
        ),
        ("Were closed", "were closed"),
        ("What is 3² now", "what is 3² now"),
        ("Maße", "maße"),
    ],
)
def test_case_spacing_and_final_punctuation_are_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'Who said "Hi"?',
        "Run `LS`",
        "a\nb",
        "x = Y",
        "What is 5!",
        "What does this mean ?",
        "Translate: Polish",
        "Capitalise john",
        "Make it uppercase",
        "Fix the punctuation of hi",
        "When do I use it's?",
        "What does it's mean",
        "How do you spell John's",
        "",
        "?!",
        "word " * 100,
    ],
)
def test_texts_whose_exact_form_matters_are_not_normalised(text: str) -> None:
    assert normalise(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Rewrite.\n\n<Chat History>\nuser: Lyon and Paris\n\n<Question>\nAnd Lyon?",
        "Notes on Lyon and Paris\n---------\nWhen does Lyon close?",
        "Rewrite as one question.\nChat history:\nLyon and Paris\nStandalone question:\n",
    ],
)
def test_prompts_with_sections_are_matched_exactly_only(text: str) -> None:
    assert key(text).question is None
    assert key("When does Lyon close?\nOr Paris?").question is not None


@pytest.mark.parametrize(
    "text",
    [
        'Answer each of these. [{"id": "q1", "request": "Where is my order?"}]',
        '{"question": "Where is my order?", "next": "How do I reset it?"}',
        "Sort these rows: [[3, 1], [2, 4]]",
    ],
)
def test_prompts_with_data_are_matched_exactly_only(text: str) -> None:
    assert key(text).question is None
    assert key("Where is item [3] of {my} order?").question is not None


def test_the_same_question_over_the_same_documents_shares_a_scope() -> None:
    one = key("Paris is in France.\nQuestion: Where is Paris?")
    assert one.scope == key("Paris is in France.\nQuestion: In what land is Paris?").scope
    assert one.scope != key("Paris is in Texas.\nQuestion: Where is Paris?").scope


@pytest.mark.parametrize(
    "request_of_one_message",
    [
        {"content": "What is the weather today?"},
        {"content": "Add 1 and 2", "tools": [{"type": "function", "function": {"name": "add"}}]},
        {"content": "Add 1 and 2", "functions": [{"name": "add"}]},
        {"content": "Add 1 and 2", "toolConfig": {"tools": [{"toolSpec": {"name": "add"}}]}},
        {
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:x"}},
            ]
        },
        {"content": "done", "role": "tool", "tool_call_id": "a"},
        {"content": "Hello.", "role": "assistant"},
        {"content": "   "},
    ],
)
def test_requests_that_semantic_matching_cannot_serve_are_matched_exactly_only(
    request_of_one_message: dict[str, Any],
) -> None:
    settings = dict(request_of_one_message)
    names = ("role", "content", "tool_call_id")
    last = {"role": "user", **{n: settings.pop(n) for n in names if n in settings}}
    assert key("Go.", last, **settings).question is None


def test_an_empty_text_after_a_tool_result_or_an_image_makes_another_request() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    for last in (
        {"role": "tool", "tool_call_id": "a", "content": "done"},
        {"role": "user", "content": [image]},
    ):
        assert key("Go.", last).exact != key("Go.", last, "").exact


def test_a_question_in_text_parts_is_matched_like_a_plain_text() -> None:
    parts = [{"type": "text", "text": "Where is my card?"}]
    made = key({"role": "user", "content": parts})
    assert made.question == "Where is my card?"
    assert made.normalised is not None


def test_an_answer_or_a_tool_result_at_the_end_is_never_normalised() -> None:
    for role in ("assistant", "tool"):
        end = {"role": role, "content": "Paris is big"}
        if role == "tool":
            end["tool_call_id"] = "a"
        assert key("Go.", end).normalised is None


def test_images_are_part_of_the_key_and_never_normalised() -> None:
    def see(url: str) -> CacheKey:
        return key({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})

    assert see("data:a").exact != see("data:b").exact
    assert see("data:a").normalised is None


def test_a_setting_in_a_read_only_mapping_is_the_same_setting() -> None:
    assert key("Hi", bias=MappingProxyType({"a": 1})) == key("Hi", bias={"a": 1})
    assert key("Hi", bias=MappingProxyType({"a": 1})) != key("Hi", bias={"a": 2})


def test_a_setting_without_a_stable_form_raises() -> None:
    with pytest.raises(ConfigurationError, match="content of a object cannot be read"):
        key("Hi", callback=object())


def test_a_key_that_is_a_number_is_another_than_its_text() -> None:
    keys = [key("Hi", bias={at: "x"}) for at in (1, "1", True, "true", None, "null", 1.5)]
    assert len({each.exact for each in keys}) == len(keys)


def test_lone_surrogates_can_be_hashed() -> None:
    assert key("\ud83d").exact != key("\ude00").exact
