"""Shapes of answers and misspelt words."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.analysis import answer_type, corrections, has_answer_of_type
from llm_optimizers.text import terms


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
    assert answer_type(question) == kind


def test_a_name_that_the_question_says_is_no_answer() -> None:
    assert not has_answer_of_type("name", "He met Jane Hollow.", set(terms("Jane Hollow")))
    assert has_answer_of_type("name", "He met Otto Lind.", set(terms("Jane Hollow")))
    assert not has_answer_of_type("open", "Anything 1999 Goes Here.", set())


def test_misspelt_words_are_mended_and_short_ones_are_not() -> None:
    assert corrections(["ghandi", "cat"], [{"gandhi", "car", "ghost"}]) == {"ghandi": "gandhi"}
