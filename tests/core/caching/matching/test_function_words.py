"""Small words: which differences are harmless, and that all others refuse a pair."""

from __future__ import annotations

import itertools

import pytest

from llm_optimizers.caching.matching.guards import vetoes
from llm_optimizers.caching.matching.matcher import CosineMatcher, matcher_for
from llm_optimizers.embeddings import StaticEmbedder

PLACES = [
    "under",
    "above",
    "behind",
    "near",
    "with",
    "without",
    "from",
    "to",
    "into",
    "for",
    "by",
    "at",
    "before",
    "after",
]
OWNERS = ["my", "his", "her", "their", "your"]
PERSONS = ["he", "she", "they", "we", "you"]


def differ(a: str, b: str) -> bool:
    assert bool(vetoes(a, b)) == bool(vetoes(b, a))
    return bool(vetoes(a, b))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("can I camp {} the lake", PLACES),
        ("who feeds {} horse", OWNERS),
        ("where did {} study", PERSONS),
        ("is the coach waiting for {}", ["me", "him", "her", "us", "them"]),
        ("should I translate {}", ["this", "that", "these", "those"]),
        ("do {} wolves howl", ["all", "some", "most", "both", "few"]),
        ("has the train {} left", ["already", "still", "never", "only", "even"]),
        ("who {} own the mill", ["did", "does", "will", "would", "should", "must", "might"]),
        ("do I tip {} I leave", ["if", "unless", "because", "while", "before"]),
        ("how often {} a cat sneeze", ["can", "should", "must", "will", "did"]),
    ],
)
def test_one_function_word_for_another_is_another_question(template: str, words: list[str]) -> None:
    alike = [
        (x, y)
        for x, y in itertools.combinations(words, 2)
        if not differ(template.format(x), template.format(y))
    ]
    assert alike == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("where can I rent a tent", "where do I rent a tent"),
        ("how do I prune a rose", "how can one prune roses"),
        ("what is the price of my ticket", "what is the price of the ticket"),
        ("what's the date on the parcel", "what is the date of the parcel"),
        ("which are the best trails", "what are some of the best trails"),
        ("I would like to rent a canoe", "please can you rent a canoe"),
        ("there are bees in the attic", "bees are in the attic"),
        ("is it safe to swim here", "is swimming safe here"),
        ("I know that you sell maps", "I know you sell maps"),
        ("why has the bridge been closed", "why was the bridge closed"),
        ("I didn't see it", "I did not see it"),
    ],
)
def test_a_harmless_word_may_be_missing_or_another(a: str, b: str) -> None:
    assert not differ(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what is my credit score", "what is a credit score"),
        ("what does a plumber do", "what is a plumber"),
        ("can I borrow the van", "can you borrow the van"),
        ("I lost a glove", "why did I lose a glove"),
        ("can I swim with my dog to the isle", "can I swim to my dog with the isle"),
        ("2 adults and 3 kids", "3 adults and 2 kids"),
        ("from 5 to 10 guests", "from 10 to 5 guests"),
        ("do my aunt and his cousin vote", "do his aunt and my cousin vote"),
        ("does it trust you", "do you trust it"),
        ("how do I get hired", "how do I hire"),
        ("how many days are in a term", "how many weeks are in a term"),
    ],
)
def test_whose_who_and_what_belongs_together_is_compared(a: str, b: str) -> None:
    assert differ(a, b)


def test_a_word_follows_the_construction_only_where_two_texts_are_built_differently() -> None:
    assert not differ("why is the value of silver falling", "why is silver's value falling")
    assert differ("why is silver falling in value", "why is silver falling by value")
    assert differ("I need to sit with the window", "how can I sit to the window")
    assert differ("I want to fold this", "how do I fold that")


@pytest.mark.parametrize(
    ("a", "b", "harmless"),
    [
        ("how do I learn about physics", "how do I learn physics", True),
        ("why is it so cold in Oslo", "why is it cold in Oslo", True),
        ("what is your best song and why", "what is your best song", True),
        ("what else do I need at school", "what do I need at school", False),
        ("how do I call from Malta", "how do I call Malta", False),
        ("is the shop almost closed", "is the shop closed", False),
        ("is the pool always open", "is the pool open", False),
        ("where was the museum", "where is the museum", False),
        ("when must I pay", "when do I pay", False),
        ("how do I learn about physics", "how do I learn from physics", False),
    ],
)
def test_a_word_may_be_missing_unless_it_is_a_strong_one(a: str, b: str, harmless: bool) -> None:
    assert differ(a, b) is not harmless
    assert differ(b, a) is not harmless


@pytest.mark.parametrize(
    "template",
    [
        "how is {} pronounced",
        "is {} an adverb",
        "when do I use {}",
        "what is the plural of {}",
        "is {} a keyword in Python",
        "what is the difference between {} and because",
        "is this sentence grammatical: we {} gone",
    ],
)
def test_every_word_that_is_spoken_about_counts(template: str) -> None:
    words = [
        "the",
        "a",
        "is",
        "are",
        "has",
        "have",
        "does",
        "could",
        "my",
        "please",
        "really",
        "now",
        "of",
        "that",
        "it",
        "very",
    ]
    pairs = itertools.combinations(words, 2)
    assert [(x, y) for x, y in pairs if not differ(template.format(x), template.format(y))] == []


def test_both_matchers_have_the_guards() -> None:
    matcher = CosineMatcher(0.5, lambda _: True)
    assert matcher.decide("paint her barn", "paint their barn", 0.999).reason == "word"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Das war teuer und gut", "Das wird teuer und gut"),
        ("wo ist die post", "wo ist eine post"),
        ("je vais à nantes avec toi", "je vais de nantes avec toi"),
        ("voy a lugo", "voy de lugo"),
        ("この駅へ行きたい", "この駅で行きたい"),
        ("如何种植红色的花朵", "如何种植白色的花朵"),
    ],
)
def test_another_word_in_a_language_without_lists_is_another_text(a: str, b: str) -> None:
    assert not matcher_for(StaticEmbedder()).decide(a, b, 0.999).accept
