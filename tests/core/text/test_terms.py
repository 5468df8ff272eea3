"""Terms of a text for finding a topic."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.text import terms, topical_terms
from llm_optimizers.text.terms import commonness, is_pair, language_of, stop_terms
from support.odd_letters import ODD_TEXTS


def test_case_accents_and_word_forms_are_merged() -> None:
    assert len(set(terms("Wrote writes WRITTEN writing"))) == 1
    assert terms("cities City's stopped taking CDs") == ["citi", "citi", "stop", "take", "cd"]
    assert terms("organization organized") == ["organiz", "organiz"]
    assert terms("Café") == terms("cafe")
    assert terms("\U0001d40c\U0001d41a\U0001d429 \uff21\uff22 STRASSE") == terms("map ab straße")


def test_scripts_without_spaces_are_cut_into_pairs() -> None:
    assert terms("東京都") == ["東京", "京都"]
    assert terms("人々は") == ["人々", "々は"]


def test_only_two_syllables_in_a_row_are_a_pair() -> None:
    assert all(is_pair(term) for term in terms("长沙的市长"))
    assert not any(map(is_pair, ["长", "ab", "长a", "长沙市", "เมือ", "42", ""]))


def test_letters_without_spaces_are_cut_into_threes_with_their_vowel_signs() -> None:
    assert terms("ที่ดิน") == ["ที", "ีด", "ดิ", "ดิน"]
    assert len(set(terms("ดิน")) & set(terms("ที่ดิน"))) == 1
    assert set(terms("ດິນ")) <= set(terms("ທີ່ດິນ"))
    assert len(terms("မြန်မာ")) == len("မြန်မာ") - 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2019年", ["2019", "年"]),
        ("Apple公司", ["apple", "公司"]),
        ("公司Apple", ["公司", "apple"]),
        ("第3次USB接口", ["第", "3", "次", "usb", "接口"]),
        ("２０１９年", ["2019", "年"]),
        ("ปี1990", ["ปี", "1990"]),
    ],
)
def test_a_word_is_cut_where_its_script_changes(text: str, parts: list[str]) -> None:
    assert terms(text) == [term for part in parts for term in terms(part)]
    assert len(terms(text)) == len(parts)


@pytest.mark.parametrize(
    ("shown", "hidden"),
    [
        ("क्या", "क्\u200dया"),
        ("میخواهم", "می\u200cخواهم"),
        ("Donaudampf", "Donau\u00addampf"),
        ("سلام", "\u200fسلام\u200e"),
    ],
)
def test_invisible_characters_do_not_split_a_word(shown: str, hidden: str) -> None:
    assert terms(shown) == terms(hidden)
    assert len(terms(hidden)) == 1


def test_abbreviations_of_programming_and_british_spelling_are_merged() -> None:
    assert terms("max_tokens args config") == terms("maximum tokens argument configuration")
    assert terms("colour licences behaviour") == terms("color license behavior")


def test_common_words_are_ranked_by_their_terms() -> None:
    ranks = commonness("english")
    assert ranks["the"] == 1
    assert ranks["give"] < 1_000
    assert "opossum" not in ranks
    assert commonness("german") == {}


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
