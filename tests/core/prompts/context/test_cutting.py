"""The documents of a message that are shortened without loss, and JSON among them."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest

from llm_optimizers.prompts import ContextBudget, RequestOptimizer
from llm_optimizers.prompts.context import document_spans
from llm_optimizers.prompts.context.documents import own_texts
from llm_optimizers.types import ChatRequest, Message

ITEMS = [{"id": n, "price": n * 7, "name": f"item {n}", "sizes": [1, 2, 3]} for n in range(12)]
BODY = "\n\n".join(json.dumps(item, indent=2) for item in ITEMS)
OPENING = "Answer from the following context:\n"
QUESTION = "What is the price of item 7?"


def optimized(budget: ContextBudget | None, *messages: Message) -> str:
    optimizer = RequestOptimizer(context=budget, provider_cache=False)
    return (
        optimizer.optimize(ChatRequest(model="gpt-4o", messages=messages)).request.messages[0].text
    )


def in_one_message() -> tuple[Message, ...]:
    return (Message(role="user", content=f"{OPENING}{BODY}\n\nQuestion: {QUESTION}"),)


def in_two_messages() -> tuple[Message, ...]:
    system = Message(role="system", content=OPENING + BODY)
    return system, Message(role="user", content=QUESTION)


@pytest.mark.parametrize("messages", [in_one_message(), in_two_messages()], ids=["one", "two"])
def test_json_values_joined_by_blank_lines_are_shortened_each(
    messages: tuple[Message, ...],
) -> None:
    sent = optimized(None, *messages).removeprefix(OPENING).removesuffix(f"Question: {QUESTION}")
    parts = sent.strip().split("\n\n")
    assert [json.loads(part) for part in parts] == ITEMS
    assert parts[0] == json.dumps(ITEMS[0], separators=(",", ":"))


@pytest.mark.parametrize("messages", [in_one_message(), in_two_messages()], ids=["one", "two"])
def test_a_cut_keeps_json_values_valid(messages: tuple[Message, ...]) -> None:
    budget = ContextBudget(max_tokens=120, min_probability=None)
    sent = optimized(budget, *messages).removeprefix(OPENING)
    parts = sent.strip().removesuffix(f"Question: {QUESTION}").strip().split("\n\n")
    values = [json.loads(part) for part in parts]
    assert 0 < len(values) < len(ITEMS)
    assert 49 in [value.get("price") for value in values]


def test_json_with_long_text_is_shortened_too() -> None:
    body = "\n\n".join(
        json.dumps({**item, "text": "Sold in spring. " * 9}, indent=2) for item in ITEMS
    )
    message = Message(role="user", content=f"{OPENING}{body}\n\nQuestion: {QUESTION}")
    sent = optimized(None, message)
    assert '{"id":0,"price":0,' in sent
    assert sent.endswith(f"\n\nQuestion: {QUESTION}")


def test_a_system_prompt_has_documents_though_another_message_asks() -> None:
    assert not document_spans(OPENING + BODY)
    spans = document_spans(OPENING + BODY, asked=True)
    assert len(spans) == len(ITEMS)


def test_text_that_cannot_be_read_is_sent_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    with patch.object(own_texts, "sections", side_effect=RecursionError("too deep")):
        assert optimized(None, *in_one_message()) == in_one_message()[0].text
    assert "could not be read" in caplog.text
    assert "price" not in caplog.text
