"""A hard limit, kept by removing the middle of messages."""

from __future__ import annotations

import logging

import pytest

from llm_optimizers.prompts import (
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.prompts.context.trimming import head_and_tail
from llm_optimizers.types import ChatRequest, Message

counter = TokenCounter()


def test_head_and_tail_keep_whole_sentences_and_mark_the_gap() -> None:
    text = "".join(f"Sentence {n} stands here. " for n in range(200))
    cut = head_and_tail(text, max_tokens=100, counter=counter, model="gpt-4o")
    assert counter.count(cut, "gpt-4o").tokens <= 100
    head, tail = cut.split("\n[\u2026", 1)
    assert head.startswith("Sentence 0 ")
    assert tail.rstrip().endswith("Sentence 199 stands here.")
    assert "tokens left out" in cut
    assert head_and_tail(
        "one piece " * 90, max_tokens=50, counter=counter, model="gpt-4o"
    ).startswith("one piece one piece")
    assert head_and_tail("short", max_tokens=50, counter=counter, model="gpt-4o") == "short"


def test_a_hard_bound_is_logged_whether_kept_or_not(caplog: pytest.LogCaptureFixture) -> None:
    optimizer = RequestOptimizer(max_tokens=150, counter=counter)
    long = "".join(f"Line {n} of a long report. " for n in range(200))
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=long))
    with caplog.at_level(logging.WARNING):
        found = optimizer.optimize(ChatRequest(model="gpt-4o", messages=messages))
    assert found.tokens <= 150
    assert "middle left out" in found.done[-1]
    assert "middle left out" in caplog.text

    stubborn = Message(role="user", content="word" * 2_000)
    request = ChatRequest(model="gpt-4o", messages=(stubborn,))
    found = optimizer.optimize(request)
    assert found.request is request
    assert "not kept" in found.done[-1]
    assert "cannot be cut further" in caplog.text
