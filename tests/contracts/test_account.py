"""The same calls give the same ledger in both frameworks, to the last digit."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import InterruptedStreamError
from llm_optimizers.routing import Always
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty
from llm_optimizers.routing.cascade.verifier import Judge, Verifier
from llm_optimizers.routing.policies.cascade import CascadePolicy
from support.frameworks import FRAMEWORKS, METHODS, Framework, ask_by
from support.waiting import aeventually, eventually

CHEAP, OTHER, STRONG = "gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"
QUESTION, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"
BLOATED = (
    'Be brief.\n<context>\n{\n    "a": 1,\n    "b": [\n        2,\n        3\n    ]\n}\n</context>'
)


class RateLimitedError(Exception):
    status_code = 429


def stack(framework: Framework) -> None:
    """A cache around a prompt optimiser around a router, called by every method."""
    models = [framework.fake(name) for name in (CHEAP, STRONG)]
    model = framework.cached(framework.shortened(framework.routed(models, Always(CHEAP))))
    for method in METHODS:
        for text in (QUESTION, PARAPHRASE, f"Something else, by {method}?"):
            ask_by(framework, method, model, text, system=BLOATED)
    for text in ("One?", "Two?"):
        framework.ask(framework.fake("house-blend-7"), text, user="u1")


def optimiser_around_a_cache(framework: Framework) -> None:
    """A hit of a cache inside an optimiser saves the call with its whole prompt."""
    model = framework.shortened(framework.cached(framework.fake(STRONG)))
    for _ in range(2):
        framework.ask(model, QUESTION, system=BLOATED)


def router_around_a_cache(framework: Framework) -> None:
    """A hit of the cheap model's cache saves the call of the model not asked."""
    models = [framework.cached(framework.fake(CHEAP)), framework.fake(STRONG)]
    model = framework.routed(models, Always(CHEAP))
    for _ in range(2):
        framework.ask(model, QUESTION)


def fallback(framework: Framework) -> None:
    """A model that fails is replaced."""
    cheap = framework.fake(CHEAP, fail=lambda _: RateLimitedError())
    for method in METHODS:
        ask_by(
            framework,
            method,
            framework.routed([cheap, framework.fake(STRONG)], Always(CHEAP)),
            method,
        )


def cascade(framework: Framework) -> None:
    """Drafts that are kept and discarded, with a sample and with a judge."""

    def reply(text: str) -> str:
        return "" if "empty" in text else "It is 4." if "easy" in text else "It is 5."

    models = [
        framework.fake(CHEAP, reply=reply),
        framework.fake(OTHER, reply=lambda _: "So it is 4."),
        framework.fake(STRONG),
    ]
    agreeing = CascadePolicy(
        cheap=CHEAP,
        strong=STRONG,
        samples=[OTHER],
        verifier=Verifier(checks=(NotEmpty(), Agreement())),
    )
    judged = CascadePolicy(
        cheap=CHEAP,
        strong=STRONG,
        verifier=Verifier(checks=(NotEmpty(),), judge=Judge(model=OTHER), threshold=0.7),
    )
    for policy in (agreeing, judged):
        for method in METHODS:
            for text in ("an easy one", "a hard one", "an empty one"):
                ask_by(framework, method, framework.routed(models, policy), f"{text}, {method}")


def cached_samples(framework: Framework) -> None:
    """A sample from a cache is neither a cost nor a saving."""
    models = [
        framework.fake(CHEAP, reply=lambda _: "It is 4."),
        framework.cached(framework.fake(OTHER, reply=lambda _: "So it is 4.")),
        framework.fake(STRONG),
    ]
    policy = CascadePolicy(
        cheap=CHEAP,
        strong=STRONG,
        samples=[OTHER],
        verifier=Verifier(checks=(NotEmpty(), Agreement())),
    )
    for _ in range(2):
        framework.ask(framework.routed(models, policy), QUESTION)


def router_around_a_router(framework: Framework) -> None:
    """The baseline model is the one that the outer router would have asked."""
    inner = framework.routed([framework.fake(CHEAP), framework.fake(OTHER)], Always(CHEAP))
    framework.ask(framework.routed([inner, framework.fake(STRONG)], _first()), QUESTION)


def cascade_around_a_cascade(framework: Framework) -> None:
    """The outer cascade discards a draft that the inner one kept."""
    cheap = [framework.fake(CHEAP, reply=lambda _: "It is 4."), framework.fake(OTHER)]
    inner = framework.routed(cheap, CascadePolicy(cheap=CHEAP, strong=OTHER))
    judge = framework.fake("gpt-4.1-nano", reply=lambda _: "0")
    framework.ask(framework.routed([inner, judge, framework.fake(STRONG)], _judged()), QUESTION)


def late(framework: Framework) -> None:
    """An answer that comes after the deadline."""
    slow = framework.fake(CHEAP, delay=0.3)
    routed = framework.routed([slow, framework.fake(STRONG)], Always(CHEAP), deadline_s=0.05)
    with suppress(TimeoutError):
        framework.ask(routed, QUESTION)
    eventually(framework.records)


def cancelled(framework: Framework) -> None:
    """Calls cancelled while a model is called: plain, routed, cached and escalated."""
    slow = framework.fake(CHEAP, delay=60)
    strong = framework.fake(STRONG)
    empty, slow_strong = framework.fake(CHEAP, reply=lambda _: ""), framework.fake(STRONG, delay=60)
    escalating = CascadePolicy(cheap=CHEAP, strong=STRONG)
    for model, asked in (
        (slow, slow),
        (framework.routed([slow, strong], Always(CHEAP)), slow),
        (framework.cached(slow), slow),
        (framework.cached(framework.routed([slow, strong], Always(CHEAP))), slow),
        (framework.routed([empty, slow_strong], escalating), slow_strong),
    ):
        asyncio.run(_cancelled_call(framework, model, asked))


async def _cancelled_call(framework: Framework, model: Any, asked: Any) -> None:
    before = len(asked.calls)
    task = asyncio.create_task(framework.aask(model, QUESTION, user="u1"))
    await aeventually(lambda: len(asked.calls) > before)
    task.cancel()
    await asyncio.wait([task])


def timed_out(framework: Framework) -> None:
    """A call that the router cancels at its deadline."""
    slow = framework.fake(CHEAP, delay=60)
    routed = framework.routed([slow, framework.fake(STRONG)], Always(CHEAP), deadline_s=0.5)

    async def ask() -> None:
        with suppress(TimeoutError):
            await framework.aask(routed, QUESTION)

    asyncio.run(ask())


def abandoned_and_broken_streams(framework: Framework) -> None:
    """Streams that are abandoned, and one that breaks off."""
    models = [framework.fake(CHEAP), framework.fake(STRONG)]
    routed = framework.routed(models, Always(CHEAP))
    with closing(framework.pieces(routed, QUESTION)) as pieces:  # type: ignore[type-var]
        next(pieces)

    async def leave() -> None:
        stream = framework.apieces(routed, QUESTION)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    broken = framework.fake(CHEAP, breaks_after=2)
    with suppress(InterruptedStreamError):
        list(framework.pieces(framework.routed([broken, models[1]], Always(CHEAP)), QUESTION))


def _combined(text: str) -> str:
    start = text.find("\n\n[{")
    if start < 0:
        return f"to {text}"
    answers = [{"id": q["id"], "answer": f"to {q['request']}"} for q in json.loads(text[start:])]
    return json.dumps({"answers": answers})


SHORT = "You are asked short things. " * 40 + "\n" + BLOATED
WAIT = 20.0


async def _together(
    framework: Framework, model: Any, *, count: int = 3, system: str = SHORT
) -> list[Any]:
    asked = []
    for text in (f"Thing number {n}?" for n in range(count)):
        asked.append(asyncio.create_task(framework.aask(model, text, system=system, user=text)))
        # In order: the first caller gets the tokens that cannot be divided.
        await asyncio.sleep(0.05)
    return await asyncio.gather(*asked, return_exceptions=True)


def _shared(
    framework: Framework,
    inner: Any,
    around: Callable[[Any], Any] = lambda model: model,
    *,
    times: int = 1,
    count: int = 3,
) -> None:
    """Ask questions that share a call of the inner model; `around` wraps the batched model."""
    batched = framework.batched(inner, max_size=count, max_delay=WAIT)
    model = around(batched)
    for _ in range(times):
        for answer in asyncio.run(_together(framework, model, count=count)):
            assert isinstance(answer, str)
            assert answer.startswith("to Thing number")
    batched.close()


def _strong(framework: Framework) -> Any:
    return framework.fake(STRONG, reply=_combined)


def shared_and_routed(framework: Framework) -> None:
    """Questions that share a call of a cheaper model: routing and batching both save."""
    inner = framework.fake(CHEAP, reply=_combined)
    _shared(
        framework,
        inner,
        lambda batched: framework.routed([batched, framework.fake(STRONG)], Always(CHEAP)),
        count=6,
    )


def shared_around_a_router(framework: Framework) -> None:
    """A router inside the batched model saves as much for each caller as on a separate call."""
    models = [framework.fake(CHEAP, reply=_combined), _strong(framework)]
    _shared(framework, framework.routed(models, Always(CHEAP)))


def alone_around_a_router(framework: Framework) -> None:
    """The same for a question that was not combined with others, also around an optimiser."""
    models = [framework.shortened(framework.fake(CHEAP, reply=_combined)), _strong(framework)]
    routed = framework.routed(models, _first())
    _shared(framework, routed, framework.cached, count=1, times=2)


def shared_around_an_optimiser(framework: Framework) -> None:
    """Tokens removed by an optimiser inside the batched model are split among the callers."""
    _shared(framework, framework.shortened(framework.fake(CHEAP, reply=_combined)))


def shared_between_strategies(framework: Framework) -> None:
    """Routers and an optimiser inside and around the batched model, and a cache; asked twice."""
    models = [framework.shortened(framework.fake(CHEAP, reply=_combined)), _strong(framework)]
    _shared(
        framework,
        framework.routed(models, _first()),
        lambda batched: framework.cached(
            framework.routed([batched, framework.fake("gpt-4.1")], _first())
        ),
        times=2,
    )


def cached_routed_and_shared(framework: Framework) -> None:
    """A cache around a router around a batched model; asked twice."""
    _shared(
        framework,
        framework.fake(CHEAP, reply=_combined),
        lambda batched: framework.cached(
            framework.routed([batched, framework.fake(STRONG)], _first())
        ),
        times=2,
    )


def cached_routed_and_shortened(framework: Framework) -> None:
    """A hit of a cache around a router also saves what an optimiser inside would remove."""
    models = [framework.shortened(framework.fake(CHEAP)), framework.fake(STRONG)]
    model = framework.cached(framework.routed(models, _first()))
    for method in METHODS:
        for _ in range(2):
            ask_by(framework, method, model, f"By {method}?", system=BLOATED)


def shared_around_a_cache(framework: Framework) -> None:
    """A cache hit for a combined prompt saves a call for each caller."""
    for count in (3, 1):
        _shared(
            framework,
            framework.cached(framework.fake(CHEAP, reply=_combined)),
            times=2,
            count=count,
        )


def shared_around_shared(framework: Framework) -> None:
    """With one batched model around another, each token is billed once."""
    inner = framework.batched(framework.fake(CHEAP, reply=_combined), max_size=3, max_delay=0.01)
    _shared(framework, inner)
    inner.close()


def shared_around_a_cascade(framework: Framework) -> None:
    """A cascade inside the batched model, whose models report their calls, discards its draft."""
    models = [
        framework.reporting(CHEAP, reply=lambda _: "It is 4."),
        framework.reporting(OTHER, reply=lambda _: "It is 5."),
        framework.reporting(STRONG, reply=_combined),
    ]
    policy = CascadePolicy(
        cheap=CHEAP,
        strong=STRONG,
        samples=[OTHER],
        verifier=Verifier(checks=(NotEmpty(), Agreement())),
    )
    _shared(framework, framework.routed(models, policy))


def shared_flex(framework: Framework) -> None:
    """A share is billed at the service tier of the shared call."""
    _shared(framework, framework.fake("gpt-5-mini", reply=_combined, service_tier="flex"))


def shared_and_missing(framework: Framework) -> None:
    """One answer is missing and asked for separately; the second time that fails too."""

    def forgetful(text: str) -> str:
        whole = _combined(text)
        if "[{" not in text:
            return whole
        return json.dumps({"answers": json.loads(whole)["answers"][1:]})

    for fails in (False, True):
        inner = framework.fake(
            CHEAP,
            reply=forgetful,
            service_tier="flex",
            fail=lambda text, fails=fails: ValueError("no") if fails and "[{" not in text else None,
        )
        batched = framework.batched(inner, max_size=3, max_delay=WAIT)
        asyncio.run(_together(framework, batched))
        batched.close()


def shared_and_refused(framework: Framework) -> None:
    """The shared call fails with an error for which separate calls would not help."""
    inner = framework.fake(CHEAP, fail=lambda _: RateLimitedError())
    batched = framework.batched(inner, max_size=3, max_delay=WAIT)
    found = asyncio.run(_together(framework, batched))
    assert [type(each) for each in found] == [RateLimitedError] * 3
    batched.close()


def _leaving(
    framework: Framework, *, size: int = 3, timeout: float | None = None, fails: bool = False
) -> tuple[Any, threading.Event, threading.Event]:
    """Return a batched model, an event set when it is called, and one that lets it go on."""
    came, go_on = threading.Event(), threading.Event()

    def held(text: str) -> str:
        came.set()
        assert go_on.wait(WAIT)
        if fails:
            raise RateLimitedError
        return _combined(text)

    inner = framework.fake(CHEAP, reply=held)
    batched = framework.batched(inner, max_size=size, max_delay=WAIT, timeout=timeout)
    return batched, came, go_on


def _cancel_a_caller(framework: Framework, *, fails: bool = False) -> None:
    batched, came, go_on = _leaving(framework, fails=fails)

    async def ask() -> None:
        tasks = [
            asyncio.create_task(framework.aask(batched, text, system=SHORT, user=text))
            for text in ("One?", "Two?", "Three?")
        ]
        assert await asyncio.to_thread(came.wait, WAIT)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[1].cancelled()

    asyncio.run(ask())
    batched.close()


def cancelled_callers(framework: Framework) -> None:
    """A caller is cancelled during its call, which then succeeds or fails."""
    _cancel_a_caller(framework)
    _cancel_a_caller(framework, fails=True)


def cancelled_before_sending(framework: Framework) -> None:
    """A caller is cancelled before its group is sent."""
    batched = framework.batched(framework.fake(CHEAP), max_size=3, max_delay=WAIT)

    async def ask() -> None:
        task = asyncio.create_task(framework.aask(batched, "One?", user="One?"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(ask())
    batched.close()


def timed_out_callers(framework: Framework) -> None:
    """Callers time out before their answer comes."""
    batched, _, go_on = _leaving(framework, timeout=0.5)
    found = asyncio.run(_together(framework, batched))
    assert [type(each) for each in found] == [TimeoutError] * 3
    go_on.set()
    batched.close()
    batched, _, go_on = _leaving(framework, size=1, timeout=0.5)
    with pytest.raises(TimeoutError):
        framework.ask(batched, "One?", user="One?")
    go_on.set()
    batched.close()


def summaries(framework: Framework) -> None:
    """A summary of earlier messages is charged to prompts."""
    with call_scope(CallContext(role="summary")):
        framework.ask(framework.fake(CHEAP), "Sum this up.")


SCRIPTS: tuple[Callable[[Framework], None], ...] = (
    stack,
    optimiser_around_a_cache,
    router_around_a_cache,
    fallback,
    cascade,
    cached_samples,
    router_around_a_router,
    cascade_around_a_cascade,
    late,
    cancelled,
    timed_out,
    abandoned_and_broken_streams,
    shared_and_routed,
    shared_around_a_router,
    alone_around_a_router,
    shared_around_an_optimiser,
    shared_between_strategies,
    cached_routed_and_shared,
    cached_routed_and_shortened,
    shared_around_a_cache,
    shared_around_shared,
    shared_around_a_cascade,
    shared_flex,
    shared_and_missing,
    shared_and_refused,
    cancelled_callers,
    cancelled_before_sending,
    timed_out_callers,
    summaries,
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_both_frameworks_record_the_same_calls(script: Callable[[Framework], None]) -> None:
    ledgers = [records_of(script, name) for name in FRAMEWORKS]
    assert ledgers[0]
    # The calls of one user are in order; those of several users may start in any order.
    for records in ledgers:
        records.sort(key=lambda record: record.tags.get("user", ""))
    one, other = ([_facts(record) for record in records] for records in ledgers)
    assert one == other


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_both_frameworks_see_the_same_runs(script: Callable[[Framework], None]) -> None:
    found = []
    for name in FRAMEWORKS:
        users = defaultdict(list)
        for record in records_of(script, name):
            assert record.tags["run"]
            users[record.tags["run"]].append(record.tags.get("user", ""))
        found.append(Counter(tuple(sorted(each)) for each in users.values()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", FRAMEWORKS)
class TestEachFramework:
    def test_a_hit_inside_an_optimiser_saves_the_whole_prompt(self, name: str) -> None:
        called, hit = records_of(optimiser_around_a_cache, name)
        assert hit.baseline_cost == called.baseline_cost
        assert (called.baseline_cost or 0) > (called.cost or 0)

    def test_a_hit_inside_a_router_saves_the_model_not_asked(self, name: str) -> None:
        called, hit = records_of(router_around_a_cache, name)
        assert hit.baseline_model == STRONG
        assert hit.baseline_cost == called.baseline_cost

    def test_a_sample_from_a_cache_saves_nothing(self, name: str) -> None:
        hits = [record for record in records_of(cached_samples, name) if record.hit_strategy]
        assert [(hit.cost, hit.baseline_cost, hit.savings) for hit in hits] == [
            (Decimal(0), Decimal(0), ())
        ]

    def test_a_draft_that_an_outer_cascade_discards_saves_nothing(self, name: str) -> None:
        by_model = {record.model: record for record in records_of(cascade_around_a_cascade, name)}
        discarded, judge, served = (by_model[model] for model in (CHEAP, "gpt-4.1-nano", STRONG))
        assert (discarded.baseline_cost, discarded.saved) == (0, -(discarded.cost or 0))
        assert (judge.baseline_cost, judge.saved) == (0, -(judge.cost or 0))
        assert served.baseline_cost == served.cost

    def test_an_answer_after_the_deadline_is_a_negative_saving(self, name: str) -> None:
        (record,) = records_of(late, name)
        assert (record.baseline_cost, record.saved) == (0, -(record.cost or 0))

    def test_a_router_inside_a_batched_model_saves_as_much_as_around_it(self, name: str) -> None:
        inside, outside = records_of(shared_around_a_router, name), []
        for record in inside:
            saved = {saving.strategy: saving.amount for saving in record.savings}
            prices = PriceBook()
            alone = record.baseline_usage or Usage()
            cheap = prices.cost(alone, CHEAP, provider="openai")
            assert (record.model, record.baseline_model) == (CHEAP, STRONG)
            assert saved["routing"] == prices.cost(alone, STRONG, provider="openai") - cheap
            assert saved["batching"] == cheap - (record.cost or 0)
            outside.append(record.latency_s)
        assert all(outside)

    def test_an_optimiser_inside_a_batched_model_is_billed_for_what_it_sent(
        self, name: str
    ) -> None:
        found = records_of(shared_around_an_optimiser, name)
        for record in found:
            alone = record.baseline_usage or Usage()
            assert alone.input_tokens > len(SHORT.split()) > record.usage.input_tokens
            assert {saving.strategy for saving in record.savings} == {"prompts", "batching"}

    def test_a_hit_saves_the_baseline_call_even_if_that_was_shared(self, name: str) -> None:
        for script in (cached_routed_and_shared, shared_between_strategies, alone_around_a_router):
            found = records_of(script, name)
            half = len(found) // 2
            for called, hit in zip(found[:half], found[half:], strict=True):
                assert (hit.hit_strategy, hit.cost) == ("cache.exact", 0)
                assert hit.baseline_cost == called.baseline_cost
                assert hit.baseline_model == called.baseline_model != CHEAP

    def test_a_hit_for_a_combined_prompt_saves_a_call_for_each_caller(self, name: str) -> None:
        found = records_of(shared_around_a_cache, name)
        called, hits = found[:3], found[3:6]
        assert [hit.baseline_cost for hit in hits] == [each.baseline_cost for each in called]
        assert {(hit.cost, hit.estimated) for hit in hits} == {(Decimal(0), True)}
        alone, again = found[6:]
        assert (again.baseline_cost, again.estimated) == (alone.cost, False)

    def test_a_cascade_inside_a_batched_model_is_billed_for_all_its_calls(self, name: str) -> None:
        found = records_of(shared_around_a_cascade, name)
        assert Counter(record.model for record in found) == {CHEAP: 1, OTHER: 1, STRONG: 3}
        for record in found:
            if record.model != STRONG:
                assert (record.status, record.baseline_cost) == ("ok", 0)
                assert (record.cost or 0) > 0

    def test_a_share_has_the_service_tier_of_the_shared_call(self, name: str) -> None:
        for record in records_of(shared_flex, name):
            saved = {saving.strategy for saving in record.savings}
            assert (record.tier, saved) == ("flex", {"tier", "batching"})
            assert record.latency_s is not None

    def test_the_share_of_a_caller_that_left_has_the_status_it_saw(self, name: str) -> None:
        found = records_of(cancelled_callers, name)
        ends = [(record.status, record.error, bool(record.cost)) for record in found]
        left, refused = ("abandoned", "CancelledError"), ("error", "RateLimitedError")
        # Callers that start together share in any order.
        assert Counter(ends[:3]) == {("ok", None, True): 2, (*left, True): 1}
        assert Counter(ends[3:]) == {(*refused, False): 2, (*left, False): 1}
        (unsent,) = records_of(cancelled_before_sending, name)
        assert (unsent.status, unsent.error, unsent.cost) == (*left, 0)
        late = records_of(timed_out_callers, name)
        assert {(record.status, record.error) for record in late} == {("error", "TimeoutError")}
        assert all(record.cost == record.baseline_cost and record.cost for record in late)
        assert not any(record.savings for record in late)

    def test_a_cancelled_call_has_a_cost(self, name: str) -> None:
        plain, routed, cached, both, draft, escalated = records_of(cancelled, name)
        assert draft.status == "ok"
        for record in (plain, routed, cached, both, escalated):
            assert (record.status, record.error) == ("abandoned", "CancelledError")
            assert record.estimated
            assert (record.cost or 0) > 0
            assert record.tags["user"] == "u1"
        assert [r.baseline_model for r in (plain, routed, both)] == [CHEAP, STRONG, STRONG]
        (record,) = records_of(timed_out, name)
        assert (record.status, record.baseline_model) == ("abandoned", STRONG)

    def test_routing_and_batching_both_save(self, name: str) -> None:
        found = records_of(shared_and_routed, name)
        prices = PriceBook()
        for record in found:
            saved = {saving.strategy: saving for saving in record.savings}
            assert set(saved) == {"routing", "batching"}
            alone = record.baseline_usage or Usage()
            strong = prices.cost(alone, STRONG, provider="openai")
            cheap = prices.cost(alone, CHEAP, provider="openai")
            assert saved["routing"].amount == strong - cheap
            assert saved["batching"].amount == cheap - (record.cost or 0)
            assert (saved["routing"].basis, saved["batching"].basis) == ("measured", "estimated")
            assert record.baseline_cost == strong

    def test_every_call_of_a_cascade_is_recorded_under_the_id_of_its_attempt(
        self, name: str
    ) -> None:
        framework, ledger = FRAMEWORKS[name](), Ledger()
        models = [framework.fake(CHEAP, reply=lambda _: ""), framework.fake(STRONG)]
        with framework.counting():
            routed = framework.routed(
                models, CascadePolicy(cheap=CHEAP, strong=STRONG), ledger=ledger
            )
            framework.ask(routed, QUESTION)
        (note,) = ledger.notes("routing.decision")
        attempts: Any = note.payload["attempts"]
        assert {each["call_id"] for each in attempts} == {each.id for each in framework.records()}
        assert [each["outcome"] for each in attempts] == ["escalated", "served"]

    def test_user_and_session_are_read_from_any_of_their_usual_names(self, name: str) -> None:
        framework, ledger = FRAMEWORKS[name](), Ledger()
        models = [framework.fake(CHEAP), framework.fake(STRONG)]
        routed = framework.routed(models, Always(CHEAP), ledger=ledger)
        for tags in (
            {"user": "u1", "session": "s1"},
            {"user_id": "u1", "session_id": "s1"},
            {"user_id": "u1", "thread_id": "s1", "task": "chat"},
        ):
            framework.tagged(routed, QUESTION, tags)
        known = [
            (note.payload["user"], note.payload["session"])
            for note in ledger.notes("routing.decision")
        ]
        assert known == [("u1", "s1")] * 3

    def test_a_broken_stream_is_not_recorded_as_served(self, name: str) -> None:
        framework, ledger = FRAMEWORKS[name](), Ledger()
        models = [framework.fake(CHEAP, breaks_after=2), framework.fake(STRONG)]
        routed = framework.routed(models, Always(CHEAP), ledger=ledger)
        with pytest.raises(InterruptedStreamError) as broken:
            list(framework.pieces(routed, QUESTION))
        assert broken.value.partial.split() == [CHEAP, "says:"]
        (note,) = ledger.notes("routing.decision")
        assert note.payload["served_by"] is None
        assert list(routed.router.health.cooling(now=routed.router.clock())) == [CHEAP]


def records_of(script: Callable[[Framework], None], name: str) -> list[CallRecord]:
    """Run a script in one framework and return its records in the order of the calls."""
    framework: Framework = FRAMEWORKS[name]()
    with framework.counting():
        script(framework)
    return sorted(
        framework.records(), key=lambda record: (record.time, record.tags.get("user", ""))
    )


def _first() -> Any:
    """Return a policy that always chooses the weakest model."""

    class First:
        def choose(self, policy_input: Any) -> Any:
            return Always(policy_input.candidates[0].model).choose(policy_input)

    return First()


def _judged() -> Any:
    """Return a cascade from the weakest to the strongest model, judged by the one between."""

    class Judged:
        def choose(self, policy_input: Any) -> Any:
            weak, judge, strong = (candidate.model for candidate in policy_input.candidates)
            verifier = Verifier(checks=(NotEmpty(),), judge=Judge(model=judge), threshold=0.7)
            policy = CascadePolicy(cheap=weak, strong=strong, verifier=verifier)
            return policy.choose(policy_input)

    return Judged()


def _facts(record: CallRecord) -> Any:
    savings = [(saving.strategy, saving.amount, saving.basis) for saving in record.savings]
    return (
        record.model,
        record.provider,
        record.usage,
        record.cost,
        record.baseline_model,
        record.baseline_cost,
        record.baseline_usage,
        record.tier,
        record.hit_strategy,
        record.status,
        record.error,
        record.estimated,
        {name: value for name, value in record.tags.items() if name != "run"},
        savings,
    )
