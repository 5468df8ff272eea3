"""A context is cut less, or not at all, where what is left is unlikely to hold the answer."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import ContextBudget, ContextCut, Passage, PassageSelector, TokenCounter
from llm_optimizers.prompts.context import MIN_PROBABILITY, KeptPassage, Selection
from support.prompt_texts import FACTS

counter = TokenCounter()
BUDGET = 60


def kept_of(
    request: str,
    passages: list[Passage] = FACTS,
    *,
    max_tokens: int = BUDGET,
    min_probability: float | None = MIN_PROBABILITY,
) -> tuple[tuple[KeptPassage, ...] | None, list[ContextCut]]:
    cuts: list[ContextCut] = []
    selector = PassageSelector(counter=counter, min_probability=min_probability, report=cuts.append)
    return selector.keep(request, passages, max_tokens=max_tokens), cuts


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("What is the boiling point of nitrogen?", "too little in common"),
        ("who invented the telephone exchange", "too little in common"),
        ("Wie viele Einwohner hat die Hauptstadt?", "too little in common"),  # another language
        ("Где находится школа?", "too little in common"),
        ("Summarise the documents above.", "needs all"),
        ("Could you please sum up these texts?", "needs all"),
        ("What are the differences between these towns?", "needs all"),
        ("List all mayors.", "needs all"),
        ("How many of the documents mention a harbour?", "needs all"),
        ("Translate the context to Italian.", "needs all"),
        ("Write a reply to this visitor using the texts.", "needs all"),
        ("Fasse alle Texte zusammen.", "needs all"),
        ("¿Cuántos documentos mencionan el puerto?", "needs all"),
        ("Перечисли всех мэров.", "needs all"),
        ("لخص النصوص", "needs all"),
        ("दस्तावेज़ों का सारांश लिखें।", "needs all"),
        ("สรุปเอกสาร", "needs all"),
        ("请总结这些文件。", "needs all"),
        ("And the second one?", "no words to look for"),
        ("Und der zweite?", "no words to look for"),
        ("Why?", "no words to look for"),
        ("What else?", "no words to look for"),
        ("", "no words to look for"),
        ("?!", "no words to look for"),
    ],
)
def test_a_request_that_no_part_can_answer_keeps_everything(request_: str, reason: str) -> None:
    kept, (cut,) = kept_of(request_)
    assert kept is None
    assert reason in cut.reason
    assert not cut.changed
    assert cut.tokens == cut.tokens_before > cut.budget == BUDGET
    assert [each.kept for each in cut.documents] == ["whole"] * len(FACTS)
    if "too little" not in reason:
        assert cut.probability is None
    else:
        assert cut.probability is not None
        assert cut.probability < MIN_PROBABILITY


@pytest.mark.parametrize(
    "request_",
    [
        "Who is the mayor of Carrow?",
        "mayor carrow",
        "Question: Who is the mayor of Carrow?",
        "Answer in one sentence and cite every source.\n\nQuestion: Who is the mayor of Carrow?\n"
        "Answer:",
        "Question: Who rules Elmstead?\nAnswer: Ida Quill.\n\nQuestion: Who is the mayor of Carrow?"
        "\nAnswer:",
        "You are a careful assistant for visitors. Use only what is given, and if you cannot find "
        "a reply there, admit it politely.\n\nWho is the mayor of Carrow?",
        "Use what is given. Reply like a friendly guide would, in plain words without jargon, and "
        "never guess. Who is the mayor of Carrow?",
        "Who is the mayor of Carrow? List every source.",
    ],
)
def test_instructions_around_a_question_do_not_hide_it(request_: str) -> None:
    kept, (cut,) = kept_of(request_)
    assert kept is not None
    assert "Mina Vale" in " ".join(each.text for each in kept)
    assert cut.reason == ""
    assert cut.tokens <= BUDGET
    assert cut.probability is not None
    assert cut.probability >= MIN_PROBABILITY


def test_a_task_is_read_from_the_label_and_not_from_the_example_before_it() -> None:
    request = "Question: Who rules Elmstead?\nAnswer: Ida.\n\nQuestion: Summarise it.\nAnswer:"
    kept, (cut,) = kept_of(request)
    assert kept is None
    assert "needs all" in cut.reason


def alike(count: int) -> list[Passage]:
    """Return documents that answer a question about the harbour equally well."""
    return [
        Passage(text=f"The harbour of town {n} opened in {1800 + n}. Its walls are grey.")
        for n in range(count)
    ]


def test_more_is_kept_until_it_is_likely_enough() -> None:
    request = "When did the harbour open?"
    kept, (cut,) = kept_of(request, alike(20), max_tokens=60, min_probability=0.6)
    assert kept is not None
    assert "more was kept" in cut.reason
    assert 60 < cut.tokens < cut.tokens_before
    assert cut.probability is not None
    assert cut.probability >= 0.6
    _, (smaller,) = kept_of(request, alike(20), max_tokens=60, min_probability=0.3)
    assert smaller.tokens < cut.tokens


def test_if_every_document_may_have_the_answer_all_are_kept() -> None:
    passages = [Passage(text=f"The harbour of town {n} opened in {1800 + n}.") for n in range(3)]
    request = "When did the harbour open?"
    kept, (cut,) = kept_of(request, passages, max_tokens=25, min_probability=0.9)
    assert kept is None
    assert "too many of the documents" in cut.reason


@pytest.mark.parametrize("request_", ["Summarise it.", "And this?", "Who discovered helium?"])
def test_without_a_minimum_the_budget_is_always_kept(request_: str) -> None:
    kept, (cut,) = kept_of(request_, min_probability=None)
    assert kept is not None
    assert cut.tokens <= BUDGET
    assert cut.reason == ""


def test_copies_of_a_document_do_not_make_its_answer_less_likely() -> None:
    question = "Who is the mayor of Carrow?"
    kept, (cut,) = kept_of(question, [FACTS[2]] * 9 + FACTS)
    assert kept is not None
    assert cut.probability == pytest.approx(kept_of(question)[1][0].probability, abs=0.1)
    assert len(cut.dropped) == 14


def test_what_fits_is_not_reported() -> None:
    assert kept_of("Summarise it.", max_tokens=10_000) == (None, [])


def test_a_budget_without_room_for_a_sentence_says_so() -> None:
    kept, (cut,) = kept_of("Who is the mayor of Carrow?", max_tokens=1)
    assert kept is None
    assert "no part of the documents fits" in cut.reason


def test_a_failing_report_costs_no_cut(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: ContextCut) -> None:
        raise OSError("secret")

    selector = PassageSelector(counter=counter, report=broken)
    assert selector.keep("Who is the mayor of Carrow?", FACTS, max_tokens=BUDGET) is not None
    assert "`report` failed" in caplog.text
    assert "secret" not in caplog.text


def test_by_default_cuts_are_logged_without_titles_or_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    selector = PassageSelector(counter=counter)
    with caplog.at_level(logging.DEBUG, logger="llm_optimizers.prompts"):
        selector.keep("Who is the mayor of Carrow?", FACTS, max_tokens=BUDGET)
        selector.keep("Summarise it.", FACTS, max_tokens=BUDGET)
    assert [record.levelno for record in caplog.records] == [logging.DEBUG, logging.INFO]
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "context 337 -> 54 tokens; 1 of 6 documents whole, 0 cut, 5 dropped"
    assert second == "context of 337 tokens not cut to 60: the request needs all of the documents"


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_a_minimum_that_is_no_probability_is_rejected(bad: float) -> None:
    with pytest.raises(ConfigurationError, match="min_probability"):
        ContextBudget(max_tokens=10, min_probability=bad)


def test_a_long_request_is_read_in_linear_time() -> None:
    long = "Question: summarise all documents? " * 60_000
    assert kept_of(long, FACTS)[1][0].documents
    assert kept_of("Question:\n" * 200_000, FACTS)[1][0].documents


def test_a_small_budget_for_a_long_context_is_raised_in_few_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets: list[int] = []
    select = PassageSelector.select

    def counting(self: PassageSelector, *args: Any, max_tokens: int) -> Selection:
        budgets.append(max_tokens)
        return select(self, *args, max_tokens=max_tokens)

    monkeypatch.setattr(PassageSelector, "select", counting)
    kept_of("When did the harbour open?", alike(200), max_tokens=20, min_probability=0.9)
    assert len(budgets) <= 5
    assert budgets == sorted(budgets)
    assert budgets[0] == 20
