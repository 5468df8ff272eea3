"""The same calls make the same account in either framework, to the last digit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage
from llm_optimizers.costs.context import CallContext, calling
from llm_optimizers.errors import InterruptedStreamError
from llm_optimizers.routing import Always
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty
from llm_optimizers.routing.cascade.verifier import Judge, Verifier
from llm_optimizers.routing.policies.cascade import CascadePolicy
from support.frameworks import DOORS, FRAMEWORKS, Framework, through

CHEAP, OTHER, STRONG = "gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"
QUESTION, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"
BLOATED = "Be   brief.\n\n\n\n\nBe brief."


class RateLimitedError(Exception):
    status_code = 429


def stack(framework: Framework) -> None:
    """Cache, prompts and router behind one another, by every door."""
    models = [framework.fake(name) for name in (CHEAP, STRONG)]
    model = framework.cached(framework.shortened(framework.routed(models, Always(CHEAP))))
    for door in DOORS:
        for text in (QUESTION, PARAPHRASE, f"Something else, by {door}?"):
            through(framework, door, model, text, system=BLOATED)
    for text in ("One?", "Two?"):
        framework.ask(framework.fake("house-blend-7"), text, user="u1")


def shortened_before_the_cache(framework: Framework) -> None:
    """A hit behind an optimiser saves the call with its whole prompt."""
    model = framework.shortened(framework.cached(framework.fake(STRONG)))
    for _ in range(2):
        framework.ask(model, QUESTION, system=BLOATED)


def cached_behind_the_router(framework: Framework) -> None:
    """A hit of the cheap model's own cache saves the call of the model that was not asked."""
    models = [framework.cached(framework.fake(CHEAP)), framework.fake(STRONG)]
    model = framework.routed(models, Always(CHEAP))
    for _ in range(2):
        framework.ask(model, QUESTION)


def fallback(framework: Framework) -> None:
    """A model that fails is replaced."""
    cheap = framework.fake(CHEAP, fail=lambda _: RateLimitedError())
    for door in DOORS:
        through(
            framework, door, framework.routed([cheap, framework.fake(STRONG)], Always(CHEAP)), door
        )


def cascade(framework: Framework) -> None:
    """Drafts that are kept and thrown away, with a second opinion and a judge."""

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
        for door in DOORS:
            for text in ("an easy one", "a hard one", "an empty one"):
                through(framework, door, framework.routed(models, policy), f"{text}, {door}")


def cached_opinions(framework: Framework) -> None:
    """A second opinion out of a cache is neither spend nor saving."""
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


def routers_behind_a_router(framework: Framework) -> None:
    """The model that would have been asked without any router is the outermost's."""
    inner = framework.routed([framework.fake(CHEAP), framework.fake(OTHER)], Always(CHEAP))
    framework.ask(framework.routed([inner, framework.fake(STRONG)], _first()), QUESTION)


def left_and_broken(framework: Framework) -> None:
    """Streams that are abandoned, and one that breaks midway."""
    models = [framework.fake(CHEAP), framework.fake(STRONG)]
    routed = framework.routed(models, Always(CHEAP))
    with closing(framework.pieces(routed, QUESTION)) as pieces:  # type: ignore[type-var]
        next(pieces)

    async def leave() -> None:
        later = framework.apieces(routed, QUESTION)
        await anext(later)
        await later.aclose()  # type: ignore[attr-defined]

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


def shared_and_routed(framework: Framework) -> None:
    """Questions that share a call of a cheaper model: routing and batching each save their own."""
    batched = framework.batched(framework.fake(CHEAP, reply=_combined))
    routed = framework.routed([batched, framework.fake(STRONG)], Always(CHEAP))
    system = "You are asked short things. " * 40

    async def together() -> None:
        # Of six lengths: whoever comes first, no two have the same claim to a token that is left.
        texts = [f"Thing number {n}{' or so' * n}?" for n in range(6)]
        await asyncio.gather(
            *(framework.aask(routed, text, system=system, user=text) for text in texts)
        )

    asyncio.run(together())
    batched.close()


def summaries(framework: Framework) -> None:
    """A summary of earlier messages is charged to prompts."""
    with calling(CallContext(role="summary")):
        framework.ask(framework.fake(CHEAP), "Sum this up.")


SCRIPTS: tuple[Callable[[Framework], None], ...] = (
    stack,
    shortened_before_the_cache,
    cached_behind_the_router,
    fallback,
    cascade,
    cached_opinions,
    routers_behind_a_router,
    left_and_broken,
    shared_and_routed,
    summaries,
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_both_frameworks_keep_the_same_account(script: Callable[[Framework], None]) -> None:
    accounts = [records_of(script, name) for name in FRAMEWORKS]
    assert accounts[0]
    one, other = ([_facts(record) for record in account] for account in accounts)
    assert one == other


@pytest.mark.parametrize("name", FRAMEWORKS)
class TestEither:
    def test_a_hit_behind_an_optimiser_saves_the_whole_prompt(self, name: str) -> None:
        called, hit = records_of(shortened_before_the_cache, name)
        assert hit.baseline_cost == called.baseline_cost
        assert (called.baseline_cost or 0) > (called.cost or 0)

    def test_a_hit_behind_a_router_saves_the_model_that_was_not_asked(self, name: str) -> None:
        called, hit = records_of(cached_behind_the_router, name)
        assert hit.baseline_model == STRONG
        assert hit.baseline_cost == called.baseline_cost

    def test_an_opinion_out_of_a_cache_saves_nothing(self, name: str) -> None:
        hits = [record for record in records_of(cached_opinions, name) if record.hit_strategy]
        assert [(hit.cost, hit.baseline_cost, hit.savings) for hit in hits] == [
            (Decimal(0), Decimal(0), ())
        ]

    def test_routing_and_sharing_each_save_their_own(self, name: str) -> None:
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

    def test_every_call_of_a_cascade_is_in_the_account_under_its_attempt(self, name: str) -> None:
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

    def test_who_asks_is_known_by_any_usual_name(self, name: str) -> None:
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

    def test_a_stream_that_breaks_is_no_served_answer(self, name: str) -> None:
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
    """The records that a script leaves in one framework, a user's in the order of their calls."""
    framework: Framework = FRAMEWORKS[name]()
    with framework.counting():
        script(framework)
    return sorted(
        framework.records(), key=lambda record: (record.tags.get("user", ""), record.time)
    )


def _first() -> Any:
    """A policy that takes the weakest model, whatever its name."""

    class First:
        def choose(self, situation: Any) -> Any:
            return Always(situation.candidates[0].model).choose(situation)

    return First()


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
        dict(record.tags),
        savings,
    )
