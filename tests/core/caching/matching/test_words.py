"""The word lists behind the guards say one thing a word."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from llm_optimizers.caching.matching import amounts
from llm_optimizers.caching.matching.amounts import DATA_PACKAGE
from llm_optimizers.text.word_lists import lines

FOLDER = Path(amounts.__file__).with_name("data")
LISTS = sorted(file.stem for file in FOLDER.glob("*.txt"))
SIDES = ("formats", "opposites")


def repeated(words: list[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


def test_every_list_is_there() -> None:
    named = {"currencies", "dates", "moments", "numbers", "ordinals", "scales", "units", *SIDES}
    assert set(LISTS) == named


@pytest.mark.parametrize("name", [name for name in LISTS if name not in SIDES])
def test_no_word_has_two_meanings(name: str) -> None:
    words = [word for line in lines(name, DATA_PACKAGE) for word in line.split(": ")[-1].split()]
    assert words
    assert repeated(words) == []
    assert all(word == word.lower() for word in words)


@pytest.mark.parametrize("name", SIDES)
def test_every_group_has_sides_that_share_no_word(name: str) -> None:
    groups = lines(name, DATA_PACKAGE)
    assert repeated(groups) == []
    for group in groups:
        sides = group.split("/")
        assert len(sides) > 1, group
        assert repeated([word for side in sides for word in side.split("=")]) == [], group
