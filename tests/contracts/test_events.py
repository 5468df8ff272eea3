"""What happens inside is heard alike in both frameworks, once, from threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.events import (
    Event,
    HitServed,
    ModelUnpriced,
    SampleBought,
    VerdictGiven,
    subscribe,
)
from llm_optimizers.routing import CascadePolicy
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty
from llm_optimizers.routing.cascade.verifier import Judge, Verifier
from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by

CHEAP, MIDDLE, STRONG = "gpt-4.1-nano", "gpt-4o-mini", "gpt-4o"
QUESTION = "How do I reset the password of my account?"


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


@contextmanager
def heard(*kinds: type[Event]) -> Iterator[list[Any]]:
    found: list[Any] = []
    with subscribe(found.append, *kinds):
        yield found


@pytest.mark.parametrize("method", METHODS)
def test_a_hit_is_one_event_with_the_id_of_its_record(framework: Framework, method: str) -> None:
    model = framework.cached(framework.reporting(MIDDLE), semantic=False)
    with heard(HitServed) as hits:
        answer = ask_by(framework, method, model, QUESTION)
        assert not hits, "a miss is none"
        assert ask_by(framework, method, model, QUESTION) == answer
    (hit,) = hits
    assert (hit.component, hit.tier, hit.model) == ("llm_optimizers.caching", "exact", MIDDLE)
    assert (hit.score, hit.age_s >= 0) == (1.0, True)
    (record,) = [each for each in framework.records() if each.hit]
    assert hit.id == record.id
    baseline = record.baseline_usage
    assert baseline is not None
    assert (hit.input_tokens, hit.output_tokens) == (baseline.input_tokens, baseline.output_tokens)
    assert not any(QUESTION in str(getattr(hit, name)) for name in hit.__dataclass_fields__)


def test_a_hit_by_meaning_is_one(framework: Framework) -> None:
    model = framework.cached(framework.reporting(MIDDLE))
    with heard(HitServed) as hits:
        framework.ask(model, "How do I reset my password?")
        framework.ask(model, "how do I reset my password")
        framework.ask(model, "How can I reset my password?")
    assert [each.tier for each in hits] == ["normalised", "semantic"]
    assert hits[1].score < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_of_64_threads_each_hit_is_one(framework: Framework, method: str) -> None:
    model = framework.cached(framework.reporting(MIDDLE), semantic=False)
    framework.ask(model, QUESTION)
    with heard(HitServed) as hits, ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda _: ask_by(framework, method, model, QUESTION), range(64)))
    assert len({each.id for each in hits}) == len(hits) == 64


def test_waiters_for_one_call_are_hits_of_their_own(framework: Framework) -> None:
    entered, gate = threading.Event(), threading.Event()

    def slowly(_: str) -> str:
        entered.set()
        assert gate.wait(30)
        return "so"

    model = framework.cached(framework.reporting(MIDDLE, reply=slowly), semantic=False)
    with heard(HitServed) as hits, ThreadPoolExecutor(9) as pool:
        first = pool.submit(framework.ask, model, QUESTION)
        assert entered.wait(30)
        others = [pool.submit(framework.ask, model, QUESTION) for _ in range(8)]
        gate.set()
        assert {each.result() for each in (first, *others)} == {"so"}
    assert len(hits) == 8
    assert {each.tier for each in hits} <= {"shared", "exact"}


def test_each_hit_of_two_loops_is_one(framework: Framework) -> None:
    model = framework.cached(framework.reporting(MIDDLE), semantic=False)

    async def many() -> None:
        await asyncio.gather(*(framework.aask(model, QUESTION) for _ in range(20)))

    framework.ask(model, QUESTION)
    with heard(HitServed) as hits:
        threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({each.id for each in hits}) == len(hits) == 40


def test_a_listener_that_fails_costs_no_answer(framework: Framework) -> None:
    def fails(_: Event) -> None:
        raise OSError("disk full")

    model = framework.cached(framework.reporting(MIDDLE), semantic=False)
    with subscribe(fails):
        answers = {ask_by(framework, method, model, QUESTION) for method in METHODS}
    assert len(answers) == 1


def test_a_listener_may_ask_the_model_itself(framework: Framework) -> None:
    model = framework.cached(framework.reporting(MIDDLE), semantic=False)
    hits: Counter[str] = Counter()

    def asks(hit: HitServed) -> None:
        hits.update([hit.tier])
        framework.ask(model, QUESTION)

    framework.ask(model, QUESTION)
    with subscribe(asks, HitServed):
        framework.ask(model, QUESTION)
    assert hits == {"exact": 1}


def _cascade(**verifier: Any) -> CascadePolicy:
    """Return a cascade from the weakest to the strongest model; the one between checks."""
    verified = Verifier(checks=(NotEmpty(),), threshold=0.7, **verifier)
    return CascadePolicy(cheap=CHEAP, strong=STRONG, verifier=verified)


@pytest.mark.parametrize(("grade", "accepted"), [("0", False), ("9", True)])
def test_a_judges_verdict_is_heard(framework: Framework, grade: str, accepted: bool) -> None:
    judge = framework.reporting(MIDDLE, reply=lambda _: grade)
    models = [framework.reporting(CHEAP), judge, framework.reporting(STRONG)]
    routed = framework.routed(models, _cascade(judge=Judge(model=MIDDLE)))
    with heard(VerdictGiven, SampleBought) as verdicts:
        framework.ask(routed, QUESTION)
    (verdict,) = verdicts
    assert (verdict.model, verdict.judge) == (CHEAP, MIDDLE)
    assert (verdict.score, verdict.accepted) == (float(grade) / 10, accepted)


def test_a_judge_that_says_nothing_gives_no_verdict(framework: Framework) -> None:
    judge = framework.reporting(MIDDLE, reply=lambda _: "well, perhaps")
    models = [framework.reporting(CHEAP), judge, framework.reporting(STRONG)]
    routed = framework.routed(models, _cascade(judge=Judge(model=MIDDLE)))
    with heard(VerdictGiven) as verdicts:
        framework.ask(routed, QUESTION)
    assert not verdicts


def test_a_sample_is_bought_with_the_id_of_its_record(framework: Framework) -> None:
    models = [framework.reporting(each) for each in (CHEAP, MIDDLE, STRONG)]
    checks = Verifier(checks=(NotEmpty(), Agreement()))
    policy = CascadePolicy(cheap=CHEAP, strong=STRONG, samples=[MIDDLE], verifier=checks)
    with heard(SampleBought, VerdictGiven) as bought:
        framework.ask(framework.routed(models, policy), QUESTION)
    (sample,) = bought
    assert sample.model == MIDDLE
    records = {each.id: each for each in framework.records()}
    assert records[sample.id].model == MIDDLE


def test_a_model_without_a_price_is_announced_once(framework: Framework) -> None:
    model = framework.reporting("a-model-nobody-sells")
    with heard(ModelUnpriced) as unpriced:
        for _ in range(3):
            framework.ask(model, QUESTION)
        framework.records()
    assert [each.model for each in unpriced] == ["a-model-nobody-sells"]
    assert unpriced[0].reason == framework.records()[0].unpriced == "no list price"


def test_a_model_is_announced_for_each_reason_and_advised_only_where_it_helps() -> None:
    at, ledger = datetime(2026, 1, 1, tzinfo=UTC), Ledger()
    ran = Usage(input_tokens=9, code_sessions=1)
    with heard(ModelUnpriced) as unpriced:
        for number, usage in enumerate([None, ran, None, ran]):
            Call(id=str(number), time=at, asked="gpt-4o", reported=usage).account(ledger)
        ledger.flush()
    assert [each.reason for each in unpriced] == ["no usage", "no price for code sessions"]
    assert ["PriceBook" in each.message for each in unpriced] == [False, True]
