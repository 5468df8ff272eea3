"""Which requests ask for samples, and that samples are never merged."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_optimizers.caching import ResponseCache, fresh_answers
from llm_optimizers.caching.options import one_batch
from llm_optimizers.caching.sampling import asks_for_sample
from llm_optimizers.freshness import fresh_asked_for
from llm_optimizers.types import ChatRequest

SAMPLES: list[tuple[dict[str, Any], ...]] = [
    ({"temperature": 0.01},),
    ({"temperature": 1},),
    ({"temperature": 0}, {"temperature": 0.5}),
    ({"options": {"temperature": 0.5}},),
    ({"model_kwargs": {"extra_body": {"temperature": 0.5}}},),
    ({"generation_config": {"temperature": 0.5, "top_k": 1}},),
    ({"top_p": 0.9},),
    ({"top_k": 40},),
    ({"n": 3},),
    ({"temperature": None, "top_p": 1.0},),
]
NO_SAMPLES: list[tuple[dict[str, Any], ...]] = [
    (),
    ({},),
    ({"temperature": 0},),
    ({"temperature": None},),
    ({"temperature": 0.7}, {"temperature": 0.0}),
    ({"temperature": 0, "top_p": 0.9},),
    ({"temperature": 0.7, "seed": 1},),
    ({"temperature": True},),
    ({"temperature": "0.7"},),
    ({"top_k": 1},),
    ({"n": 1},),
    ({"tools": {"parameters": {"temperature": 30}}},),
    ({"response_format": {"temperature": 30}},),
    ({"max_tokens": 100, "timeout": 5.0},),
]


@pytest.mark.parametrize("settings", SAMPLES)
def test_settings_that_ask_for_samples(settings: tuple[dict[str, Any], ...]) -> None:
    assert asks_for_sample(*settings)


@pytest.mark.parametrize("settings", NO_SAMPLES)
def test_settings_that_ask_for_none(settings: tuple[dict[str, Any], ...]) -> None:
    assert not asks_for_sample(*settings)


def request(**params: Any) -> ChatRequest:
    return ChatRequest.from_openai(
        {"messages": [{"role": "user", "content": "Roll a die."}], **params}
    )


def answers_at_once(cache: ResponseCache[Any], asked: ChatRequest, calls: int = 4) -> list[Any]:
    number, barrier = itertools.count(1), threading.Barrier(calls)
    lock = threading.Lock()
    entered = threading.Event()

    def call() -> str:
        entered.wait(0.2)
        with lock:
            return f"roll {next(number)}"

    def one(_: int) -> Any:
        barrier.wait(10)
        return cache.answer(asked, call).value

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(one, range(calls)))


def test_samples_at_once_are_separate_calls() -> None:
    assert len(set(answers_at_once(ResponseCache(), request(temperature=0.8)))) == 4
    assert len(set(answers_at_once(ResponseCache(), request()))) == 1


def test_what_was_stored_before_is_served() -> None:
    cache: ResponseCache[Any] = ResponseCache()
    asked = request(temperature=0.8)
    answers_at_once(cache, asked)
    assert len(set(answers_at_once(cache, asked))) == 1
    with fresh_answers():
        assert fresh_asked_for()
        assert cache.answer(asked, lambda: "another").value == "another"
    assert not fresh_asked_for()
    assert cache.answer(asked, lambda: "unused").value == "another"


def test_a_batch_never_gets_its_own_samples() -> None:
    cache: ResponseCache[Any] = ResponseCache()
    asked, number = request(temperature=0.8), itertools.count(1)
    with one_batch():
        rolls = [cache.answer(asked, lambda: f"roll {next(number)}").value for _ in range(3)]
    assert rolls == ["roll 1", "roll 2", "roll 3"]
    with one_batch():
        rolls = [cache.answer(asked, lambda: f"roll {next(number)}").value for _ in range(3)]
    assert rolls == ["roll 3"] * 3
    with one_batch():
        same = [cache.answer(request(), lambda: f"{next(number)}").value for _ in range(3)]
    assert len(set(same)) == 1
