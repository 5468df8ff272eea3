"""Context within a budget: what answers the question stays."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import (
    ContextBudget,
    Passage,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.prompts.context import GAP, cut_context, head_and_tail, rank, render
from llm_optimizers.prompts.context.reading import answer_kind, corrections, has_cue
from llm_optimizers.text import terms
from llm_optimizers.types import ChatRequest, Message

counter = TokenCounter()
selector = PassageSelector(counter=counter)

FACTS = [
    Passage(
        title=town,
        text=f"{town} lies on the river {river}. The mayor of {town} is {mayor}. It was founded in "
        f"{year}. Its market sells {goods} every Friday. Visitors like the old walls. The harbour "
        f"was built later. In winter the {river} freezes over.",
    )
    for town, river, mayor, year, goods in [
        ("Aldmere", "Wick", "Jane Hollow", 1203, "cheese"),
        ("Brackford", "Tarn", "Otto Lind", 1377, "wool"),
        ("Carrow", "Esk", "Mina Vale", 1421, "salt"),
        ("Dunmouth", "Roe", "Paul Stark", 1150, "tin"),
        ("Elmstead", "Yar", "Ida Quill", 1299, "apples"),
        ("Farrowby", "Neth", "Tom Arch", 1502, "rope"),
    ]
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who is the mayor of Carrow?", "Mina Vale"),
        ("When was Dunmouth founded?", "1150"),
        ("what does the market in elmstead sell", "apples"),
        ("Which river freezes over at Farrowby?", "Neth"),
        ("who is the mayor of Carow", "Mina Vale"),  # misspelt
    ],
)
def test_the_answer_is_kept_at_a_tenth_of_the_tokens(question: str, answer: str) -> None:
    total = sum(counter.count(render(p.title, p.text), "gpt-4o").tokens for p in FACTS)
    chosen = selector.select(question, FACTS, max_tokens=total // 8)
    assert chosen.tokens <= total // 8
    assert any(answer in kept.text for kept in chosen.kept)
    assert chosen.tokens_before == total


texts = st.text(
    alphabet=st.sampled_from(list("abcde .!?\n\t中文é0123\"'{}`")), max_size=300
) | st.text(max_size=60)


@given(
    st.text(max_size=60),
    st.lists(st.builds(Passage, title=st.text(max_size=12), text=texts), max_size=8),
    st.integers(1, 200),
)
@settings(max_examples=150, deadline=None)
def test_the_budget_holds_the_order_stays_and_the_outcome_repeats(
    question: str, passages: list[Passage], budget: int
) -> None:
    chosen = selector.select(question, passages, max_tokens=budget)
    assert chosen.tokens <= max(budget, 0)
    places = [kept.index for kept in chosen.kept]
    assert places == sorted(set(places))
    assert PassageSelector().select(question, passages, max_tokens=budget) == chosen
    for kept in chosen.kept:
        for part in kept.text.split(GAP):
            assert part.strip() in passages[kept.index].text
        if kept.whole:
            assert kept.text == passages[kept.index].text


def test_what_fits_stays_as_it_is() -> None:
    chosen = selector.select("Who?", FACTS, max_tokens=100_000)
    assert [kept.text for kept in chosen.kept] == [p.text for p in FACTS]
    assert all(kept.whole for kept in chosen.kept)


def test_a_gap_between_kept_sentences_is_marked() -> None:
    question = "Who is the mayor of Carrow and what freezes over in winter?"
    chosen = selector.select(question, FACTS[2:3], max_tokens=30)
    kept = chosen.kept[0]
    assert GAP in kept.text
    assert not kept.whole


def test_what_two_passages_share_is_kept_once() -> None:
    copies = [Passage(title=f"Copy {n}", text=FACTS[0].text) for n in range(3)]
    chosen = selector.select("Who is the mayor of Aldmere?", [*copies, *FACTS[1:]], max_tokens=60)
    assert " ".join(k.text for k in chosen.kept).count("Jane Hollow") == 1


def test_a_long_document_is_read_piece_by_piece() -> None:
    filler = " ".join(
        f"Paragraph {n} speaks of the weather and of nothing else." for n in range(900)
    )
    needle = "The vault code of Harlow is 7731."
    document = Passage(title="Diary", text=f"{filler} {needle} {filler}")
    chosen = selector.select("What is the vault code of Harlow?", [document], max_tokens=120)
    assert needle in chosen.kept[0].text
    assert chosen.tokens <= 120


def test_no_budget_is_refused() -> None:
    for bad in (0, -5):
        with pytest.raises(ConfigurationError):
            selector.select("q", FACTS, max_tokens=bad)
        with pytest.raises(ConfigurationError):
            ContextBudget(max_tokens=bad)


def test_no_passages_and_no_question_are_no_errors() -> None:
    assert selector.select("", [], max_tokens=5).kept == ()
    assert selector.select("", FACTS, max_tokens=60).tokens <= 60


def test_meaning_decides_where_words_do_not() -> None:
    """An embedder that knows that a physician is a doctor."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float("doctor" in t or "physician" in t), 0.1] for t in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    passages = [
        Passage(text="The baker opens at nine. He sells bread."),
        Passage(text="The physician opens at ten. She heals people."),
        Passage(text="The tailor opens at two. He mends coats."),
    ]
    ranking = rank("doctor?", passages, embed=embed)
    assert int(ranking.passages.argmax()) == 1
    assert ranking.passages.sum() == pytest.approx(1)
    plain = rank("doctor?", passages)
    assert plain.passages.max() - plain.passages.min() < 0.05


def test_an_embedder_is_not_asked_about_texts_without_words() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return np.ones((len(texts), 2), np.float32) / np.sqrt(2).astype(np.float32)

    rank("who?", [Passage(text="--- ***"), Passage(text="A word. ---")], embed=embed)
    assert all(any(map(str.isalnum, text)) for text in asked)
    assert rank("?", [Passage(text="...")], embed=embed).passages.shape == (1,)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who wrote it?", "name"),
        ("in which year did it end", "date"),
        ("how many are there", "number"),
        ("why is that", "open"),
    ],
)
def test_questions_ask_for_shapes(question: str, kind: str) -> None:
    assert answer_kind(question) == kind


def test_a_name_that_the_question_says_is_no_answer() -> None:
    assert not has_cue("name", "He met Jane Hollow.", set(terms("Jane Hollow")))
    assert has_cue("name", "He met Otto Lind.", set(terms("Jane Hollow")))
    assert not has_cue("open", "Anything 1999 Goes Here.", set())


def test_misspelt_words_are_mended_and_short_ones_are_not() -> None:
    assert corrections(["ghandi", "cat"], [{"gandhi", "car", "ghost"}]) == {"ghandi": "gandhi"}


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
    said = "".join(m.text for m in found.request.messages)
    assert "Mina Vale" in said
    assert question in said

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
def test_what_is_no_context_is_left_alone(text: str) -> None:
    assert cut_context(text, ContextBudget(max_tokens=5), selector) == text


def test_a_budget_that_holds_nothing_leaves_the_prompt_whole() -> None:
    text = context_prompt("<context>\n", "\n</context>")
    assert cut_context(text, ContextBudget(max_tokens=1), selector) == text


@pytest.mark.parametrize("opening", ["Context:\n", "<context>", "on context\n---\n"])
def test_openings_without_end_are_read_once(opening: str) -> None:
    """200,000 openings would be read for hours if each were followed to the end."""
    text = opening * 200_000
    assert cut_context(text, ContextBudget(max_tokens=5), selector) == text


def test_head_and_tail_keep_whole_pieces_and_say_what_is_missing() -> None:
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


def test_a_hard_bound_cuts_loudly_or_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    optimizer = RequestOptimizer(max_tokens=150, counter=counter)
    long = "".join(f"Line {n} of a long report. " for n in range(200))
    said = (Message(role="system", content="Be brief."), Message(role="user", content=long))
    with caplog.at_level(logging.WARNING):
        found = optimizer.optimize(ChatRequest(model="gpt-4o", messages=said))
    assert found.tokens <= 150
    assert "middle left out" in found.done[-1]
    assert "middle left out" in caplog.text

    stubborn = Message(role="user", content="word" * 2_000)
    request = ChatRequest(model="gpt-4o", messages=(stubborn,))
    found = optimizer.optimize(request)
    assert found.request is request
    assert "not kept" in found.done[-1]
    assert "cannot be cut further" in caplog.text
