"""Every word list is written as data/README.md says."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

import llm_optimizers.text
from llm_optimizers.text.word_lists import (
    languages,
    read_fields,
    read_groups,
    read_lines,
    read_words,
)

DATA = Path(llm_optimizers.text.__file__).parent / "data"
LISTS = sorted(path.relative_to(DATA).with_suffix("").parts for path in DATA.glob("*/*.txt"))


def repeated(words: list[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


def test_every_language_has_stopwords_and_only_known_lists() -> None:
    assert {language for language, _ in LISTS} == set(languages())
    known = {"abbreviations", "common_words", "irregular_forms", "stopwords"}
    assert {name for _, name in LISTS} == known
    assert {language for language, name in LISTS if name == "stopwords"} == set(languages())


@pytest.mark.parametrize(("language", "name"), LISTS)
def test_a_list_has_no_word_twice_and_all_in_lower_case(language: str, name: str) -> None:
    lines = read_lines(name, language)
    words = [word for line in lines for word in line.split()]
    assert repeated(words) == []
    if name == "abbreviations":
        assert [word for word in words if word.endswith(".")] == []
    else:
        assert len(words) > 50
        assert [word for word in words if word != word.lower()] == []
    assert [word for word in words if not unicodedata.is_normalized("NFC", word)] == []
    assert max(map(len, lines)) <= 100


def test_lists_are_read_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"made_lists_{uuid4().hex}"  # an imported package stays imported
    folder = tmp_path / package / "data" / "english"
    folder.mkdir(parents=True)
    (folder.parent.parent / "__init__.py").touch()
    (folder / "plain.txt").write_text("# a comment\n\none two\nthree\n", encoding="utf-8")
    (folder / "fields.txt").write_text("a: one two\nb: three\na: four\n", encoding="utf-8")
    (folder / "phrases.txt").write_text("a: one two, three\nb: four five\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert languages(package) == ("english",)
    assert read_words("plain", "english", package) == {"one", "two", "three"}
    assert read_groups("plain", "english", package) == (("one", "two"), ("three",))
    assert read_fields("fields", "english", package) == {
        "a": ("one", "two", "four"),
        "b": ("three",),
    }
    assert read_fields("phrases", "english", package, separator=",") == {
        "a": ("one two", "three"),
        "b": ("four five",),
    }
