"""The type of answer that a question asks for."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.ranking.answers import answer_type, has_answer_of_type
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
def test_a_question_asks_for_a_type_of_answer(question: str, kind: str) -> None:
    assert answer_type(question) == kind


def test_a_name_from_the_question_is_no_answer() -> None:
    assert not has_answer_of_type("name", "He met Jane Hollow.", set(terms("Jane Hollow")))
    assert has_answer_of_type("name", "He met Otto Lind.", set(terms("Jane Hollow")))
    assert not has_answer_of_type("open", "Anything 1999 Goes Here.", set())
