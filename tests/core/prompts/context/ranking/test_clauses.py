"""The questions inside a question."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.ranking.analysis import Passage, passage_terms
from llm_optimizers.prompts.context.ranking.clauses import clauses


@pytest.mark.parametrize(
    ("question", "inside"),
    [
        (
            "Which port does Ado use, and who wrote the Bel parser?",
            ("Which port does Ado use, and", "who wrote the Bel parser?"),
        ),
        (
            "What is Ado's default port? Since which release is it open?",
            ("What is Ado's default port?", "Since which release is it open?"),
        ),
        (
            "How long does Ado wait and does Bel try again?",
            ("How long does Ado wait and", "does Bel try again?"),
        ),
        (
            "How do ado and bel cache rows?",
            ("How do ado cache rows?", "How do bel cache rows?"),
        ),
        (
            "Which is older, ado or bel?",
            ("Which is older, ado", "Which is older, bel?"),
        ),
        (
            "Which limits have the pools of readers and of single writers?",
            (
                "Which limits have the pools of readers",
                "Which limits have the pools of single writers?",
            ),
        ),
    ],
)
def test_a_question_that_asks_for_two_things_has_two_clauses(
    question: str, inside: tuple[str, ...]
) -> None:
    assert clauses(question, "english") == inside


@pytest.mark.parametrize(
    "question",
    [
        "",
        "and",
        "and and and",
        "Which port does Ado use?",
        "Is it fast, and why?",
        "A harness came back broken but looks new. Can it be sold?",
        "Who wrote it and what is that?",
        "What does the reader and the reader do?",
        "? ; ? ;",
        "Which port, which path, which user? " * 60,
        "Who wrote Ado? Who wrote Bel? Who wrote Cid? Who wrote Dot? Who wrote Eli?",
    ],
)
def test_other_questions_have_none(question: str) -> None:
    assert clauses(question, "english") == ()


def test_questions_in_a_language_without_a_list_are_left_whole() -> None:
    assert clauses("Welchen Port nutzt Ado, und wer schrieb Bel?", "german") == ()


def test_two_words_that_a_passage_has_side_by_side_are_one_thing() -> None:
    asked = "Who wrote salt and smoke in the end?"
    apart = [passage_terms(Passage(text=text), "english") for text in ("Salt.", "And smoke.")]
    joined = passage_terms(Passage(text="A salt song. Salt and smoke is by Vale."), "english")
    assert len(clauses(asked, "english", apart)) == 2
    assert clauses(asked, "english", [*apart, joined]) == ()
