"""The word lists of the matching are written as data/README.md says, one meaning a word."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from llm_optimizers.caching.matching import vocabulary
from llm_optimizers.caching.matching.vocabulary import DATA_PACKAGE, vocabulary_for
from llm_optimizers.text.stemming import inflection_stem, stopwords
from llm_optimizers.text.word_lists import languages, read_fields, read_groups, read_lines

DATA = Path(vocabulary.__file__).parent / "data"
LISTS = sorted(path.relative_to(DATA).with_suffix("").parts for path in DATA.glob("*/*.txt"))
WORDS = {"failure_words", "moments", "negators"}
MEANINGS = {"currencies", "dates", "numbers", "ordinals", "phrases", "scales", "units"}
SIDES = {"formats", "opposites"}
OTHERS = {
    "compatible_kinds", "contractions", "frames", "function_words", "grammar", "synonyms"
}  # fmt: skip


def repeated(words: list[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


def test_every_language_has_all_lists() -> None:
    names = WORDS | MEANINGS | SIDES | OTHERS
    assert set(LISTS) == {
        (language, name) for language in languages(DATA_PACKAGE) for name in names
    }


@pytest.mark.parametrize(("language", "name"), LISTS)
def test_a_list_is_in_lower_case_and_composed(language: str, name: str) -> None:
    text = "\n".join(read_lines(name, language, DATA_PACKAGE))
    assert text
    assert text == text.lower()
    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("language", "name"), [each for each in LISTS if each[1] in WORDS | MEANINGS | {"synonyms"}]
)
def test_no_word_has_two_meanings(language: str, name: str) -> None:
    if name in MEANINGS:
        separator = "," if name == "phrases" else None
        listed = read_fields(name, language, DATA_PACKAGE, separator=separator).values()
    else:
        listed = read_groups(name, language, DATA_PACKAGE)
    assert repeated([word for words in listed for word in words]) == []


@pytest.mark.parametrize(("language", "name"), [each for each in LISTS if each[1] in SIDES])
def test_the_sides_of_a_group_share_no_stem(language: str, name: str) -> None:
    groups = read_lines(name, language, DATA_PACKAGE)
    assert repeated(groups) == []
    stem = vocabulary_for(language).stem
    for group in groups:
        sides = [set(map(stem, side.split())) for side in group.split(" / ")]
        assert len(sides) > 1, group
        assert repeated([word for side in sides for word in side]) == [], group


@pytest.mark.parametrize("language", languages(DATA_PACKAGE))
def test_every_list_is_read_and_kinds_of_question_are_known(language: str) -> None:
    found = vocabulary_for(language)
    assert found.language == language
    kinds = set().union(*found.compatible_kinds)
    assert kinds <= found.grammar.kind | {""}
    assert found.grammar.asking | found.grammar.joins <= found.grammar.kind
    assert found.grammar.vague_name <= found.grammar.vague_date <= set(found.dates)


@pytest.mark.parametrize("language", languages(DATA_PACKAGE))
def test_phrases_are_written_as_the_words_of_a_question_are(language: str) -> None:
    table = vocabulary_for(language).phrases
    written = [word for rows in table.values() for phrase, _ in rows for word in phrase]
    assert [word for word in written if not word.isalpha()] == []


@pytest.mark.parametrize("language", languages(DATA_PACKAGE))
def test_frames_are_written_as_the_words_of_a_question_are(language: str) -> None:
    frames = read_fields("frames", language, DATA_PACKAGE, separator=",")
    assert set(frames) == {"opening", "closing"}
    for phrases in frames.values():
        assert repeated(list(phrases)) == []
        assert [word for phrase in phrases for word in phrase.split() if not word.isalpha()] == []


@pytest.mark.parametrize("language", languages(DATA_PACKAGE))
def test_every_stopword_but_a_letter_is_a_function_word(language: str) -> None:
    words = {word for word in stopwords(language) if len(word) > 1}
    assert words - vocabulary_for(language).function_words == set()


def test_lists_mean_what_they_say() -> None:
    english = vocabulary_for("english")
    assert english.negator_kinds["no"] == english.negator_kinds["not"]
    assert english.spelled_out["shouldnt"] == ("should", "not")
    assert english.phrases["sign"][-1][1] in {"login", "logout", "register"}
    assert english.synonyms[inflection_stem("purchase")] == inflection_stem("buy")
    assert inflection_stem("failed") in english.failure_stems
    assert english.units["kilos"] == "kg"
    assert english.scales["million"] == 1_000_000


def test_a_language_without_lists_gets_the_english_ones() -> None:
    assert vocabulary_for("finnish") is vocabulary_for("english")
