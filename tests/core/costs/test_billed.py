"""What a provider says it billed is believed, and savings are in proportion to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, Ledger, ModelPrice, PriceBook, Usage, price_call
from llm_optimizers.costs.answers import CallShare, ServedAnswer
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import CallContext, Drafts
from llm_optimizers.costs.removed import RemovedTokens

AT = datetime(2026, 11, 1, tzinfo=UTC)
D = Decimal
MILLION = Usage(input_tokens=1_000_000)
HALF = Usage(input_tokens=500_000)
BOOK = PriceBook(
    {
        "large": ModelPrice(input=D(10), output=D(20), batch_discount=D("0.5")),
        "small": ModelPrice(input=D(1), output=D(2), batch_discount=D("0.5")),
    }
)


def call(**changes: Any) -> CallRecord:
    usual: dict[str, Any] = {"id": "1", "time": AT, "model": "small", "usage": MILLION}
    return price_call(BOOK, **(usual | changes))


def savings(record: CallRecord) -> dict[str, tuple[Decimal, str]]:
    return {saving.strategy: (saving.amount, saving.basis) for saving in record.savings}


@pytest.mark.parametrize("model", ["small", "unlisted"])
def test_it_is_the_cost_whatever_the_prices_say(model: str) -> None:
    record = call(model=model, billed=D("0.9"))
    assert (record.cost, record.baseline_cost, record.savings) == (D("0.9"), D("0.9"), ())
    assert (record.priced_by, record.unpriced) == ("provider", None)


@pytest.mark.parametrize("billed", [D(-1), D("NaN"), D("Infinity"), D("1e99")])
def test_what_is_no_amount_is_not_believed(billed: Decimal) -> None:
    record = replace(CALL, billed=billed).record(BOOK)
    assert (record.cost, record.priced_by) == (D(1), "own")
    assert replace(CALL, asked="unlisted", billed=billed).record(BOOK).cost is None


def test_a_fee_without_a_price_is_in_what_was_billed() -> None:
    record = call(usage=Usage(input_tokens=10, web_searches=1), billed=D("0.01"))
    assert (record.cost, record.unpriced, record.at_least) == (D("0.01"), None, None)
    unbilled = call(usage=Usage(input_tokens=1_000_000, web_searches=1))
    assert (unbilled.cost, unbilled.unpriced) == (None, "no price for web searches")
    assert (unbilled.at_least, unbilled.priced_by) == (D(1), None)


def test_savings_are_in_proportion_and_add_up() -> None:
    routed = {"baseline_model": "large", "baseline_usage": Usage(input_tokens=2_000_000)}
    record = call(billed=D("0.5"), **routed)
    assert savings(record) == {"prompts": (D(5), "estimated"), "routing": (D("4.5"), "estimated")}
    assert (record.cost, record.baseline_cost) == (D("0.5"), D(10))
    third = call(billed=D(1) / 3, **routed)
    assert third.baseline_cost == sum((s.amount for s in third.savings), third.cost)
    exact = call(billed=D(1), **routed)
    assert savings(exact) == {"prompts": (D(10), "measured"), "routing": (D(9), "measured")}


def test_a_fee_that_no_count_shows_saves_nothing() -> None:
    """As a search does, which costs many times the tokens."""
    record = call(billed=D(40), baseline_usage=Usage(input_tokens=1_200_000))
    assert savings(record) == {"prompts": (D("0.2"), "estimated")}
    assert (record.cost, record.baseline_cost) == (D(40), D("40.2"))


def test_a_shorter_prompt_does_not_get_the_providers_discount() -> None:
    """Five per cent of the list, as a gateway bills a user who pays the provider."""
    record = call(billed=D("0.05"), baseline_usage=Usage(input_tokens=1_200_000))
    assert savings(record) == {"prompts": (D("0.01"), "estimated")}


def test_a_routed_call_without_a_price_is_compared_with_the_price_of_the_other() -> None:
    record = call(model="unlisted", billed=D(2), baseline_model="large")
    assert savings(record) == {"routing": (D(8), "estimated")}
    shorter = call(model="unlisted", billed=D(2), baseline_usage=Usage(input_tokens=2_000_000))
    assert (shorter.cost, shorter.baseline_cost, shorter.savings) == (D(2), None, ())


def test_a_tier_is_compared_in_proportion() -> None:
    record = call(tier="batch", billed=D("0.4"))
    assert savings(record) == {"batching": (D("0.4"), "estimated")}


def test_overhead_comes_on_top() -> None:
    record = call(billed=D("0.5"), overhead={"routing": D("0.1")})
    assert (record.cost, record.baseline_cost) == (D("0.6"), D("0.5"))


CALL = Call(id="1", time=AT, asked="small", reported=MILLION, billed=D("0.5"))


def test_a_hit_saves_what_was_billed_for_the_stored_answer() -> None:
    served = ServedAnswer(tier="exact", usage=MILLION, cost=D("0.5"))
    hit = replace(CALL, reported=None, billed=None, served=served)
    record = hit.record(BOOK)
    assert (record.cost, record.baseline_cost, record.priced_by) == (D(0), D("0.5"), None)
    assert savings(record) == {"cache.exact": (D("0.5"), "measured")}
    unlisted = replace(hit, asked="unlisted").record(BOOK)
    assert savings(unlisted) == {"cache.exact": (D("0.5"), "measured")}
    uncounted = replace(hit, served=replace(served, usage=None)).record(BOOK)
    assert savings(uncounted) == {"cache.exact": (D("0.5"), "measured")}
    longer = replace(hit, removed=RemovedTokens(tokens=1_000_000)).record(BOOK)
    assert savings(longer) == {"cache.exact": (D(1), "estimated")}


def test_a_share_is_compared_in_proportion_with_a_separate_call() -> None:
    share = CallShare(alone=MILLION, estimated=True)
    shared = replace(CALL, reported=HALF, billed=D("0.25"), share=share)
    record = shared.record(BOOK)
    assert (record.cost, record.baseline_cost) == (D("0.25"), D("0.5"))
    assert (record.usage, record.priced_by) == (HALF, "provider")
    assert savings(record) == {"batching": (D("0.25"), "estimated")}
    unlisted = replace(shared, asked="unlisted").record(BOOK)
    assert (unlisted.cost, unlisted.baseline_cost) == (D("0.25"), None)
    assert (unlisted.priced_by, unlisted.unpriced) == ("provider", None)
    failed = replace(shared, status="error").record(BOOK)
    assert (failed.cost, failed.baseline_cost) == (D("0.25"), D("0.25"))


def test_a_call_made_by_a_strategy_is_charged_what_was_billed() -> None:
    judge = replace(CALL, context=CallContext(role="judge")).record(BOOK)
    assert savings(judge) == {"routing": (D("-0.5"), "measured")}


def test_a_discarded_draft_costs_what_was_billed() -> None:
    ledger, drafts = Ledger(prices=BOOK), Drafts()
    context = CallContext(drafts=drafts, draft_id="1")
    replace(CALL, context=context).account(ledger)
    drafts.resolve(kept=None)
    (record,) = ledger.records()
    assert (record.cost, record.baseline_cost) == (D("0.5"), D(0))
    assert savings(record) == {"routing": (D("-0.5"), "measured")}


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, None),
        ({"status": "abandoned"}, D(0)),
        ({"status": "error"}, D(0)),
        ({"reported": Usage()}, D(0)),
        ({"billed": D("0.1")}, D("0.1")),
    ],
)
def test_an_answer_whose_usage_nobody_knows_is_not_free(changes: Any, cost: Decimal | None) -> None:
    unknown = Call(id="1", time=AT, asked="small")
    record = replace(unknown, **changes).record(BOOK)
    assert record.cost == cost
    assert record.unpriced == ("no usage" if cost is None else None)


def test_suspicious_usage_is_marked() -> None:
    assert replace(CALL, suspicious=True).record(BOOK).suspicious
