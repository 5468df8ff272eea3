"""Terms of a text for finding a topic."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.text import terms, topical_terms
from llm_optimizers.text.terms import language_of, stop_terms
from support.odd_letters import ODD_TEXTS


def test_case_accents_and_word_forms_are_merged() -> None:
    assert len(set(terms("Wrote writes WRITTEN writing"))) == 1
    assert terms("cities City's stopped taking CDs") == ["citi", "citi", "stop", "take", "cd"]
    assert terms("organization organized") == ["organiz", "organiz"]
    assert terms("Café") == terms("cafe")
    assert terms("\U0001d40c\U0001d41a\U0001d429 \uff21\uff22 STRASSE") == terms("map ab straße")


def test_scripts_without_spaces_are_cut_into_pairs() -> None:
    assert terms("東京都") == ["東京", "京都"]


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Wer baute die Brücken über den Rhein?", "Die Brücke wurde von einem Ingenieur gebaut."),
        ("Где находится Красная площадь?", "Музеи есть в Кремле и на площади."),
        ("¿Cuáles son los puertos más grandes?", "El puerto es uno de los de mayor tráfico."),
        ("भारत की नदियों के नाम क्या हैं", "यह नदी भारत के उत्तर में है"),
        ("ما هي المدن الكبيرة", "هذه المدينة الكبيرة في الشمال"),
    ],
)
def test_word_forms_meet_in_other_languages(question: str, passage: str) -> None:
    language = language_of([question, passage])
    shared = set(topical_terms(question, language)) & set(topical_terms(passage, language))
    assert shared


def test_topical_terms_are_those_that_are_no_stopwords() -> None:
    assert topical_terms("How do I reset my password?") == ["reset", "password"]
    assert topical_terms("Wie heißt die Stadt und wer hat sie gebaut?") == [
        "heisst",
        "stadt",
        "gebaut",
    ]
    assert stop_terms("english") >= {"the", "have", "whi"}


@given(st.text() | ODD_TEXTS)
def test_an_accent_may_be_a_letter_or_a_mark(text: str) -> None:
    assert terms(text) == terms(unicodedata.normalize("NFD", text))


@given(st.text() | ODD_TEXTS)
def test_no_term_is_empty(text: str) -> None:
    assert all(terms(text))
