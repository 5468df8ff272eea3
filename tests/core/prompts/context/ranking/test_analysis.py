"""Answer types and corrected spelling."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.ranking.analysis import (
    Passage,
    answer_type,
    corrections,
    has_answer_of_type,
    passage_terms,
    question_terms,
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


def test_misspelt_words_are_corrected_unless_they_are_short() -> None:
    assert corrections(["ghandi", "cat"], [{"gandhi", "car", "ghost"}]) == {"ghandi": "gandhi"}


def test_a_word_that_is_common_in_english_weighs_less_than_a_rare_one() -> None:
    texts = ["Give lemur water, gib acht.", "The keeper gave way, gib.", "A lemur sat there."]
    passages = [passage_terms(Passage(text=text), "english") for text in texts]
    asked = question_terms("give lemur", passages, "english")
    assert asked.weight["lemur"] > 1.5 * asked.weight["give"]
    assert sum(asked.weight.values()) == pytest.approx(1)
    other = question_terms("gib lemur", passages, "german")
    assert set(other.weight.values()) == {0.5}


def test_a_pair_of_syllables_in_no_passage_weighs_less_than_a_word_would() -> None:
    texts = ["长沙的市长是李明。", "港口在一八二〇年开放。"]
    found = [passage_terms(Passage(text=text), "chinese") for text in texts]
    asked = question_terms("长沙的市长是谁？", found, "chinese")
    assert asked.weight["是谁"] < asked.weight["长沙"]
    words = [passage_terms(Passage(text=text), "english") for text in ("Carrow mayor", "harbour")]
    plain = question_terms("Which nitrogen mayor?", words, "english")
    assert plain.weight["nitrogen"] > plain.weight["mayor"]
