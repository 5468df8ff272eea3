"""Why misses could not have been hits by meaning: counted, and said once if most could not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.caching import CacheStats, ResponseCache
from llm_optimizers.caching.keys import Unmatched
from llm_optimizers.types import ChatRequest, Message

SECRET = "bananas"


def asked(text: str = f"Where are the {SECRET}?", system: str = "", **params: Any) -> ChatRequest:
    before = [Message(role="system", content=system)] if system else []
    return ChatRequest(
        messages=(*before, Message(role="user", content=text)), model="m", params=params
    )


def ask(cache: ResponseCache[str], *requests: ChatRequest | None) -> None:
    for request in requests:
        cache.answer(request, lambda: "an answer")


def result_of_a_tool() -> ChatRequest:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "here", "tool_call_id": "1"},
    ]
    return ChatRequest(messages=tuple(map(Message.from_openai, messages)), model="m")


REASONS: dict[Unmatched, ChatRequest] = {
    Unmatched.TOOLS: asked(tools=[{"type": "function"}]),
    Unmatched.STATE: asked(previous_response_id="resp_1"),
    Unmatched.NOT_TEXT: result_of_a_tool(),
    Unmatched.NO_TEXT: asked(" "),
    Unmatched.TEXT_TASK: asked("Summarise this: the sun is out."),
    Unmatched.TIME: asked("What is the weather today?"),
    Unmatched.SECTIONS: asked("Context: a zoo\nRelated question: is it open?"),
    Unmatched.DATA: asked("Which is larger? [[1, 2], [3]]"),
    Unmatched.NEW_CONTEXT: asked(),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_miss_is_counted_with_its_reason(reason: Unmatched) -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, REASONS[reason])
    assert cache.stats.unmatched == {reason: 1}
    assert cache.stats.misses == 1


def test_every_reason_says_what_to_do() -> None:
    assert all(each.advice.endswith(".") for each in Unmatched)


def test_what_is_left_out_of_the_system_prompt_may_not_follow_the_question() -> None:
    """So the advice for a new system prompt is to leave a time out, not to move it."""
    question = "How do I reset my password?"
    for end in ("\n\nCurrent time: {}", "\n\nUser: {}"):
        cache: ResponseCache[str] = ResponseCache()
        ask(cache, *(asked(question + end.format(each)) for each in ("10:00", "11:30")))
        assert cache.stats.misses == 2
    cache = ResponseCache()
    ask(cache, asked(question), asked("how can i reset my password"))
    assert cache.stats.hits == {"semantic": 1}
    assert "leave it out" in Unmatched.NEW_CONTEXT.advice


def test_hits_and_misses_that_had_a_chance_are_not_counted() -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, asked("How do I reset my password?"))
    ask(cache, asked("How do I reset my password?"), asked("Where is my parcel?"))
    ask(cache, asked("How can I reset my password?"))
    assert cache.stats.hits == {"exact": 1, "semantic": 1}
    assert cache.stats.unmatched == {Unmatched.NEW_CONTEXT: 1}


def test_a_context_is_not_new_if_the_store_has_questions_of_it(tmp_path: Path) -> None:
    for question, counted in (("How do I pay?", 1), ("Where is my parcel?", 0)):
        with closing(ResponseCache[str](path=tmp_path / "cache.db")) as cache:
            ask(cache, asked(question))
            assert cache.stats.unmatched.get(Unmatched.NEW_CONTEXT, 0) == counted


def test_a_new_tenant_or_name_is_a_new_context() -> None:
    cache: ResponseCache[str] = ResponseCache()
    named = Message(role="user", content="Where is my parcel?", name="Ann")
    ask(
        cache,
        ChatRequest(messages=(named,), model="m"),
        ChatRequest(messages=(replace(named, name="Bob"),), model="m"),
        ChatRequest(messages=(named,), model="m", tenant="other"),
    )
    assert cache.stats.unmatched == {Unmatched.NEW_CONTEXT: 3}
    assert "tenant" in Unmatched.NEW_CONTEXT
    assert "other fields of the messages" in Unmatched.NEW_CONTEXT


def test_requests_that_the_cache_does_not_handle_are_counted() -> None:
    def unknown() -> str:
        raise LookupError

    cache: ResponseCache[str] = ResponseCache(namespace=unknown)
    ask(cache, asked(), asked(), None)
    cache.bypassed("it streams two answers")
    assert cache.stats.unmatched == {Unmatched.NO_KEY: 3}


class Broken:
    """An embedding model that fails."""

    def embed_query(self, text: str) -> list[float]:
        raise ConnectionError(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise ConnectionError(texts)


def test_a_question_without_a_vector_is_counted() -> None:
    cache: ResponseCache[str] = ResponseCache(embeddings=Broken())
    ask(cache, asked())
    assert cache.stats.unmatched == {Unmatched.NO_VECTOR: 1}


def test_a_cache_that_matches_word_for_word_counts_no_reasons() -> None:
    cache: ResponseCache[str] = ResponseCache(semantic=False)
    ask(cache, *REASONS.values(), None)
    cache.bypassed("a reason")
    assert cache.stats.unmatched == {}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "same meaning" in each.getMessage()]


def numbered(make: Callable[[int], ChatRequest], count: int) -> Iterator[ChatRequest]:
    return map(make, range(count))


MAKERS: dict[Unmatched, Callable[[int], ChatRequest]] = {
    Unmatched.TOOLS: lambda n: asked(f"Find {SECRET} {n}", tools=[{"type": "function"}]),
    Unmatched.TEXT_TASK: lambda n: asked(f"Summarise this: {SECRET} number {n} is ripe."),
    Unmatched.NEW_CONTEXT: lambda n: asked(system=f"It is {n} o'clock. Answer about {SECRET}."),
}


@pytest.mark.parametrize("reason", MAKERS)
def test_the_chief_reason_is_logged_once(
    reason: Unmatched, caplog: pytest.LogCaptureFixture
) -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, *numbered(MAKERS[reason], 99))
    assert warnings(caplog) == []
    ask(cache, *numbered(lambda n: MAKERS[reason](99 + n), 250))
    (said,) = warnings(caplog)
    assert "100 of 100" in said
    assert reason in said
    assert reason.advice in said
    assert SECRET not in said
    assert caplog.records[0].name.startswith("llm_optimizers")
    assert caplog.messages[0].startswith("cache: 1")  # default logging prints the text alone


def test_an_app_whose_questions_can_match_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, *numbered(lambda n: asked(f"Where is parcel {n} of {SECRET}?"), 250))
    assert warnings(caplog) == []


def test_an_app_whose_requests_are_served_word_for_word_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, *numbered(lambda n: MAKERS[Unmatched.TEXT_TASK](n % 10), 250))
    assert warnings(caplog) == []


def test_an_app_that_changes_later_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    cache: ResponseCache[str] = ResponseCache()
    ask(cache, *numbered(lambda n: asked(f"Where is parcel {n}?"), 150))
    ask(cache, *numbered(MAKERS[Unmatched.TOOLS], 150))
    assert len(warnings(caplog)) == 1


def test_threads_count_every_request_and_log_once(caplog: pytest.LogCaptureFixture) -> None:
    cache: ResponseCache[str] = ResponseCache()
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(lambda request: ask(cache, request), numbered(MAKERS[Unmatched.TOOLS], 400))
        )
    assert cache.stats.unmatched == {Unmatched.TOOLS: 400}
    assert len(warnings(caplog)) == 1


def test_a_log_filter_that_fails_costs_no_answer() -> None:
    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError(record.name)

    logger, failing = logging.getLogger("llm_optimizers.caching"), Failing()
    logger.addFilter(failing)
    try:
        cache: ResponseCache[str] = ResponseCache()
        ask(cache, *numbered(MAKERS[Unmatched.TOOLS], 120))
    finally:
        logger.removeFilter(failing)
    assert cache.stats.misses == 120


def test_counts_are_printed_for_a_reader() -> None:
    stats = CacheStats(
        hits={"exact": 1_500, "semantic": 250},
        misses=750,
        stored=740,
        troubles={"not admitted": 3},
        unmatched={Unmatched.TIME: 2, Unmatched.TOOLS: 40},
    )
    assert str(stats).splitlines() == [
        "1,750 hits of 2,500 lookups (70%)",
        "      1,500  exact",
        "        250  semantic",
        "740 answers stored",
        "misses that could not be matched by meaning",
        "         40  tools are bound",
        "          2  its answer depends on the time",
        "troubles",
        "          3  not admitted",
    ]
    assert str(CacheStats()).splitlines() == ["0 hits of 0 lookups (0%)", "0 answers stored"]
