"""When a single letter is a name, and what is read of signs, flags and capitals."""

from __future__ import annotations

import itertools

import pytest

from llm_optimizers.caching.matching.guards import vetoes
from llm_optimizers.caching.matching.text_features import extract_features
from llm_optimizers.caching.matching.tokens import raw_words

LETTERS = ["A", "B", "D", "I", "M", "S", "T", "a", "b", "d", "i", "m", "s", "t"]
SIGNS = [
    "&",
    "#",
    "+",
    "%",
    "*",
    "$",
    "@",
    "/",
    "=",
    "<",
    ">",
    "!",
    "?",
    "^",
    "~",
    "|",
    "=>",
    "->",
    "[]",
    "{}",
    "...",
]


@pytest.mark.parametrize(
    "template",
    [
        "Who plays in league {}?",
        "what is the vitamin {} dose",
        "Is option {} cheaper?",
        "Where is platform {}?",
        "{} or C, which one?",
        "does hepatitis {} hurt",
    ],
)
def test_another_letter_is_another_question(template: str) -> None:
    pairs = [(x, y) for x, y in itertools.combinations(LETTERS, 2) if x.lower() != y.lower()]
    assert [(x, y) for x, y in pairs if not vetoes(template.format(x), template.format(y))] == []


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Is a kite a toy?", set()),
        ("A kite is a toy", set()),
        ("How To Fly A Kite", {"A"}),
        ("how do I book a room", set()),
        ("the kite I have", set()),
        ("what does chapter I say", {"I"}),
        ("what is type a blood", {"A"}),
        ("am I late? May I come", set()),
        ("what is the x axis", {"X"}),
        ("is it a or an", {"A"}),
    ],
)
def test_a_and_i_are_names_where_no_article_or_pronoun_can_stand(
    text: str, letters: set[str]
) -> None:
    assert {code for code in extract_features(text).amounts.codes if len(code) == 1} == letters


def test_the_tail_of_a_contraction_is_part_of_its_word() -> None:
    assert (
        extract_features("What's Anna's kite's tail? It'd fly, we've seen").amounts.codes == set()
    )


@pytest.mark.parametrize(
    "template", ["What does {} mean in awk?", "How do I type {} on a phone?", "what is 7 {} 2"]
)
def test_another_sign_is_another_question(template: str) -> None:
    pairs = itertools.combinations(SIGNS, 2)
    assert [(x, y) for x, y in pairs if not vetoes(template.format(x), template.format(y))] == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Where is .cache?", "Where is cache?"),
        ("what does tar -x do", "what does tar -X do"),
        ("run it with --quiet", "run it with --verbose"),
        ("is blood A- rare", "is blood A+ rare"),
        ("how large is US debt", "how large is our debt"),
        ("who hires IT staff", "who hires it"),
        ("is it 5*4", "is it 5/4"),
        ("is release 4.1 out", "is release 4.10 out"),
        ("parcel 123456789012345678", "parcel 123456789012345679"),
        ("pin 0042", "pin 42"),
        ("why 🙂 here", "why 🙁 here"),
        ("what is <b>", "what is b"),
    ],
)
def test_nothing_of_a_token_is_lost(a: str, b: str) -> None:
    assert vetoes(a, b)
    assert vetoes(b, a)


def test_a_sign_between_words_may_be_and() -> None:
    assert vetoes("salt & pepper", "salt and pepper") == ()


def test_raw_words_lose_only_the_punctuation_around_them() -> None:
    assert raw_words("(Wait!) it's A.B, «so» ...") == ["wait", "it's", "a.b", "so"]
