"""When a name and another form of it are no difference, and when they are."""

from __future__ import annotations

import pytest

from llm_optimizers.caching.matching.guards import vetoes


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Is Indian food spicy", "Is food from India spicy"),
        ("what do Iranian people eat", "what do people in Iran eat"),
        ("where is the UK", "where is the United Kingdom"),
        ("where is the USA", "where is the United States of America"),
        (
            "what does UNHCR do",
            "what does the United Nations High Commissioner for Refugees do",
        ),
    ],
)
def test_a_longer_form_or_the_initials_are_the_same_name(a: str, b: str) -> None:
    assert vetoes(a, b) == ()
    assert vetoes(b, a) == ()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("who is Tomas", "who is Tom"),
        ("where is the UK", "where is Kiribati"),
        (
            "what does UNESCO do",
            "what does the United Nations Educational Scientific and Cultural Organization do",
        ),
        (
            "is there an office of UNESCO in this town",
            "is there an office of UNESCO the United Nations Educational Scientific and Cultural"
            " Organization in this town",
        ),
    ],
)
def test_a_short_beginning_other_initials_or_six_of_them_are_another_name(a: str, b: str) -> None:
    assert "name" in vetoes(a, b)
    assert "name" in vetoes(b, a)
