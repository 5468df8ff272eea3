"""Every list of question words is written as data/README.md says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

import llm_optimizers.prompts.context.ranking as package
from llm_optimizers.prompts.context.ranking.answers import AnswerType
from llm_optimizers.prompts.context.ranking.words import question_words
from llm_optimizers.text.word_lists import languages, read_fields

ROOM = package.__name__
README = (Path(package.__file__).parent / "data" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("language", languages(ROOM))
def test_a_list_has_known_fields_and_no_word_twice(language: str) -> None:
    for field, words in read_fields("questions", language, ROOM).items():
        assert field in README
        assert [word for word, count in Counter(words).items() if count > 1] == []
        assert [word for word in words if word != word.lower()] == []


def test_a_word_stands_for_one_kind_of_answer() -> None:
    fields = question_words("english")
    assert fields is not None
    kinds = set(fields) & set(get_args(AnswerType))
    counted = Counter(word for kind in kinds for word in fields[kind])
    assert [word for word, count in counted.items() if count > 1] == []


def test_a_language_without_a_list_has_no_words() -> None:
    assert question_words("klingon") is None
