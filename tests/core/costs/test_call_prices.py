"""A call's record, field by field, and how its savings are shared out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, ModelPrice, PriceBook, Usage, price_call
from llm_optimizers.costs.pricing import charged_to
from llm_optimizers.costs.records import Saving

AT = datetime(2026, 11, 1, tzinfo=UTC)
D = Decimal
MILLION = 1_000_000
BOOK = PriceBook(
    {
        "large": ModelPrice(input=D(10), output=D(20), batch_discount=D("0.5")),
        "small": ModelPrice(input=D(1), output=D(2), batch_discount=D("0.5")),
        "host/large": ModelPrice(input=D(7), output=D(7)),
    }
)
USED = Usage(input_tokens=MILLION)


def call(**changes: Any) -> CallRecord:
    usual: dict[str, Any] = {"id": "1", "time": AT, "model": "large", "usage": USED}
    return price_call(BOOK, **(usual | changes))


def savings(record: CallRecord) -> dict[str, Decimal]:
    return {saving.strategy: saving.amount for saving in record.savings}


def test_without_strategies_the_record_holds_what_was_given_and_no_more() -> None:
    assert call() == CallRecord(
        id="1",
        time=AT,
        model="large",
        usage=USED,
        cost=D(10),
        baseline_model="large",
        baseline_cost=D(10),
        priced_by="own",
    )


def test_every_field_reaches_the_record() -> None:
    record = call(
        provider="host",
        tags={"user": "u"},
        latency_s=1.5,
        status="abandoned",
        error="TimeoutError",
        basis="estimated",
    )
    assert record == CallRecord(
        id="1",
        time=AT,
        model="large",
        provider="host",
        usage=USED,
        cost=D(7),
        baseline_model="large",
        baseline_cost=D(7),
        tags={"user": "u"},
        latency_s=1.5,
        status="abandoned",
        error="TimeoutError",
        priced_by="own",
    )


def test_each_strategy_gets_the_step_that_it_made() -> None:
    record = call(
        model="small",
        usage=Usage(input_tokens=MILLION // 2),
        tier="batch",
        baseline_model="large",
        baseline_usage=USED,
    )
    assert record.cost == D("0.25")
    assert record.baseline_cost == D(10)
    assert savings(record) == {"prompts": D(5), "routing": D("4.5"), "batching": D("0.25")}
    assert (record.tier, record.baseline_model, record.baseline_usage) == ("batch", "large", USED)
    assert {saving.basis for saving in record.savings} == {"measured"}


def test_a_batch_that_was_the_baseline_saves_nothing() -> None:
    record = call(tier="batch", baseline_tier="batch")
    assert (record.cost, record.baseline_cost, record.savings) == (D(5), D(5), ())


def test_a_baseline_in_a_batch_is_priced_as_one() -> None:
    record = call(baseline_tier="batch")
    assert (record.cost, record.baseline_cost) == (D(10), D(5))
    assert savings(record) == {"tier": D(-5)}


@pytest.mark.parametrize(
    ("ways", "baseline"),
    [
        ({"provider": "host"}, D(7)),
        ({"provider": "host", "baseline_model": "large"}, D(7)),
        ({"provider": "host", "baseline_model": "small"}, D(1)),
        ({"provider": "host", "baseline_provider": "host", "baseline_model": "large"}, D(7)),
        ({"model": "small", "baseline_model": "large", "baseline_provider": "host"}, D(7)),
    ],
)
def test_the_baselines_provider_is_the_calls_only_for_the_same_model(
    ways: dict[str, Any], baseline: Decimal
) -> None:
    assert call(**ways).baseline_cost == baseline


def test_a_hit_costs_nothing_and_saves_its_baseline() -> None:
    record = call(hit_strategy="cache.exact")
    assert (record.usage, record.cost, record.hit_strategy) == (Usage(), D(0), "cache.exact")
    assert record.baseline_usage == USED
    assert savings(record) == {"cache.exact": D(10)}
    priced = call(hit_strategy="cache.exact", usage=Usage(), baseline_usage=USED)
    assert savings(priced) == {"cache.exact": D(10)}


def test_a_hit_pays_for_what_its_strategy_spent() -> None:
    record = call(hit_strategy="cache.semantic", overhead={"cache.semantic": D(1), "judge": D(2)})
    assert record.cost == D(3)
    assert record.baseline_cost == D(10)
    assert savings(record) == {"cache.semantic": D(9), "judge": D(-2)}


def test_a_hit_of_an_answer_of_unknown_usage_claims_nothing_whatever_was_spent() -> None:
    record = call(usage=Usage(), hit_strategy="cache.exact", overhead={"cache.exact": D(1)})
    assert (record.cost, record.baseline_cost, record.savings) == (D(1), None, ())


def test_a_hit_of_a_model_without_a_price_claims_nothing() -> None:
    record = call(model="unknown", hit_strategy="cache.exact")
    assert (record.cost, record.baseline_cost, record.savings) == (D(0), None, ())


def test_overhead_is_part_of_the_cost_and_charged_to_its_strategy() -> None:
    record = call(model="small", baseline_model="large", overhead={"routing": D(2), "x": D(1)})
    assert record.cost == D(4)
    assert record.baseline_cost == D(10)
    assert savings(record) == {"routing": D(7), "x": D(-1)}


def test_a_failed_call_is_billed_and_saves_nothing() -> None:
    record = call(status="error", error="ValueError", baseline_model="small", overhead={"x": D(1)})
    assert (record.cost, record.baseline_cost, record.savings) == (D(11), D(11), ())
    abandoned = call(status="abandoned", model="small", baseline_model="large")
    assert savings(abandoned) == {"routing": D(9)}


def test_a_hit_is_a_saving_even_if_its_reader_failed() -> None:
    assert savings(call(status="error", hit_strategy="cache.exact")) == {"cache.exact": D(10)}


def test_without_a_price_nothing_is_known() -> None:
    record = call(model="unknown", overhead={"x": D(1)})
    assert (record.cost, record.baseline_cost, record.savings) == (None, None, ())
    half = call(baseline_model="unknown")
    assert (half.cost, half.baseline_cost, half.savings) == (D(10), None, ())


@pytest.mark.parametrize("ways", [{"estimated": True}, {"basis": "estimated"}])
def test_estimates_are_marked_as_such(ways: dict[str, Any]) -> None:
    record = call(model="small", baseline_model="large", **ways)
    assert [saving.basis for saving in record.savings] == ["estimated"]
    assert record.estimated == ("estimated" in ways)


def test_a_call_that_only_a_strategy_made_is_charged_to_it() -> None:
    record = charged_to(call(model="small", baseline_model="large"), "routing")
    assert (record.cost, record.baseline_cost, record.baseline_usage) == (D(1), D(0), Usage())
    assert record.baseline_model == "small"
    assert record.savings == (Saving(strategy="routing", amount=D(-1), basis="measured"),)
    guessed = charged_to(call(estimated=True), "routing")
    assert guessed.savings == (Saving(strategy="routing", amount=D(-10), basis="estimated"),)


def test_a_call_without_cost_or_price_has_nothing_to_charge() -> None:
    free = charged_to(call(usage=Usage()), "routing")
    assert (free.cost, free.baseline_cost, free.savings) == (D(0), D(0), ())
    unknown = call(model="unknown")
    assert charged_to(unknown, "routing") is unknown
