"""The matcher for embedders without fitted weights."""

from __future__ import annotations

import pytest

from llm_optimizers.caching.matching.matcher import CosineMatcher, MatchDecision


@pytest.fixture
def matcher() -> CosineMatcher:
    return CosineMatcher(0.9, lambda _: True)


def test_the_score_is_the_cosine_and_never_above_one(matcher: CosineMatcher) -> None:
    a, b = "How do I reset my password", "How can I reset my password"
    assert matcher.decide(a, b, 0.93) == MatchDecision(accept=True, score=0.93, reason="cosine")
    assert matcher.decide(a, b, 1.0000001).score == 1.0


def test_a_refusal_for_its_words_or_its_cosine_keeps_the_cosine(matcher: CosineMatcher) -> None:
    assert matcher.decide("mortgage", "photosynthesis", 0.95) == MatchDecision(
        accept=False, score=0.95, reason="words"
    )
    assert matcher.decide("a", "b", 0.4) == MatchDecision(accept=False, score=0.4, reason="cosine")
    assert matcher.decide("a", "b", -0.4).score == 0.0
    assert matcher.decide("mortgage", "photosynthesis", 1.0000001).score == 1.0


def test_a_quarter_of_the_words_is_enough(matcher: CosineMatcher) -> None:
    assert matcher.decide("mango linen", "mango cotton brass", 0.95).accept
    assert matcher.decide("mango linen", "mango cotton brass bronze", 0.95).reason == "words"


def test_every_guard_that_fires_is_named(matcher: CosineMatcher) -> None:
    found = matcher.decide(
        "fly from Rome to Oslo for $5", "fly from Rome to Oslo for 6 euros", 0.99
    )
    assert (found.accept, found.score, found.reason) == (False, 0.0, "number, currency")


def test_the_cosine_itself_is_enough(matcher: CosineMatcher) -> None:
    assert matcher.decide("reset my password", "reset my password", 0.9).accept


def test_both_texts_must_be_seen_whole() -> None:
    matcher = CosineMatcher(0.5, lambda text: len(text) < 10)
    for a, b in (("short", "a longer text"), ("a longer text", "short")):
        found = matcher.decide(a, b, 0.99)
        assert found == MatchDecision(
            accept=False, score=0.0, reason="longer than the embedder reads"
        )
