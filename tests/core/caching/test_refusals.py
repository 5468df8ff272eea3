"""Refused answers: never served again, whoever else got them, and nothing else is dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.caching import CallOptions, GivenAnswer, ResponseCache, fresh_answers
from llm_optimizers.caching.refusals import RefusedAnswers, answers_given, refuse_all
from llm_optimizers.types import ChatRequest, Message

REQUEST = ChatRequest(messages=(Message(role="user", content="How do I reset my password?"),))
PARAPHRASE = ChatRequest(messages=(Message(role="user", content="How can I reset my password?"),))


class Answers:
    """Numbered answers, and the calls made for them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        return f"answer {self.made}"


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ResponseCache[Any]:
    return ResponseCache(path=None if request.param == "memory" else tmp_path / "cache.db")


def given_by(cache: ResponseCache[Any], request: ChatRequest, call: Any) -> GivenAnswer:
    with answers_given() as given:
        cache.answer(request, call)
    (answer,) = given
    return answer


def test_a_refused_answer_leaves_the_cache(cache: ResponseCache[Any]) -> None:
    call = Answers()
    cache.refuse(given_by(cache, REQUEST, call))
    assert len(cache) == 0
    assert cache.answer(REQUEST, call).value == "answer 2"
    assert cache.answer(REQUEST, call).value == "answer 2"


def test_a_refused_semantic_hit_leaves_the_cache(cache: ResponseCache[Any]) -> None:
    call = Answers()
    cache.answer(REQUEST, call)
    answer = given_by(cache, PARAPHRASE, call)
    assert answer.entry != answer.key
    cache.refuse(answer)
    assert len(cache) == 0
    assert cache.answer(PARAPHRASE, call).hit is None


def test_a_retry_is_fresh_even_if_another_answer_is_near(cache: ResponseCache[Any]) -> None:
    call = Answers()
    answer = given_by(cache, PARAPHRASE, call)
    cache.answer(REQUEST, call)
    cache.update(REQUEST, "answer of the other question")
    cache.refuse(answer)
    assert cache.answer(PARAPHRASE, call).hit is None


def test_an_answer_that_replaced_the_refused_one_stays(cache: ResponseCache[Any]) -> None:
    call = Answers()
    first = given_by(cache, REQUEST, call)
    with fresh_answers():
        cache.answer(REQUEST, call)
    cache.refuse(first)
    assert cache.lookup(REQUEST) is None, "the retry is a fresh call"
    found = cache.lookup(REQUEST)
    assert found is not None
    assert found.value == "answer 2"


def test_one_fresh_call_is_enough_for_all_who_shared_an_answer(cache: ResponseCache[Any]) -> None:
    call = Answers()
    answer = given_by(cache, REQUEST, call)
    for _ in range(3):
        cache.refuse(answer)
    assert [cache.answer(REQUEST, call).hit is None for _ in range(3)] == [True, False, False]
    cache.refuse(answer)
    assert [cache.answer(REQUEST, call).value for _ in range(2)] == ["answer 3", "answer 3"]


def test_an_entry_that_cannot_be_removed_is_not_served(tmp_path: Path) -> None:
    cache: ResponseCache[Any] = ResponseCache(path=tmp_path / "cache.db")
    other: ResponseCache[Any] = ResponseCache(path=tmp_path / "cache.db")
    call = Answers()
    answer = given_by(cache, REQUEST, call)
    cache.refuse(answer)
    other.update(REQUEST, "answer 1")  # as if the removal had failed
    assert cache.lookup(REQUEST) is None
    assert cache.lookup(REQUEST) is None
    assert len(other) == 0


async def test_refusing_in_an_event_loop(cache: ResponseCache[Any]) -> None:
    call = Answers()

    async def acall() -> str:
        return call()

    with answers_given() as given:
        await cache.aanswer(REQUEST, acall)
    refuse_all(given)
    answers = [await cache.aanswer(REQUEST, acall) for _ in range(2)]
    assert [answer.value for answer in answers] == ["answer 2", "answer 2"]
    await asyncio.to_thread(len, cache)


def test_waiters_get_no_answer_that_was_refused_meanwhile() -> None:
    cache: ResponseCache[Any] = ResponseCache()
    call, entered, go = Answers(), threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        go.wait(10)
        return call()

    found: list[Any] = []
    options: CallOptions[Any] = CallOptions(accepts=lambda value: value != "answer 1")
    leader = threading.Thread(target=lambda: found.append(cache.answer(REQUEST, slow)))
    waiter = threading.Thread(target=lambda: found.append(cache.answer(REQUEST, call, options)))
    leader.start()
    entered.wait(10)
    waiter.start()
    go.set()
    leader.join(10)
    waiter.join(10)
    assert sorted(answer.value for answer in found) == ["answer 1", "answer 2"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_only_accepted_answers_are_stored(cache: ResponseCache[Any], asynchronous: bool) -> None:
    call = Answers()
    options: CallOptions[Any] = CallOptions(accepts=lambda value: value == "answer 2")

    async def acall() -> str:
        return call()

    def ask() -> Any:
        if asynchronous:
            return asyncio.run(cache.aanswer(REQUEST, acall, options)).value
        return cache.answer(REQUEST, call, options).value

    assert ask() == "answer 1"
    assert len(cache) == 0
    assert [ask(), ask()] == ["answer 2", "answer 2"]


def test_a_stored_answer_that_is_not_accepted_is_dropped(cache: ResponseCache[Any]) -> None:
    call = Answers()
    cache.answer(REQUEST, call)

    def failing(value: Any) -> bool:
        raise RuntimeError("a validator of the user")

    assert cache.lookup(REQUEST, CallOptions(accepts=failing)) is None
    assert len(cache) == 0


def test_a_refusal_is_of_one_questions_answer(cache: ResponseCache[Any]) -> None:
    made: list[ChatRequest] = []

    def ask(request: ChatRequest) -> Any:
        return cache.answer(request, lambda: made.append(request) or "yes").hit

    other = ChatRequest(messages=(Message(role="user", content="Is water wet?"),))
    ask(other)
    cache.refuse(given_by(cache, REQUEST, lambda: "yes"))
    assert ask(other) is not None
    assert [ask(REQUEST) is None for _ in range(3)] == [True, False, False]
    assert made == [other, REQUEST], "the model has given it again"


def test_a_refused_row_answers_no_wording_of_its_question(tmp_path: Path) -> None:
    cache: ResponseCache[Any] = ResponseCache(path=tmp_path / "cache.db")
    other: ResponseCache[Any] = ResponseCache(path=tmp_path / "cache.db")
    cache.update(REQUEST, "answer 1")
    cache.refuse(given_by(cache, PARAPHRASE, Answers()))
    other.update(REQUEST, "answer 1")  # as if the removal had failed
    assert cache.lookup(REQUEST) is None


def test_old_refusals_are_forgotten() -> None:
    refused = RefusedAnswers()
    for number in range(5_000):
        text = str(number)
        refused.add(GivenAnswer(source=ResponseCache(), key=text, entry=text, digest=text.encode()))
    assert not refused.take("0")
    assert refused.take("4999")
    assert not refused.take("4999")


def test_each_cache_that_gave_the_answer_forgets_it() -> None:
    caches: list[ResponseCache[Any]] = [ResponseCache(), ResponseCache()]
    with answers_given() as given:
        for cache in caches:
            cache.answer(REQUEST, lambda: "the same")
    refuse_all(given)
    assert [len(cache) for cache in caches] == [0, 0]


def test_a_generator_may_end_its_block_in_another_context() -> None:
    """As a web framework does that reads each piece of a stream in another thread."""
    cache: ResponseCache[Any] = ResponseCache()
    call = Answers()
    cache.answer(REQUEST, call)

    def pieces() -> Iterator[str]:
        with fresh_answers():
            yield cache.answer(REQUEST, call).value
            yield "the end"

    stream = pieces()
    assert [copy_context().run(next, stream, None) for _ in range(3)] == [
        "answer 2",
        "the end",
        None,
    ]
    assert cache.answer(REQUEST, call).hit is not None
