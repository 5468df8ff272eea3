"""Retrieved context inside a message is found and cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts import (
    ContextBudget,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.prompts.context import cut_context, render
from llm_optimizers.prompts.context.documents.asking import question_in
from llm_optimizers.prompts.context.documents.sections import sections
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


BODY = "Alpha has a mill, a river and a market.\n\nBeta has a mayor, and she is called Jo Lind."
RULE = "---------------------"
STUFF = (
    "Use the following pieces of context to answer the question at the end. If you don't know the "
    "answer, just say that you don't know, don't try to make up an answer."
)
SECTIONS = {
    "tags": f"<context>\n{BODY}\n</context>\nWho?",
    "capitals and attributes": f'<CONTEXT id="1">\n{BODY}\n</CONTEXT>\nWho?',
    "plural": f"<search_results>\n{BODY}\n</search_results>\nWho?",
    "retrieved": f"<retrieved_docs>{BODY}</retrieved_docs>\nWho?",
    "on the line of a sentence": f"Answer from this: <context>{BODY}</context> Who?",
    "inside other tags": f"<prompt><context>\n{BODY}\n</context><question>Who?</question></prompt>",
    "mentioned before": f"See the <context> tags.\n<context>\n{BODY}\n</context>\nWho?",
    "both mentioned": f"Between <context> and </context>.\n<context>{BODY}</context>\nWho?",
    "closed like an empty tag": f"<context>\n{BODY}\n<context/>\nWho?",
    "after an example": f"<example><context>a</context></example>\n<context>{BODY}</context>\nWho?",
    "LangChain": f"{STUFF}\n\n{BODY}\n\nQuestion: Who?\nHelpful Answer:",
    "LangChain hub": f"You assist.\nQuestion: Who?\nContext: {BODY}\nAnswer:",
    "LlamaIndex": f"Context information is below.\n{RULE}\n{BODY}\n{RULE}\nQuery: Who?\nAnswer: ",
    "LlamaIndex refined": "The original query is as follows: Who?\nWe have an existing answer: Jo\n"
    f"Refine it with some more context below.\n{RULE}\n{BODY}\n{RULE}\nGiven the new context, do.",
    "LlamaIndex citations": "For example:\nSource 1:\nThe sky.\nQuery: What?\nAnswer: Sky [1].\n"
    f"Below are several numbered sources of information:\n------\n{BODY}\n------\nQuery: Who?",
    "heading": f"# Context\n\n{BODY}\n\n# Question\n\nWho?",
    "heading of three words": f"## Retrieved documents\n{BODY}\n\n## Your task\nWho?",
    "heading before another": f"## Context\n{BODY}\n\n## Style\nBe short.\n\n## Question\nWho?",
    "bold": f"**Context:**\n{BODY}\n\n**Question:** Who?",
    "sources": f"Sources:\n{BODY}\n\nQuestion: Who?",
    "quotation marks": f'Context:\n"""\n{BODY}\n"""\n\nQuestion: Who?',
    "fence": f"Context:\n```\n{BODY}\n```\n\nQuestion: Who?",
    "rules": f"Context:\n---\n{BODY}\n---\n\nQuestion: Who?",
    "rules between documents": f"Context:\n---\n{BODY}\n---\nMore.\n---\n\nQuestion: Who?",
    "few shots": f"Context:\na\n\nQuestion: b?\nAnswer: c\n\nContext:\n{BODY}\n\nQuestion: Who?",
    "question at the end": f"Context:\n{BODY}\n\nWho is it?",
    "question before": f"Who is it?\n\nContext:\n{BODY}",
    "instruction at the end": f"Who is it?\n\nContext:\n{BODY}\n\nAnswer in German.",
}


@pytest.mark.parametrize("text", SECTIONS.values(), ids=SECTIONS)
def test_a_section_is_what_surely_is_context(text: str) -> None:
    (found,) = sections(text)
    inside = text[slice(*found)].strip()
    assert inside.removesuffix("\n---\nMore.") == BODY


@pytest.mark.parametrize(
    "text",
    [
        f"{STUFF.replace('question at the end', 'users question')}\n----------------\n{BODY}",
        f"Use the context information below to assist the user.\n{RULE}\n{BODY}\n{RULE}\n",
        "Here are the relevant documents for the context:\n\n  "
        f"{BODY}\n\n  Instruction: Based on the above documents, answer the question below.",
        f"Answer from this context:\n{BODY}",
    ],
)
def test_a_system_prompt_ends_its_section_or_ends_with_it(text: str) -> None:
    (found,) = sections(text, asked=True)
    assert text[slice(*found)].strip() == BODY


@pytest.mark.parametrize(
    "text",
    [
        "What does <context> mean?",
        "What do <context> and </context> mean, and why?",
        f"```\n<context>\n{BODY}\n</context>\n```\nIs this right?",
        f"Is `<context>{BODY}</context>` right?",
        f"~~~\nContext:\n{BODY}\n~~~\nIs this right?",
        f"Summarise <document>{BODY}</document>?",
        f"Improve my essay?\n\n{BODY}\n\nSources:\n- http://a.example\n- http://b.example",
        "Why does this fail?\n\ncontext:\n  cluster: a\n  user: b\n",
        f"Does this fit the following?\n---\n{BODY}\n---\n",
        f"<rss><item>{BODY}</item><item>{BODY}</item></rss> How many items?",
        f"<example><context>{BODY}</context></example>\nWho?",
    ],
)
def test_the_users_own_text_is_no_section(text: str) -> None:
    assert not sections(text)


def test_rules_of_a_system_prompt_are_no_section() -> None:
    assert not sections("Be kind, and cite your sources:\n- as [1]\n- at the end", asked=True)


@pytest.mark.parametrize("name", ["document", "Source", "context", "doc"])
def test_documents_without_a_wrapper_are_one_section(name: str) -> None:
    docs = "\n".join(f"<{name} n='{p.title}'>\n{p.text}\n</{name}>" for p in FACTS)
    text = f"Be short.\n{docs}\nWho is the mayor of Carrow?"
    assert [text[slice(*each)] for each in sections(text)] == [docs]
    cut = cut_context(text, ContextBudget(max_tokens=60), selector)
    assert "Mina Vale" in cut
    assert cut.count(f"<{name} ") == cut.count(f"</{name}>") < len(FACTS)


def test_several_sections_share_one_budget() -> None:
    half = len(FACTS) // 2
    parts = [
        "\n\n".join(f"{p.title}\n{p.text}" for p in facts) for facts in (FACTS[:half], FACTS[half:])
    ]
    question = "Who is the mayor of Elmstead?"
    text = f"<context>\n{parts[0]}\n</context>\n<sources>\n{parts[1]}\n</sources>\n{question}"
    cut = cut_context(text, ContextBudget(max_tokens=70), selector)
    assert "Ida Quill" in cut
    assert counter.count(cut, "gpt-4o").tokens < 70 + 40
    assert cut.index("</context>") < cut.index("<sources>") < cut.index("Ida Quill")


def test_nested_wrappers_stay() -> None:
    docs = "\n".join(f"<doc>\n{p.text}\n</doc>" for p in FACTS)
    text = f"<context>\n<documents>\n{docs}\n</documents>\n</context>\nWho is Carrow's mayor?"
    cut = cut_context(text, ContextBudget(max_tokens=60), selector)
    assert cut.startswith("<context>\n<documents>\n<doc>\n")
    assert cut.endswith("</doc>\n</documents>\n</context>\nWho is Carrow's mayor?")
    assert "Mina Vale" in cut


OWN = st.lists(
    st.sampled_from(
        [
            "I ask: ",
            "a < b, ",
            "<b>so</b> ",
            "`<context>` ",
            "\n",
            "\n\n",
            "why? ",
            "- x\n",
            "---\n",
        ]
    ),
    max_size=8,
).map("".join)


@given(OWN, OWN, st.integers(10, 90))
def test_no_text_outside_a_section_changes(before: str, after: str, budget: int) -> None:
    docs = "\n".join(f"<doc>\n{p.text}\n</doc>" for p in FACTS)
    head, tail = f"{before}\n<context>\n", f"\n</context>\n{after}Who is Dunmouth's mayor?"
    cut = cut_context(f"{head}{docs}{tail}", ContextBudget(max_tokens=budget), selector)
    assert cut.startswith(head)
    assert cut.endswith(tail)
    assert cut.count("<doc>") == cut.count("</doc>")


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (f"{STUFF}\n\nQuestion: Who is it?\nHelpful Answer:", "Who is it?"),
        ("Given the context, answer the query.\nQuery: Who\nAnswer: ", "Who"),
        ("# Rules\nBe kind.\n\n# Question\n\nWho is it?", "Who is it?"),
        ("<question>Who is it?</question>\nAnswer:", "Who is it?"),
        ("Question: a?\nAnswer: b\n\nQuestion: Who?\nAnswer:", "Who?"),
        ("Compare both. Who is it", "Compare both. Who is it"),
        (f"{STUFF} {STUFF}\n\nWho is it?", "Who is it?"),
        (f"{STUFF} {STUFF}\n\nDo it.", f"{STUFF} {STUFF}\n\nDo it."),
        ("Question:\n", "Question:"),
    ],
)
def test_the_question_is_found_among_instructions(text: str, question: str) -> None:
    assert question_in(text) == question


@pytest.mark.parametrize(
    "piece",
    ["<context>\n", "<document>a</document> b ", "# Context\n", "Sources:\n", "Question:\n", "`",
     "Use the following pieces of context\n", "a following context b\n\n", "=====\nContent:\n"],
)  # fmt: skip
def test_hostile_messages_are_read_in_linear_time(piece: str) -> None:
    """Two megabytes would be read for hours if each piece were followed to the end."""
    text = piece * (2_000_000 // len(piece))
    assert all(0 <= start <= end <= len(text) for start, end in sections(text, asked=True))
