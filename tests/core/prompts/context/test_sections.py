"""Retrieved context inside a message is found and cut."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts import (
    ContextBudget,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.prompts.context import cut_context, render
from llm_optimizers.types import ChatRequest, Message
from support.prompt_texts import FACTS

counter = TokenCounter()
selector = PassageSelector(counter=counter)


def context_prompt(opening: str, closing: str) -> str:
    body = "\n\n".join(f"{p.title}\n{p.text}" for p in FACTS)
    return f"Answer shortly.\n{opening}{body}{closing} Who is the mayor of Brackford?"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<context>\n", "\n</context>"),
        ("Context:\n", "\n\nQuestion:"),
        ("<Documents>", "</Documents>"),
        ("Use the following pieces of retrieved context:\n", "\n\nQuestion:"),
        ("Context information is below.\n-----\n", "\n-----\nQuery:"),
        ("Question: who is the mayor of Brackford?\nContext: ", "\n\nAnswer:"),
        ("Context:\n", "\n\nHelpful Answer:"),
    ],
)
def test_context_in_a_message_is_found_and_cut(opening: str, closing: str) -> None:
    text = context_prompt(opening, closing)
    cut = cut_context(text, ContextBudget(max_tokens=60), selector)
    assert "Otto Lind" in cut
    assert "Ida Quill" not in cut
    assert cut.startswith(f"Answer shortly.\n{opening.strip()}")
    assert cut.endswith(f"{closing} Who is the mayor of Brackford?")


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.1", "claude-sonnet-4-5", "gemini-2.5-flash"])
@pytest.mark.parametrize("copies", [3, 8])
@pytest.mark.parametrize("place", ["user", "system"])
def test_a_single_question_over_its_budget_is_cut_for_every_provider(
    model: str, copies: int, place: str
) -> None:
    docs = "\n\n".join(
        render(p.title, p.text.replace("river", f"river{n}")) for n in range(copies) for p in FACTS
    )
    question = "Who is the mayor of Carrow?"
    messages = (
        (
            Message(
                role="user", content=f"Answer from this context:\n{docs}\n\nQuestion: {question}"
            ),
        )
        if place == "user"
        else (
            Message(role="system", content=f"Use this context:\n{docs}"),
            Message(role="user", content=question),
        )
    )
    optimizer = RequestOptimizer(context=ContextBudget(max_tokens=200), counter=counter)
    found = optimizer.optimize(ChatRequest(model=model, messages=messages))
    assert found.tokens_before > 1024
    assert found.tokens < 300
    sent = "".join(m.text for m in found.request.messages)
    assert "Mina Vale" in sent
    assert question in sent

    later = (
        *messages,
        Message(role="assistant", content="Mina Vale."),
        Message(role="user", content="And of Elmstead?"),
    )
    second = optimizer.optimize(ChatRequest(model=model, messages=later)).request.messages
    # A follow-up keeps the prefix that was sent, or has the whole context to be answered from.
    if place == "user":
        assert second[0] == found.request.messages[0]
    else:
        assert "Ida Quill" in second[0].text


def test_documents_keep_their_tags() -> None:
    docs = "\n".join(f'<document id="{p.title}">\n{p.text}\n</document>' for p in FACTS)
    text = f"<documents>\n{docs}\n</documents>\nWho is the mayor of Aldmere?"
    cut = cut_context(text, ContextBudget(max_tokens=50), selector)
    assert "Jane Hollow" in cut
    assert '<document id="Aldmere">' in cut
    assert cut.count("<document id") == cut.count("</document>") < len(FACTS)


@pytest.mark.parametrize(
    "text",
    ["Who is the mayor?", "<context></context> Who?", "<context>only context</context>",
     "<context>never closed. Who?", context_prompt("", "")],
)  # fmt: skip
def test_text_without_a_context_section_is_unchanged(text: str) -> None:
    assert cut_context(text, ContextBudget(max_tokens=5), selector) == text


def test_a_budget_too_small_for_one_sentence_leaves_the_prompt_unchanged() -> None:
    text = context_prompt("<context>\n", "\n</context>")
    assert cut_context(text, ContextBudget(max_tokens=1), selector) == text


@pytest.mark.parametrize("opening", ["Context:\n", "<context>", "on context\n---\n"])
def test_unclosed_sections_take_linear_time(opening: str) -> None:
    """200,000 openings would be read for hours if each were followed to the end."""
    text = opening * 200_000
    assert cut_context(text, ContextBudget(max_tokens=5), selector) == text
