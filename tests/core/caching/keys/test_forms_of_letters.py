"""Capitals and forms of letters that make another question, in both tiers that even texts out."""

from __future__ import annotations

import unicodedata

import pytest

from llm_optimizers.caching.keys import normalise
from llm_optimizers.caching.keys.questions import only_characters_differ

OTHER_QUESTIONS = [
    ("What is the ASCII code of A?", "What is the ASCII code of a?"),
    ("What is the Unicode code point of Ä?", "What is the Unicode code point of ä?"),
    ("What is the MD5 of Hello?", "What is the MD5 of hello?"),
    ("What is the SHA-256 of Hello World?", "what is the SHA-256 of hello world?"),
    ("What is Hello in Base64?", "What is hello in Base64?"),
    ("How many kB are in a MB?", "How many kb are in a MB?"),
    ("How many mol per litre are 5 nM?", "How many mol per litre are 5 nm?"),
    ("How much is 5 µM of it?", "How much is 5 µm of it?"),
    ("How much is 5mW in all?", "How much is 5MW in all?"),
    ("How fast are 10 Mb per second?", "How fast are 10 mb per second?"),
    ("How many mm are in an inch?", "How many Mm are in an inch?"),
    ("Is an Ms longer than a day?", "Is an ms longer than a day?"),
    ("How many kWh are in a Mj?", "How many kWh are in a mj?"),
    ("How many horsepower are 5 MW?", "How many horsepower are 5 mw?"),
    ("How long does it take to send 5 MB?", "How long does it take to send 5 mb?"),
    ("How many metres are 5 PM?", "How many metres are 5 Pm?"),
    ("How many tesla are 5 G?", "How many tesla are 5 g?"),
    ("What is at example.com/aB?", "What is at example.com/ab?"),
    ("What is the video dQw4w9WgXcQ?", "What is the video dqw4w9wgxcq?"),
    ("What does Δ stand for?", "What does δ stand for?"),
    ("Is CO harmful?", "Is Co harmful?"),
    ("What does 'Hello' do?", "What does 'hello' do?"),
    ("What does git add -A do?", "What does git add -a do?"),
    ("How much is 10² in all?", "How much is 102 in all?"),
]


@pytest.mark.parametrize(("text", "other"), OTHER_QUESTIONS)
def test_capitals_that_matter_are_kept(text: str, other: str) -> None:
    assert normalise(text) is None or normalise(text) != normalise(other)
    assert only_characters_differ(text, other)
    assert only_characters_differ(other, text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("How do I Reset my Password?", "how do i reset my password"),
        ("How do I change My Name?", "how do i change my name?"),
        ("Who is Mr Bean to Me?", "who is mr bean to me?"),
        ("Ms or Mrs?", "ms or mrs?"),
        ("Is JavaScript fast?", "is javascript fast?"),
        ("Do I need vitamin C?", "do i need vitamin c?"),
        ("How heavy is an iPhone 15 Pro?", "how heavy is an iphone 15 pro?"),
        ("Is it open at 10 Monday to Friday?", "is it open at 10 monday to friday?"),
    ],
)
def test_capitals_that_are_typed_or_not(text: str, other: str) -> None:
    assert normalise(text) == normalise(other) is not None
    assert not only_characters_differ(text, other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("What does the API return?", "what does the api return?"),
        ("Do you ship to the US?", "do you ship to the us?"),
        ("Do you open at 5 PM?", "Do you open at 5 pm?"),
        ("Who wrote it?", "Who sold it?"),
        ("Can't I return a Phone Case?", "can't i return a phone case?"),
        ("Note: How do I return it?", "note: how do i return it?"),
        ("How many bytes are in a kilobyte?", "How many bytes are in a kilobyte"),
    ],
)
def test_the_meaning_decides_where_letters_may_be_the_same(text: str, other: str) -> None:
    assert not only_characters_differ(text, other)


E_ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (
            f"Is {E_ACUTE} equal to {unicodedata.normalize('NFD', E_ACUTE)} in Python?",
            f"Is {E_ACUTE} equal to {E_ACUTE} in Python?",
        ),
        (
            f"How many bytes is {unicodedata.normalize('NFD', E_ACUTE)}?",
            f"How many bytes is {E_ACUTE}?",
        ),
        ("Are \ufa19 and \u795e one name?", "Are \u795e and \u795e one name?"),
        ("Is co\u00adop equal to coop?", "Is coop equal to coop?"),
        ("Is Polish older than polish?", "Is polish older than polish?"),
    ],
)
def test_two_forms_in_one_text_are_what_it_is_about(text: str, other: str) -> None:
    assert normalise(text) is None
    assert normalise(other) != normalise(text) or normalise(other) is None


def test_decomposed_text_of_any_script_is_the_composed_one() -> None:
    for text in ("가나다 주세요", "Tiếng Việt là gì", "क़लम क्या है", "naïve café"):
        assert normalise(unicodedata.normalize("NFD", text)) == normalise(text) is not None
