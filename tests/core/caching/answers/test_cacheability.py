"""Which answers may be stored."""

from __future__ import annotations

from typing import Any

import pytest

from llm_optimizers.caching import Cacheability, ResponseCache, reason_not_to_cache
from llm_optimizers.caching.answers import JSONCodec
from llm_optimizers.caching.answers.cacheability import least_cacheable
from llm_optimizers.types import ChatRequest


@pytest.mark.parametrize("reason", ["", "stop", "STOP", "tool_calls", "end_turn", "completed"])
def test_complete_answers_may_be_stored(reason: str) -> None:
    assert reason_not_to_cache(Cacheability(finish_reason=reason)) is None


@pytest.mark.parametrize(
    "cacheability",
    [
        Cacheability(finish_reason="length"),
        Cacheability(finish_reason="content_filter"),
        Cacheability(finish_reason="incomplete"),
        Cacheability(finish_reason="something new"),
        Cacheability(refusal=True, finish_reason="stop"),
        Cacheability(empty=True),
    ],
)
def test_other_answers_must_not(cacheability: Cacheability) -> None:
    assert reason_not_to_cache(cacheability)


def test_a_missing_finish_reason_means_a_broken_answer_if_the_provider_always_gives_one() -> None:
    assert reason_not_to_cache(Cacheability(gives_reasons=True))
    assert reason_not_to_cache(Cacheability(gives_reasons=True, finish_reason="stop")) is None
    assert reason_not_to_cache(Cacheability(gives_reasons=False)) is None


@pytest.mark.parametrize(
    ("cacheability", "reason"),
    [
        (Cacheability(refusal=True, finish_reason="stop"), "the model refused"),
        (Cacheability(finish_reason="length"), "finish reason length"),
        (Cacheability(empty=True), "empty"),
        (Cacheability(gives_reasons=True), "no finish reason"),
    ],
)
def test_the_reason_says_what_is_wrong_with_the_answer(
    cacheability: Cacheability, reason: str
) -> None:
    assert reason_not_to_cache(cacheability) == reason


def test_as_many_answers_as_were_asked_for_may_be_stored() -> None:
    assert reason_not_to_cache(Cacheability(choices=3), choices=3) is None
    assert reason_not_to_cache(Cacheability(choices=1), choices=3) == "1 of 3 answers"
    assert reason_not_to_cache(Cacheability(choices=3), choices=1) == "3 of 1 answers"
    # Not every adapter counts answers, and not every provider's setting is known.
    assert reason_not_to_cache(Cacheability(), choices=3) is None
    assert reason_not_to_cache(Cacheability(choices=3)) is None


def test_one_uncacheable_answer_makes_the_whole_call_uncacheable() -> None:
    good, cut = Cacheability(model="m", finish_reason="stop"), Cacheability(finish_reason="length")
    assert least_cacheable([good, cut]) is cut
    assert least_cacheable([good, Cacheability(model="other")]) is good
    assert reason_not_to_cache(least_cacheable([])) == "empty"


def test_a_stored_answer_is_judged_once() -> None:
    judged: list[str] = []

    class Counting(JSONCodec):
        def cacheability(self, value: Any) -> Cacheability:
            judged.append(value)
            return super().cacheability(value)

    cache: ResponseCache[Any] = ResponseCache(codec=Counting())
    request = ChatRequest.from_openai({"messages": [{"role": "user", "content": "Hi"}]})
    cache.update(request, "Hello.")
    hits = [cache.lookup(request) for _ in range(3)]
    assert [hit is not None and hit.value for hit in hits] == ["Hello."] * 3
    assert judged == ["Hello."] * 2  # when it was stored, and when it was first served
