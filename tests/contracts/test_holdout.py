"""Calls that are held out go untouched through every strategy, in both frameworks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from llm_optimizers.holdout import Assignment, HoldoutGroup, current_assignment
from llm_optimizers.routing import Always
from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
QUESTION, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"
BLOATED = 'Be brief.\n<context>\n{\n    "a": 1,\n    "b": [\n        2\n    ]\n}\n</context>'
GROUP = HoldoutGroup(0.5)


def unit(*, held_out: bool) -> str:
    """Return a user of that group."""
    return next(
        name
        for name in (f"u{number}" for number in range(1_000))
        if GROUP.assignment(name).held_out is held_out
    )


HELD_OUT, TREATED = unit(held_out=True), unit(held_out=False)


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


@pytest.mark.parametrize("method", METHODS)
def test_a_held_out_call_is_neither_served_nor_stored(framework: Framework, method: str) -> None:
    inner = framework.fake(STRONG)
    cached = framework.cached(inner)
    for user in (HELD_OUT, HELD_OUT, TREATED, TREATED, HELD_OUT):
        with GROUP.assign(user):
            ask_by(framework, method, cached, QUESTION)
    with GROUP.assign(HELD_OUT):
        ask_by(framework, method, cached, PARAPHRASE)
    assert len(inner.calls) == 5
    assert sum(framework.stats(cached).hits.values()) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_held_out_call_goes_to_the_safe_model(framework: Framework, method: str) -> None:
    models = [framework.fake(name) for name in (CHEAP, STRONG)]
    routed = framework.routed(models, Always(CHEAP))
    for user in (HELD_OUT, TREATED):
        with GROUP.assign(user):
            ask_by(framework, method, routed, QUESTION)
    assert [len(each.calls) for each in models] == [1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_held_out_prompt_is_sent_as_it_is(framework: Framework, method: str) -> None:
    shortened = framework.shortened(framework.fake(STRONG))
    answers = {}
    for user in (HELD_OUT, TREATED):
        with GROUP.assign(user):
            ask_by(framework, method, shortened, QUESTION, system=BLOATED)
            answers[user] = framework.records()[-1].baseline_usage
    assert answers[HELD_OUT] is None
    assert answers[TREATED] is not None


def test_a_held_out_question_is_not_combined_with_others(framework: Framework) -> None:
    inner = framework.fake(STRONG)
    model = framework.batched(inner)

    def ask(text: str) -> None:
        with GROUP.assign(HELD_OUT):
            framework.ask(model, text)

    threads = [threading.Thread(target=ask, args=(f"What is {n} plus 1?",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inner.calls) == [f"What is {n} plus 1?" for n in range(3)]


def test_a_held_out_caller_of_a_shared_call_gets_no_stored_answer(framework: Framework) -> None:
    inner = framework.fake(STRONG)
    shared = framework.batched(framework.cached(inner), max_size=1)
    for user in (TREATED, HELD_OUT, HELD_OUT, TREATED):
        with GROUP.assign(user):
            framework.ask(shared, QUESTION)
    assert len(inner.calls) == 3


@pytest.mark.parametrize("method", METHODS)
def test_records_name_the_group_and_its_bucket(framework: Framework, method: str) -> None:
    cached = framework.cached(framework.fake(STRONG))
    users = (HELD_OUT, TREATED, TREATED)
    for user in users:
        with GROUP.assign(user):
            ask_by(framework, method, cached, QUESTION)
    ask_by(framework, method, cached, "And now?")
    expected: list[Assignment | None] = [GROUP.assignment(user) for user in users]
    assert [
        None if r.held_out is None else Assignment(held_out=r.held_out, bucket=r.bucket or 0)
        for r in framework.records()
    ] == [*expected, None]


async def test_concurrent_users_never_mix(framework: Framework) -> None:
    inner = framework.fake(STRONG)
    cached = framework.cached(inner)

    async def ask(user: str) -> None:
        with GROUP.assign(user):
            for _ in range(5):
                await framework.aask(cached, QUESTION)

    with GROUP.assign(TREATED):
        await framework.aask(cached, QUESTION)
    await asyncio.gather(*(ask(user) for user in [HELD_OUT, TREATED] * 4))
    assert len(inner.calls) == 1 + 4 * 5
    assert current_assignment() is None
