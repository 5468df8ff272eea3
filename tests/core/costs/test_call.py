"""From what was seen of a call to its record, and what is known of a call while it is made."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llm_optimizers.costs import Ledger, ModelPrice, PriceBook, Usage
from llm_optimizers.costs.call import (
    NOT_SHARED,
    Call,
    CallShare,
    Reported,
    ServedAnswer,
    baseline_call,
    status_of,
)
from llm_optimizers.costs.context import (
    CONTEXTS_BY_CALL,
    CallContext,
    Drafts,
    Role,
    call_scope,
    context_of,
    context_with_call,
)
from llm_optimizers.costs.pricing import RemovedTokens

MILLION = Usage(input_tokens=1_000_000)
PRICES = PriceBook(
    {
        "cheap": ModelPrice(input=Decimal(1), output=Decimal(4), cache_read=Decimal("0.5")),
        "strong": ModelPrice(input=Decimal(10), output=Decimal(40)),
    }
)
CALL = Call(id="c1", time=datetime(2026, 1, 2, tzinfo=UTC), asked="cheap", reported=MILLION)


def test_the_name_that_has_a_price_is_the_model() -> None:
    assert replace(CALL, answered="strong").record(PRICES).model == "strong"
    assert replace(CALL, answered="cheap-2026-01-02-house").record(PRICES).model == "cheap"
    unknown = replace(CALL, asked="", answered="").record(PRICES)
    assert (unknown.model, unknown.cost) == ("unknown", None)


@pytest.mark.parametrize(
    ("role", "strategy"), [("sample", "routing"), ("judge", "routing"), ("summary", "prompts")]
)
def test_a_call_that_only_a_strategy_made_is_charged_to_it(role: Role, strategy: str) -> None:
    record = replace(CALL, context=CallContext(role=role, baseline_model="strong")).record(PRICES)
    assert (record.cost, record.baseline_cost) == (Decimal(1), Decimal(0))
    assert [(s.strategy, s.amount) for s in record.savings] == [(strategy, Decimal(-1))]


def test_what_optimisers_removed_adds_up_and_repeated_tokens_come_at_the_cache_price() -> None:
    known = CallContext().with_removed(RemovedTokens(tokens=600_000))
    known = known.with_removed(RemovedTokens(tokens=400_000, repeated=400_000))
    read = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000)
    record = replace(CALL, reported=read, context=known).record(PRICES)
    assert record.baseline_usage == Usage(input_tokens=2_000_000, cache_read_tokens=1_400_000)
    assert record.savings[0].amount == Decimal("0.6") + Decimal("0.4") * Decimal("0.5")


def test_a_served_answer_saves_the_call_of_the_model_that_would_have_been_asked() -> None:
    served = replace(
        CALL,
        reported=None,
        served=ServedAnswer(tier="exact", usage=MILLION),
        context=CallContext(baseline_model="strong"),
    )
    record = served.record(PRICES)
    assert (record.usage, record.cost, record.baseline_cost) == (Usage(), 0, Decimal(10))
    assert [(s.strategy, s.amount) for s in record.savings] == [("cache.exact", Decimal(10))]
    unknown = replace(
        served, served=ServedAnswer(tier="exact", usage=None), removed=RemovedTokens(tokens=9)
    )
    assert unknown.record(PRICES).baseline_cost is None


def test_a_share_saves_the_difference_to_a_call_alone_on_top_of_what_routing_saves() -> None:
    half = Usage(input_tokens=500_000)
    shared = replace(
        CALL,
        reported=half,
        share=CallShare(alone=MILLION, estimated=True),
        context=CallContext(baseline_model="strong"),
    )
    record = shared.record(PRICES)
    assert (record.usage, record.cost, record.baseline_cost) == (half, Decimal("0.5"), Decimal(10))
    saved = {s.strategy: (s.amount, s.basis) for s in record.savings}
    assert saved == {
        "routing": (Decimal(9), "measured"),
        "batching": (Decimal("0.5"), "estimated"),
    }


def test_strategies_behind_the_sharing_save_their_own_too() -> None:
    """They are known from the answer, and those around it from the context: of two routers the
    outer one's baseline counts."""
    half = Usage(input_tokens=500_000)
    share = CallShare(
        alone=MILLION,
        estimated=True,
        removed=RemovedTokens(tokens=250_000),
        baseline_model="strong",
    )
    shared = replace(CALL, reported=half, share=share, removed=RemovedTokens(tokens=250_000))
    record = shared.record(PRICES)
    assert record.baseline_usage == Usage(input_tokens=1_500_000)
    saved = {s.strategy: s.amount for s in record.savings}
    assert saved == {"prompts": Decimal(5), "routing": Decimal(9), "batching": Decimal("0.5")}
    around = replace(shared, context=CallContext(baseline_model="cheap")).record(PRICES)
    assert around.baseline_model == "cheap"


def test_a_share_of_a_served_answer_saves_the_call_alone_but_for_what_was_spent() -> None:
    share = CallShare(alone=MILLION, estimated=True, served="exact")
    served = replace(CALL, reported=None, share=share)
    record = served.record(PRICES)
    assert (record.hit_strategy, record.cost, record.estimated) == ("cache.exact", 0, True)
    assert [(s.strategy, s.amount) for s in record.savings] == [("cache.exact", Decimal(1))]
    spent = replace(served, reported=Usage(input_tokens=100_000)).record(PRICES)
    assert (spent.cost, spent.baseline_cost) == (Decimal("0.1"), Decimal(1))
    assert spent.saved == Decimal("0.9")


def test_a_share_without_an_answer_for_its_caller_saves_nothing() -> None:
    share = CallShare(alone=MILLION, estimated=True, served="exact")
    half = Usage(input_tokens=500_000)
    late = replace(CALL, reported=half, share=share, status="error").record(PRICES)
    unanswered = replace(CALL, reported=half, share=NOT_SHARED, status="abandoned").record(PRICES)
    for record in (late, unanswered):
        assert (record.cost, record.baseline_cost) == (Decimal("0.5"), Decimal("0.5"))
        assert (record.savings, record.hit_strategy, record.estimated) == ((), None, False)


def test_a_share_is_read_as_it_was_written() -> None:
    share = CallShare(
        alone=MILLION,
        estimated=True,
        removed=RemovedTokens(tokens=3, repeated=2),
        baseline_model="strong",
        served="semantic",
    )
    assert CallShare.from_dict(json.loads(json.dumps(share.as_dict()))) == share
    assert CallShare.from_dict(NOT_SHARED.as_dict()) == NOT_SHARED
    for other in (None, {}, "share", {**share.as_dict(), "alone": {"input_tokens": -1}}):
        assert CallShare.from_dict(other) is None


def test_the_bare_call_is_the_one_without_any_strategy() -> None:
    said = Reported(model="cheap", usage=Usage(input_tokens=10), tier="flex")
    assert baseline_call(said) == Reported(model="cheap", usage=Usage(input_tokens=10))
    share = CallShare(
        alone=Usage(input_tokens=50),
        estimated=True,
        removed=RemovedTokens(tokens=5),
        baseline_model="inner",
    )
    bare = baseline_call(said, share=share, removed=RemovedTokens(tokens=7))
    assert bare == Reported(model="inner", usage=Usage(input_tokens=62))
    assert baseline_call(said, share=share, baseline_model="outer").model == "outer"
    assert baseline_call(Reported(), removed=RemovedTokens(tokens=7)) == Reported()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "error"),
        (TimeoutError(), "error"),
        (asyncio.CancelledError(), "abandoned"),
        (GeneratorExit(), "abandoned"),
    ],
)
def test_how_a_call_ended_is_read_from_its_error(error: BaseException | None, status: str) -> None:
    assert status_of(error) == status


def test_a_call_left_midway_has_the_greater_of_what_was_reported_and_counted() -> None:
    reported = Usage(input_tokens=900, output_tokens=1)
    left = replace(CALL, status="abandoned", reported=reported)
    counted = Usage(input_tokens=800, output_tokens=70)
    record = left.record(PRICES, lambda: counted)
    assert record.usage == Usage(input_tokens=900, output_tokens=70)
    assert record.estimated
    assert left.record(PRICES, lambda: None).usage == reported


def test_tokens_are_counted_only_where_none_were_reported() -> None:
    def never() -> Usage:
        raise AssertionError

    assert CALL.record(PRICES, never).usage == MILLION
    failed = replace(CALL, status="error", reported=None)
    assert failed.record(PRICES, never).usage == Usage()
    counted = replace(CALL, reported=None).record(PRICES, lambda: MILLION)
    assert (counted.usage, counted.estimated) == (MILLION, True)


def test_of_an_answer_reported_alone_the_prompt_is_counted_here() -> None:
    alone = replace(CALL, reported=Usage(output_tokens=9))
    record = alone.record(PRICES, lambda: Usage(input_tokens=7, output_tokens=5))
    assert (record.usage, record.estimated) == (Usage(input_tokens=7, output_tokens=9), True)
    unknown = alone.record(PRICES, lambda: None)
    assert (unknown.usage, unknown.estimated) == (Usage(output_tokens=9), False)
    # What is billed with another call, as several prompts sent together are, used nothing.
    together = replace(CALL, reported=Usage()).record(PRICES, lambda: MILLION)
    assert (together.usage, together.estimated) == (Usage(), False)


def test_a_shared_bill_is_recorded_by_those_who_share_it() -> None:
    ledger = Ledger(prices=PRICES)
    replace(CALL, context=CallContext(shared=True)).account(ledger)
    assert not list(ledger.records())


def test_drafts_are_written_once_it_is_known_what_became_of_them() -> None:
    ledger, drafts = Ledger(prices=PRICES), Drafts()
    known = CallContext(role="draft", drafts=drafts, baseline_model="strong")
    for name in ("kept", "thrown"):
        replace(CALL, id=name, context=replace(known, draft_id=name)).account(ledger)
    assert not list(ledger.records())
    drafts.resolve("kept")
    replace(CALL, id="late", context=replace(known, draft_id="late")).account(ledger)
    saved = {record.id: record.saved for record in ledger.records()}
    assert saved == {"kept": Decimal(9), "thrown": Decimal(-1), "late": Decimal(-1)}


def test_what_is_thrown_away_is_charged_to_the_strategy_that_made_it() -> None:
    ledger, routing = Ledger(prices=PRICES), Drafts()
    around = CallContext(role="draft", drafts=routing, draft_id="routed", baseline_model="strong")
    for name, kept in (("whole", "whole"), ("cut", None)):
        drafts = Drafts(around, strategy="prompts")
        known = replace(around, drafts=drafts, draft_id=name)
        replace(CALL, id=name, context=known).account(ledger)
        drafts.resolve(kept)
    (cut,) = ledger.records()  # the other is still the router's draft
    assert [(s.strategy, s.amount) for s in cut.savings] == [("prompts", Decimal(-1))]
    routing.resolve("routed")
    assert {record.id: record.saved for record in ledger.records()} == {"cut": -1, "whole": 9}


def test_a_draft_that_failed_is_written_at_once() -> None:
    ledger = Ledger(prices=PRICES)
    known = CallContext(role="draft", drafts=Drafts())
    replace(CALL, status="error", context=known).account(ledger)
    assert [record.status for record in ledger.records()] == ["error"]


def test_drafts_held_by_many_threads_are_each_written_once() -> None:
    ledger, drafts = Ledger(prices=PRICES), Drafts()
    known = CallContext(role="draft", drafts=drafts)
    ready = threading.Barrier(9)

    def hold(number: int) -> None:
        ready.wait()
        for n in range(50):
            name = f"{number}-{n}"
            replace(CALL, id=name, context=replace(known, draft_id=name)).account(ledger)

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    ready.wait()
    drafts.resolve("3-7")
    for thread in threads:
        thread.join()
    found = list(ledger.records())
    assert len(found) == 400
    assert [record.id for record in found if record.saved == 0] == ["3-7"]


def test_what_is_known_of_a_call_follows_the_code_that_makes_it() -> None:
    async def asked(name: str) -> str | None:
        with call_scope(CallContext(baseline_model=name)):
            await asyncio.sleep(0)
            return await asyncio.to_thread(lambda: context_of().baseline_model)

    async def both() -> list[str | None]:
        return await asyncio.gather(asked("one"), asked("two"))

    assert asyncio.run(both()) == ["one", "two"]
    assert context_of() == CallContext()


def test_a_stream_is_read_in_the_context_it_was_asked_for_in() -> None:
    async def chunks() -> AsyncIterator[str | None]:
        for _ in range(2):
            yield context_of().baseline_model

    async def read() -> list[str | None]:
        known = context_with_call(contextvars.copy_context(), CallContext(baseline_model="strong"))
        stream = chunks()
        return [
            await asyncio.get_running_loop().create_task(_next(stream), context=known)
            for _ in range(2)
        ]

    async def _next(stream: AsyncIterator[str | None]) -> str | None:
        return await anext(stream)

    assert asyncio.run(read()) == ["strong", "strong"]
    known = context_with_call(contextvars.copy_context(), CallContext(baseline_model="strong"))
    assert context_of(within=known).baseline_model == "strong"
    assert context_of().baseline_model is None


def test_a_call_on_another_thread_is_known_by_its_id_as_long_as_its_maker_lives() -> None:
    known = CONTEXTS_BY_CALL["run-7"] = CallContext(id="run-7", baseline_model="strong")
    found: list[str | None] = []
    thread = threading.Thread(
        target=lambda: found.append(context_of("run-7").baseline_model),
    )
    thread.start()
    thread.join()
    assert found == ["strong"]
    del known
    gc.collect()
    assert context_of("run-7").baseline_model is None
