"""The type of answer that a question asks for."""

from __future__ import annotations

from typing import get_args

import pytest

from llm_optimizers.prompts.context.ranking.answers import (
    AnswerType,
    answer_type,
    has_answer_of_type,
)
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


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Which release of Ado dropped it?", "version"),
        ("Since which Ado versions is it there?", "version"),
        ("Which flag of the command line turns colours off?", "option"),
        ("What environment variable holds the path?", "option"),
        ("Which exception do I get?", "error"),
        ("What is raised if the port is taken?", "error"),
        ("Which method closes the file?", "call"),
        ("Which version number has it?", "number"),
        ("Under which licence is Ado published?", "licence"),
        ("In which file are its settings?", "file"),
        ("What is the maximum size of a packet?", "number"),
        ("How wide is the margin?", "number"),
        ("When was it built?", "date"),
        ("since when", "date"),
        ("Which port is used when the first is taken?", "number"),
        ("What happens when two writers meet?", "open"),
        ("What does the version that came last do?", "open"),
        ("Is it raised?", "open"),
    ],
)
def test_documentation_is_asked_for_things_of_a_certain_form(question: str, kind: str) -> None:
    assert answer_type(question) == kind


@pytest.mark.parametrize(
    ("kind", "answer", "other"),
    [
        ("version", "It came with 2.4.", "It came with the second one."),
        ("option", "Pass --no-colour to it.", "Pass another word to it - or none."),
        ("option", "Set ADO_HOME first.", "Set ADO first."),
        ("error", "It raises PortTakenError then.", "It raises an error then."),
        ("call", "Call `close` at the end.", "Close it at the end."),
        ("call", "Then db.close() is due.", "Then it is due."),
        ("licence", "MIT", "The mitten is free."),
        ("file", "It reads /etc/ado.conf first.", "It reads a file first."),
        ("command", "Run:\n$ ado serve", "Run it."),
    ],
)
def test_a_text_has_an_answer_of_such_a_form_or_not(
    kind: AnswerType, answer: str, other: str
) -> None:
    assert has_answer_of_type(kind, answer, set())
    assert not has_answer_of_type(kind, other, set())


def test_an_identifier_from_the_question_is_no_answer() -> None:
    asked = set(terms("Which option of parse_rows() skips them?"))
    assert not has_answer_of_type("option", "Call parse_rows() first.", asked)
    assert has_answer_of_type("option", "Call parse_rows(strict=True).", asked)


def test_a_language_without_question_words_has_open_answers_only() -> None:
    assert answer_type("Who wrote it?", "german") == "open"


@pytest.mark.parametrize("letter", ["a", "A", "-", "`", "/", "a.", "aB", "_a", "$ "])
def test_long_texts_are_searched_in_linear_time(letter: str) -> None:
    text = letter * (200_000 // len(letter))
    for kind in get_args(AnswerType):
        has_answer_of_type(kind, text, set())
