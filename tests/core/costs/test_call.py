"""The record made from a call, and the call context that strategies pass along."""

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
from llm_optimizers.costs.answers import (
    NOT_SHARED,
    CallShare,
    Reported,
    ServedAnswer,
    baseline_call,
)
from llm_optimizers.costs.call import Call, status_of
from llm_optimizers.costs.context import (
    CONTEXTS_BY_CALL,
    CallContext,
    Drafts,
    Role,
    call_scope,
    context_of,
    context_with_call,
)
from llm_optimizers.costs.removed import RemovedTokens

MILLION = Usage(input_tokens=1_000_000)
PRICES = PriceBook(
    {
        "cheap": ModelPrice(input=Decimal(1), output=Decimal(4), cache_read=Decimal("0.5")),
        "strong": ModelPrice(input=Decimal(10), output=Decimal(40)),
    }
)
CALL = Call(id="c1", time=datetime(2026, 1, 2, tzinfo=UTC), asked="cheap", reported=MILLION)


def test_the_first_name_with_a_price_is_the_model() -> None:
    assert replace(CALL, answered="strong").record(PRICES).model == "strong"
    assert replace(CALL, answered="cheap-2026-01-02-house").record(PRICES).model == "cheap"
    unknown = replace(CALL, asked="", answered="").record(PRICES)
    assert (unknown.model, unknown.cost) == ("unknown", None)


@pytest.mark.parametrize(
    ("role", "strategy"), [("sample", "routing"), ("judge", "routing"), ("summary", "prompts")]
)
def test_a_call_made_only_by_a_strategy_is_charged_to_it(role: Role, strategy: str) -> None:
    record = replace(CALL, context=CallContext(role=role, baseline_model="strong")).record(PRICES)
    assert (record.cost, record.baseline_cost) == (Decimal(1), Decimal(0))
    assert [(s.strategy, s.amount) for s in record.savings] == [(strategy, Decimal(-1))]


def test_removed_tokens_add_up_and_repeated_ones_are_priced_as_cached() -> None:
    known = CallContext().with_removed(RemovedTokens(tokens=600_000))
    known = known.with_removed(RemovedTokens(tokens=400_000, repeated=400_000))
    read = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000)
    record = replace(CALL, reported=read, context=known).record(PRICES)
    assert record.baseline_usage == Usage(input_tokens=2_000_000, cache_read_tokens=1_400_000)
    assert record.savings[0].amount == Decimal("0.6") + Decimal("0.4") * Decimal("0.5")


def test_a_cache_hit_saves_the_call_of_the_baseline_model() -> None:
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


def test_a_share_saves_the_difference_to_a_separate_call_in_addition_to_routing() -> None:
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


def test_a_share_without_a_price_counts_what_was_used() -> None:
    half = Usage(input_tokens=500_000)
    shared = replace(
        CALL, asked="unlisted", reported=half, share=CallShare(alone=MILLION, estimated=True)
    )
    record = shared.record(PRICES)
    assert (record.usage, record.baseline_usage) == (half, MILLION)
    assert (record.cost, record.baseline_cost, record.savings) == (None, None, ())


def test_strategies_applied_to_a_shared_call_keep_their_savings() -> None:
    """Of two routers, one before and one after the sharing, the outer one's baseline counts."""
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


def test_a_share_of_a_cache_hit_saves_a_separate_call_minus_what_was_spent() -> None:
    share = CallShare(alone=MILLION, estimated=True, served="exact")
    served = replace(CALL, reported=None, share=share)
    record = served.record(PRICES)
    assert (record.hit_strategy, record.cost, record.estimated) == ("cache.exact", 0, True)
    assert [(s.strategy, s.amount) for s in record.savings] == [("cache.exact", Decimal(1))]
    spent = replace(served, reported=Usage(input_tokens=100_000)).record(PRICES)
    assert (spent.cost, spent.baseline_cost) == (Decimal("0.1"), Decimal(1))
    assert spent.saved == Decimal("0.9")


def test_a_share_whose_caller_got_no_answer_saves_nothing() -> None:
    share = CallShare(alone=MILLION, estimated=True, served="exact")
    half = Usage(input_tokens=500_000)
    late = replace(CALL, reported=half, share=share, status="error").record(PRICES)
    unanswered = replace(CALL, reported=half, share=NOT_SHARED, status="abandoned").record(PRICES)
    for record in (late, unanswered):
        assert (record.cost, record.baseline_cost) == (Decimal("0.5"), Decimal("0.5"))
        assert (record.savings, record.hit_strategy, record.estimated) == ((), None, False)


def test_a_share_survives_a_round_trip_through_json() -> None:
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


def test_the_baseline_call_is_the_one_without_any_strategy() -> None:
    said = Reported(model="cheap", usage=Usage(input_tokens=10), tier="flex")
    assert baseline_call(said) == Reported(model="cheap", usage=Usage(input_tokens=10))
    share = CallShare(
        alone=Usage(input_tokens=50),
        estimated=True,
        removed=RemovedTokens(tokens=5),
        baseline_model="inner",
    )
    baseline = baseline_call(said, share=share, removed=RemovedTokens(tokens=7))
    assert baseline == Reported(model="inner", usage=Usage(input_tokens=62), estimated=True)
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
def test_a_calls_status_is_read_from_its_error(error: BaseException | None, status: str) -> None:
    assert status_of(error) == status


def test_an_unfinished_call_has_the_larger_of_reported_and_counted_tokens() -> None:
    reported = Usage(input_tokens=900, output_tokens=1)
    left = replace(CALL, status="abandoned", reported=reported)
    counted = Usage(input_tokens=800, output_tokens=70)
    record = left.record(PRICES, lambda: counted)
    assert record.usage == Usage(input_tokens=900, output_tokens=70)
    assert record.estimated
    assert left.record(PRICES, lambda: None).usage == reported


def test_tokens_are_counted_locally_only_if_none_were_reported() -> None:
    def never() -> Usage:
        raise AssertionError

    assert CALL.record(PRICES, never).usage == MILLION
    failed = replace(CALL, status="error", reported=None)
    assert failed.record(PRICES, never).usage == Usage()
    counted = replace(CALL, reported=None).record(PRICES, lambda: MILLION)
    assert (counted.usage, counted.estimated) == (MILLION, True)


def test_the_prompt_is_counted_locally_if_only_the_answer_was_reported() -> None:
    alone = replace(CALL, reported=Usage(output_tokens=9))
    record = alone.record(PRICES, lambda: Usage(input_tokens=7, output_tokens=5))
    assert (record.usage, record.estimated) == (Usage(input_tokens=7, output_tokens=9), True)
    unknown = alone.record(PRICES, lambda: None)
    assert (unknown.usage, unknown.estimated) == (Usage(output_tokens=9), False)
    # A call billed as part of another, as prompts sent together are, reports zero tokens.
    together = replace(CALL, reported=Usage()).record(PRICES, lambda: MILLION)
    assert (together.usage, together.estimated) == (Usage(), False)


def test_a_shared_call_is_not_recorded_itself() -> None:
    ledger = Ledger(prices=PRICES)
    replace(CALL, context=CallContext(shared=True)).account(ledger)
    assert not list(ledger.records())


def test_drafts_are_written_once_it_is_decided_which_is_served() -> None:
    ledger, drafts = Ledger(prices=PRICES), Drafts()
    known = CallContext(role="draft", drafts=drafts, baseline_model="strong")
    for name in ("kept", "discarded"):
        replace(CALL, id=name, context=replace(known, draft_id=name)).account(ledger)
    assert not list(ledger.records())
    drafts.resolve("kept")
    replace(CALL, id="late", context=replace(known, draft_id="late")).account(ledger)
    saved = {record.id: record.saved for record in ledger.records()}
    assert saved == {"kept": Decimal(9), "discarded": Decimal(-1), "late": Decimal(-1)}


def test_a_discarded_draft_is_charged_to_the_strategy_that_made_it() -> None:
    ledger, routing = Ledger(prices=PRICES), Drafts()
    around = CallContext(role="draft", drafts=routing, draft_id="routed", baseline_model="strong")
    for name, kept in (("whole", "whole"), ("cut", None)):
        drafts = Drafts(around, strategy="prompts")
        known = replace(around, drafts=drafts, draft_id=name)
        replace(CALL, id=name, context=known).account(ledger)
        drafts.resolve(kept)
    (cut,) = ledger.records()  # the other one is still a draft of the router
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


def test_the_call_context_follows_tasks_and_threads() -> None:
    async def asked(name: str) -> str | None:
        with call_scope(CallContext(baseline_model=name)):
            await asyncio.sleep(0)
            return await asyncio.to_thread(lambda: context_of().baseline_model)

    async def both() -> list[str | None]:
        return await asyncio.gather(asked("one"), asked("two"))

    assert asyncio.run(both()) == ["one", "two"]
    assert context_of() == CallContext()


def test_a_stream_is_read_in_the_call_context_it_was_opened_in() -> None:
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


def test_a_context_is_found_by_its_call_id_in_another_thread_while_it_is_kept() -> None:
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


def test_what_a_hit_of_an_impossible_report_saves_is_an_estimate() -> None:
    assert baseline_call(Reported(usage=MILLION, suspicious=True)).estimated
    assert not baseline_call(Reported(usage=MILLION)).estimated
