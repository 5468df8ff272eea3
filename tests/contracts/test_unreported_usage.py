"""Calls whose provider reports no usage, or not all of it, in both frameworks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord
from llm_optimizers.routing import Always
from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by

QUESTION, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"
MODEL, CHEAP = "gpt-4o", "gpt-4o-mini"


def counted(name: str, script: Callable[[Framework], None]) -> list[CallRecord]:
    """Return the records of what a script asks."""
    framework = FRAMEWORKS[name]()
    with framework.counting():
        script(framework)
    return framework.records()


@pytest.fixture(params=sorted(FRAMEWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("first", METHODS)
@pytest.mark.parametrize("then", METHODS)
def test_a_hit_saves_what_its_call_was_estimated_to_cost(name: str, first: str, then: str) -> None:
    def script(framework: Framework) -> None:
        model = framework.cached(framework.fake(MODEL, usage=False))
        for method in (first, then):
            ask_by(framework, method, model, QUESTION, system="Be brief.")

    call, hit = counted(name, script)
    assert (call.estimated, hit.estimated) == (True, True)
    assert (hit.cost, hit.saved) == (0, call.cost)
    assert hit.saved
    assert [saving.basis for saving in hit.savings] == ["estimated"]


def test_a_hit_by_meaning_saves_the_question_that_was_asked(name: str) -> None:
    def script(framework: Framework) -> None:
        model = framework.cached(framework.fake(MODEL, usage=False))
        for text in (QUESTION, PARAPHRASE):
            ask_by(framework, "stream", model, text)

    call, hit = counted(name, script)
    assert hit.hit_strategy == "cache.semantic"
    assert hit.baseline_usage == call.usage
    assert hit.saved == call.cost


def test_callers_that_share_a_call_save_one_each(name: str) -> None:
    def script(framework: Framework) -> None:
        model = framework.cached(framework.fake(MODEL, usage=False, delay=0.05))

        async def ask() -> None:
            await asyncio.gather(*(framework.aask(model, QUESTION) for _ in range(3)))

        asyncio.run(ask())

    call, *shared = sorted(counted(name, script), key=lambda record: record.hit)
    assert [hit.hit_strategy for hit in shared] == ["cache.shared"] * 2
    assert {hit.saved for hit in shared} == {call.cost}


def test_a_file_of_an_earlier_release_serves_savings(name: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"

    def script(framework: Framework) -> None:
        for _ in range(2):
            model = framework.cached(framework.fake(MODEL, usage=False), path=path)
            ask_by(framework, "stream", model, QUESTION)
            with closing(sqlite3.connect(path)) as file:
                assert file.execute("SELECT usage FROM entries").fetchall() == [(None,)]

    call, hit = counted(name, script)
    assert hit.saved == call.cost
    assert hit.saved


def test_both_frameworks_estimate_the_same() -> None:
    def script(framework: Framework) -> None:
        routed = framework.routed(
            [framework.fake(CHEAP, usage=False), framework.fake(MODEL)], Always(CHEAP)
        )
        model = framework.cached(framework.shortened(routed))
        for method in METHODS:
            for text in (QUESTION, PARAPHRASE, f"Something else, by {method}?"):
                ask_by(framework, method, model, text, system="Be brief.")

    now = datetime.now(UTC)
    facts = [
        [
            replace(record, id="", time=now, latency_s=None, tags={})
            for record in counted(each, script)
        ]
        for each in sorted(FRAMEWORKS)
    ]
    assert facts[0] == facts[1]
    assert sum(record.hit for record in facts[0]) == 7


@pytest.mark.parametrize("method", ["stream", "astream"])
@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_that_breaks_costs_what_was_sent_and_came(
    name: str, method: str, *, usage: bool
) -> None:
    def broken(after: int) -> CallRecord:
        def script(framework: Framework) -> None:
            model = framework.fake(MODEL, breaks_after=after, usage=usage)
            with suppress(ConnectionError):
                ask_by(framework, method, model, QUESTION)

        (record,) = counted(name, script)
        assert (record.status, record.error) == ("error", "ConnectionError")
        return record

    unsent, first, longer = map(broken, (0, 1, 5))
    assert (unsent.cost, unsent.usage.total_tokens, unsent.estimated) == (0, 0, False)
    assert first.cost
    assert longer.cost
    assert first.usage.input_tokens == longer.usage.input_tokens > 8
    assert 0 < first.usage.output_tokens < longer.usage.output_tokens
    assert (first.saved, first.estimated) == (0, True)


@pytest.mark.parametrize("method", METHODS)
def test_an_error_that_answers_nothing_costs_nothing(name: str, method: str) -> None:
    class ServerError(Exception):
        status_code = 500

    def script(framework: Framework) -> None:
        for error in (ServerError(), ValueError()):
            model = framework.fake(MODEL, fail=lambda _, error=error: error)
            with suppress(ServerError, ValueError):
                ask_by(framework, method, model, QUESTION)

    found = counted(name, script)
    assert [(record.status, record.cost) for record in found] == [("error", 0)] * 2


def test_tools_and_calls_are_counted(name: str) -> None:
    def lookup(city: str, days: int) -> str:
        """Return the weather of the next days in a city of the country that was chosen."""
        return f"{city} {days}"

    def script(framework: Framework) -> None:
        model = framework.cached(framework.fake(MODEL, usage=False))
        for tools in ((), (lookup,), (lookup,)):
            asyncio.run(framework.aask(model, "The weather of 3 days?", tools=tools))

    plain, called, hit = counted(name, script)
    assert called.usage.input_tokens > plain.usage.input_tokens + 30
    written = json.dumps({"city": "The weather of 3 days?", "days": 3}, separators=(",", ":"))
    assert called.usage.output_tokens > len(written) // 6
    assert hit.baseline_usage == called.usage


def test_a_whole_conversation_with_calls_has_the_same_count_in_both() -> None:
    found: list[Any] = []
    for name in sorted(FRAMEWORKS):

        def script(framework: Framework) -> None:
            def magic(number: int) -> int:
                """Return the magic of a number."""
                return number

            model = framework.fake(MODEL, usage=False)
            asyncio.run(framework.aask(model, "The magic of 7?", tools=[magic], system="Go."))

        (record,) = counted(name, script)
        found.append(record.usage)
    assert abs(found[0].input_tokens - found[1].input_tokens) < 12  # their own tool descriptions
    assert found[0].output_tokens == found[1].output_tokens


def test_a_combined_call_without_usage_is_counted(name: str) -> None:
    def script(framework: Framework) -> None:
        cached = framework.cached(framework.fake(MODEL, usage=False, reply=combined))
        model = framework.batched(cached, max_size=2)

        async def ask() -> None:
            await asyncio.gather(*(framework.aask(model, text) for text in ("One?", "Two?")))

        for _ in range(2):
            asyncio.run(ask())

    called, hits = [], []
    for record in counted(name, script):
        (hits if record.hit else called).append(record)
        assert record.estimated
    assert len(called) == len(hits) == 2
    assert all(record.cost for record in called)
    assert all(record.saved for record in hits)


def combined(text: str) -> str:
    """Answer a combined prompt as a model does."""
    if "One?" not in text or "Two?" not in text:
        return "Yes."
    asked = json.loads(text.split("\n\n")[1])
    return json.dumps({"answers": [{"id": each["id"], "answer": "Yes."} for each in asked]})
