"""One suite for the components of both frameworks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from llm_optimizers.caching import tenant
from llm_optimizers.costs import PriceBook, Usage
from llm_optimizers.routing import Always
from llm_optimizers.routing.policies.cascade import CascadePolicy
from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
QUESTION, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"


class RateLimitedError(Exception):
    status_code = 429


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


@pytest.mark.parametrize("method", METHODS)
class TestCached:
    def test_a_repeated_question_is_answered_once_and_the_hit_is_a_saving(
        self, framework: Framework, method: str
    ) -> None:
        inner = framework.fake(STRONG)
        cached = framework.cached(inner)
        expected = ask_by(framework, method, framework.fake(STRONG), QUESTION)
        assert [ask_by(framework, method, cached, QUESTION) for _ in range(2)] == [
            expected,
            expected,
        ]
        assert len(inner.calls) == 1
        _, call, hit = framework.records()
        assert (hit.hit_strategy, hit.usage, hit.cost) == ("cache.exact", Usage(), Decimal(0))
        assert hit.saved == call.cost
        assert hit.baseline_cost == call.cost

    def test_paraphrases_hit_and_lookalikes_miss(self, framework: Framework, method: str) -> None:
        inner = framework.fake(STRONG)
        cached = framework.cached(inner)
        first = ask_by(framework, method, cached, QUESTION)
        assert ask_by(framework, method, cached, PARAPHRASE) == first
        for trap in ("How do I reset my username?", "Why do I never reset my password?"):
            assert ask_by(framework, method, cached, trap).endswith(trap)
        assert framework.stats(cached).hits == {"semantic": 1}

    def test_the_messages_before_the_question_are_part_of_the_key(
        self, framework: Framework, method: str
    ) -> None:
        inner = framework.fake(STRONG)
        cached = framework.cached(inner)
        for system in ("Be brief.", "Be brief.", "Be long."):
            ask_by(framework, method, cached, QUESTION, system=system)
        assert len(inner.calls) == 2

    def test_tenants_never_share(self, framework: Framework, method: str) -> None:
        inner = framework.fake(STRONG)
        cached = framework.cached(inner)
        for name in ("a", "b", "a"):
            with tenant(name):
                ask_by(framework, method, cached, QUESTION)
        assert len(inner.calls) == 2

    def test_errors_and_cut_off_answers_are_recorded_and_not_stored(
        self, framework: Framework, method: str
    ) -> None:
        failing = framework.fake(STRONG, fail=lambda _: TimeoutError("slow"))
        cached = framework.cached(failing)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                ask_by(framework, method, cached, QUESTION)
        cut = framework.fake(STRONG, finish_reason="length")
        short = framework.cached(cut)
        for _ in range(2):
            ask_by(framework, method, short, QUESTION)
        assert (len(failing.calls), len(cut.calls)) == (2, 2)
        recorded = [(record.status, record.error) for record in framework.records()]
        assert recorded == [("error", "TimeoutError")] * 2 + [("ok", None)] * 2

    def test_a_broken_file_loses_no_answer(
        self, framework: Framework, method: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "answers.sqlite"
        path.write_bytes(b"this is no database" * 100)
        cached = framework.cached(framework.fake(STRONG), path=path)
        for _ in range(2):
            assert ask_by(framework, method, cached, QUESTION).endswith(QUESTION)


def test_an_abandoned_stream_is_not_stored_and_recorded_as_abandoned(framework: Framework) -> None:
    inner = framework.fake(STRONG)
    cached = framework.cached(inner)
    pieces = framework.pieces(cached, QUESTION)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    async def leave() -> None:
        later = framework.apieces(cached, QUESTION)
        await anext(later)
        await later.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    framework.ask(cached, QUESTION)
    assert len(inner.calls) == 3
    recorded = [(record.status, record.estimated) for record in framework.records()]
    assert recorded == [("abandoned", True), ("abandoned", True), ("ok", False)]


def test_identical_concurrent_calls_are_one(framework: Framework) -> None:
    inner = framework.fake(STRONG, delay=0.1)
    cached = framework.cached(inner)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(framework.ask(cached, QUESTION)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(inner.calls), len(set(answers)), len(answers)) == (1, 1, 6)


@pytest.mark.parametrize("method", METHODS)
class TestRouted:
    def test_a_cheaper_model_is_a_saving_against_the_safe_one(
        self, framework: Framework, method: str
    ) -> None:
        models = [framework.fake(name) for name in (CHEAP, STRONG)]
        answer = ask_by(framework, method, framework.routed(models, Always(CHEAP)), QUESTION)
        assert answer.startswith(CHEAP)
        (record,) = framework.records()
        assert (record.model, record.baseline_model) == (CHEAP, STRONG)
        (saving,) = record.savings
        baseline = PriceBook().cost(record.usage, STRONG, provider="openai")
        assert (saving.strategy, saving.amount) == ("routing", baseline - (record.cost or 0))

    def test_a_model_that_fails_is_replaced(self, framework: Framework, method: str) -> None:
        cheap = framework.fake(CHEAP, fail=lambda _: RateLimitedError())
        routed = framework.routed([cheap, framework.fake(STRONG)], Always(CHEAP))
        assert ask_by(framework, method, routed, QUESTION).startswith(STRONG)
        assert [record.status for record in framework.records()] == ["error", "ok"]


@pytest.mark.parametrize("method", ["ask", "aask"])
def test_a_cascade_is_charged_for_rejected_answers(framework: Framework, method: str) -> None:
    cheap = framework.fake(CHEAP, reply=lambda text: "" if "hard" in text else "fine")
    policy = CascadePolicy(cheap=CHEAP, strong=STRONG)
    routed = framework.routed([cheap, framework.fake(STRONG)], policy)
    assert ask_by(framework, method, routed, "An easy one") == "fine"
    assert ask_by(framework, method, routed, "A hard one").startswith(STRONG)
    kept, thrown, asked = sorted(framework.records(), key=lambda record: record.time)
    assert kept.savings[0].amount > 0
    assert (thrown.baseline_cost, thrown.savings[0].amount) == (0, -(thrown.cost or 0))
    assert asked.baseline_cost == asked.cost


def combined(text: str) -> str:
    """Answer one question, or every question of a combined prompt."""
    start = text.find("\n\n[{")
    if start < 0:
        return f"to {text}"
    answers = [{"id": q["id"], "answer": f"to {q['request']}"} for q in json.loads(text[start:])]
    return json.dumps({"answers": answers})


async def test_concurrent_callers_share_a_call_and_its_cost(framework: Framework) -> None:
    inner = framework.fake(STRONG, reply=combined)
    batched = framework.batched(inner)
    system = "You are asked short things. " * 40
    texts = [f"Thing number {n}?" for n in range(6)]
    answers = await asyncio.gather(
        *(framework.aask(batched, t, system=system, user=t) for t in texts)
    )
    batched.close()
    assert list(answers) == [f"to {text}" for text in texts]
    assert len(inner.calls) == 1
    found = framework.records()
    assert {record.tags["user"] for record in found} == set(texts)
    billed = Usage(
        input_tokens=_prompt_tokens(system, inner.calls[0]),
        output_tokens=_answer_tokens(inner.calls[0]),
    )
    assert sum((record.usage for record in found), Usage()) == billed
    assert {record.savings[0].strategy for record in found} == {"batching"}
    assert all(record.savings[0].amount > 0 for record in found)


def _prompt_tokens(*texts: str) -> int:
    return sum(len(text.split()) + 4 for text in texts)


def _answer_tokens(text: str) -> int:
    return len(combined(text).split()) + 1


@pytest.mark.parametrize("method", METHODS)
def test_the_saving_of_shorter_prompts_is_recorded(framework: Framework, method: str) -> None:
    inner = framework.fake(STRONG)
    orders = json.dumps([{"order": number, "state": "sent"} for number in range(20)], indent=4)
    system = f"Be brief.\n<documents>\n{orders}\n</documents>"
    answer = ask_by(framework, method, framework.shortened(inner), QUESTION, system=system)
    assert answer.endswith(QUESTION)
    (record,) = framework.records()
    assert [saving.strategy for saving in record.savings] == ["prompts"]
    assert record.savings[0].amount > 0
