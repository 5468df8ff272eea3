"""Words folded and stemmed, and the lists behind it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm_optimizers.text
from llm_optimizers.text import terms
from llm_optimizers.text.lexicon import CONCEPTS, PHRASES, SOFT_NEGATORS, folded, stem
from llm_optimizers.text.word_lists import word_groups, words
from support.odd_letters import ODD_TEXTS

LISTS = Path(llm_optimizers.text.__file__).parent / "data"


def test_terms_fold_and_stem() -> None:
    assert len(set(terms("Wrote writes WRITTEN writing"))) == 1
    assert terms("cities City's stopped taking") == ["city", "city", "stop", "tak"]
    assert terms("organization organized") == ["organiz", "organiz"]
    assert terms("Café") == terms("cafe")
    assert terms("東京都") == ["東京", "京都"]
    assert terms("\U0001d40c\U0001d41a\U0001d429 \uff21\uff22 STRASSE") == terms("map ab straße")


@given(st.text() | ODD_TEXTS)
def test_an_accent_may_be_a_letter_or_a_mark(text: str) -> None:
    assert terms(text) == terms(unicodedata.normalize("NFD", text))


@given(ODD_TEXTS, ODD_TEXTS)
def test_a_part_is_folded_as_in_the_whole(one: str, other: str) -> None:
    assert folded(one) + folded(other) == folded(one + other)
    assert folded(folded(one)) == folded(one)


@pytest.mark.parametrize("name", sorted(path.stem for path in LISTS.glob("*.txt")))
def test_every_list_parses_and_holds_no_word_twice(name: str) -> None:
    groups = word_groups(name)
    found = [entry for group in groups for entry in group]
    if name == "phrases":
        found = [entry for group in groups for entry in group[1:]]
        assert all(" " not in group[0] for group in groups)
    assert found
    assert len(found) == len(set(found))
    assert all(entry == entry.strip().lower() and entry for entry in found)


def test_words_and_groups_are_read_as_written() -> None:
    assert "shouldnt" in words("negators")
    assert ("child", "children") in word_groups("irregular_forms")
    assert PHRASES["sign up"] == "register"
    assert CONCEPTS[stem("purchase")] == stem("buy")
    assert stem("failed") in SOFT_NEGATORS
