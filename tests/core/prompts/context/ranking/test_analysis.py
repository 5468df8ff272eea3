"""Words and their weights; corrected spelling."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.ranking.analysis import (
    Passage,
    corrections,
    passage_terms,
    question_terms,
)


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
