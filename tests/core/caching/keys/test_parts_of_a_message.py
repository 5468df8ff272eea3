"""A last message in parts: their borders and fields are part of the key."""

from __future__ import annotations

from typing import Any

import pytest

from llm_optimizers.caching.keys import CacheKey, cache_key
from llm_optimizers.types import ChatRequest


def key(content: Any) -> CacheKey:
    body = {"messages": [{"role": "user", "content": content}]}
    return cache_key(ChatRequest.from_openai(body))


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


@pytest.mark.parametrize(
    ("content", "other"),
    [
        ([text("10"), text("0 euros")], "10\n0 euros"),
        ([text("a"), text("b\nc")], [text("a\nb"), text("c")]),
        (["a", "b"], "a\nb"),
        ([text("hello there"), text("")], "hello there"),
        ([text("hello", lang="fr")], [text("hello", lang="de")]),
        ([text("hello", lang="fr")], "hello"),
        (
            [text("hello"), {"type": "cache", "text": "One?"}],
            [text("hello"), {"type": "cache", "text": "Two?"}],
        ),
        (
            [text("hello"), {"type": "cache", "cache": {"text": "One?"}}],
            [text("hello"), {"type": "cache", "cache": {"text": "Two?"}}],
        ),
    ],
)
def test_other_parts_are_another_request(content: Any, other: Any) -> None:
    one, two = key(content), key(other)
    assert one.exact != two.exact
    assert one.scope != two.scope or one.question is None
    assert one.normalised != two.normalised or one.normalised is None


def test_a_question_in_the_last_part_may_vary() -> None:
    one, two = (key([text("Some context."), text(q)]) for q in ("What is it?", "what is it"))
    assert one.exact != two.exact
    assert one.scope == two.scope


@pytest.mark.parametrize(
    "content",
    [
        [text("hello")],
        ["hello"],
        [text("hello", id="lc_1f", index=0)],
        [text("hello", extras={"cache_control": {"type": "ephemeral"}})],
        [text("hello", cache_control={"type": "ephemeral"})],
        [text("hello"), {"type": "cache", "cache": {"cache_control": {"type": "ephemeral"}}}],
        [text("hello"), {"type": "cache_point", "cache_type": "default"}],
        [text("hello"), {"cachePoint": {"type": "default"}}],
    ],
)
def test_one_text_is_this_text(content: Any) -> None:
    assert key(content).exact == key("hello").exact


def test_ids_of_texts_in_a_history_do_not_count() -> None:
    def asked(identifier: str) -> str:
        messages = [
            {"role": "user", "content": [text("hello", id=identifier), text("you")]},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": [text("who", id=identifier), text("are you?")]},
        ]
        return cache_key(ChatRequest.from_openai({"messages": messages})).exact

    assert asked("lc_1") == asked("lc_2")
