"""The question of a prompt is found in the text around its context."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.documents.asking import question_in

QUESTION = "Which option sets the time limit?"
LONG = "Answer briefly, name the option, and give its default if the manual says it. " * 5


@pytest.mark.parametrize("name", ["documents", "context", "search_results", 'docs kind="manual"'])
@pytest.mark.parametrize("instructions", ["", LONG + "\n\n"], ids=["alone", "instructed"])
def test_the_tags_of_a_section_are_no_part_of_the_question(name: str, instructions: str) -> None:
    around = f"{instructions}<{name}>\n\n</{name.split()[0]}>\n\n{QUESTION}"
    assert question_in(around) == QUESTION


def test_a_tag_that_is_asked_about_stays() -> None:
    assert question_in("What does <div> do?") == "What does <div> do?"
    assert question_in("<div>") == "<div>"
