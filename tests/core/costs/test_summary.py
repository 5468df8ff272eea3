"""Summary: every figure of a small ledger checked by hand; unpriced calls counted separately."""

from __future__ import annotations

import decimal
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import (
    CallRecord,
    Ledger,
    ModelPrice,
    PriceBook,
    Saving,
    Usage,
    price_call,
    summarise,
)
from llm_optimizers.costs.summary import dollars

AT = datetime(2026, 11, 1, tzinfo=UTC)
EXPENSIVE = ModelPrice(input=Decimal(10), output=Decimal(20))
CHEAP = ModelPrice(input=Decimal(1), output=Decimal(2))
BOOK = PriceBook({"expensive": EXPENSIVE, "cheap": CHEAP})
USED = Usage(
    input_tokens=1_000, output_tokens=500
)  # 0.020 at the expensive model, 0.002 at the cheap one


@pytest.fixture
def ledger():
    calls = [
        {"model": "expensive", "tags": {"user": "ann"}},
        {
            "model": "openai:expensive",
            "tags": {"user": "ann"},
            "status": "abandoned",
            "estimated": True,
        },
        {"model": "cheap", "baseline_model": "expensive", "tags": {"user": "bob"}},
        {"model": "expensive", "hit_strategy": "cache.exact", "tags": {"user": "bob"}},
        {"model": "expensive", "hit_strategy": "cache.semantic", "estimated": True},
        {"model": "unlisted", "baseline_model": "expensive", "tags": {"user": "bob"}},
        {"model": "cheap", "baseline_model": "unlisted"},
        {"model": "expensive", "usage": Usage(), "status": "error", "error": "TimeoutError"},
    ]
    with Ledger(prices=BOOK) as ledger:
        for number, changes in enumerate(calls):
            moment = AT + timedelta(minutes=number)
            usual = {"id": str(number), "time": moment, "usage": USED}
            ledger.record(price_call(BOOK, **(usual | changes)))
        yield ledger


def test_every_figure_by_hand(ledger):
    summary = ledger.summary(premium_model="expensive")
    assert summary.requests == 8
    assert (summary.hits, summary.hit_rate) == (2, 0.25)
    assert summary.usage == Usage(input_tokens=5_000, output_tokens=2_500)
    assert (summary.tokens, summary.tokens_per_request) == (7_500, 937.5)
    # expensive 0.020, openai:expensive 0.020, cheap 0.002, two hits 0, cheap 0.002, failed 0
    assert summary.cost == Decimal("0.044")
    assert summary.cost_per_request == Decimal("0.044") / 7
    assert summary.cost_per_1000 == Decimal("0.044") / 7 * 1000
    # 0.020 five times; the calls without price or baseline are in neither side
    assert summary.baseline_cost == Decimal("0.100")
    assert summary.saved == Decimal("0.058")
    assert summary.saved_pct == pytest.approx(58)
    assert (summary.premium_requests, summary.premium_share) == (3, 0.375)
    assert (summary.unpriced, summary.uncompared) == (1, 2)
    assert (summary.errors, summary.abandoned, summary.estimated) == (1, 1, 2)
    assert (summary.first, summary.last) == (AT, AT + timedelta(minutes=7))


def test_savings_are_split_by_strategy_and_into_measured_and_estimated(ledger):
    strategies = ledger.summary().by_strategy
    assert {
        name: (part.amount, part.estimated, part.calls) for name, part in strategies.items()
    } == {
        "cache.exact": (Decimal("0.02"), 0, 1),
        "cache.semantic": (Decimal("0.02"), Decimal("0.02"), 1),
        "routing": (Decimal("0.018"), 0, 1),
    }
    assert sum(part.amount for part in strategies.values()) == ledger.summary().saved


def test_figures_by_model_and_tag(ledger):
    summary = ledger.summary()
    bob = summary.by_tag["user"]["bob"]
    assert (bob.requests, bob.hits, bob.tokens) == (3, 1, 3_000)
    assert (bob.cost, bob.saved, bob.unpriced) == (Decimal("0.002"), Decimal("0.038"), 1)
    assert set(summary.by_model) == {"expensive", "openai:expensive", "cheap", "unlisted"}
    assert summary.by_model["cheap"].cost == Decimal("0.004")
    assert sum(part.requests for part in summary.by_model.values()) == summary.requests


def test_an_empty_ledger_has_no_rates_and_no_division_by_zero():
    summary = Ledger().summary(premium_model="expensive")
    assert (summary.requests, summary.cost, summary.saved) == (0, 0, 0)
    assert summary.hit_rate is summary.tokens_per_request is summary.cost_per_request is None
    assert summary.cost_per_1000 is summary.saved_pct is summary.premium_share is None
    assert json.loads(json.dumps(summary.as_dict()))["hit_rate"] is None
    assert ("Cost a request", "-") in summary.table()


def test_without_a_premium_model_there_is_no_premium_share(ledger):
    summary = ledger.summary()
    assert summary.premium_requests is summary.premium_share is None


def test_as_dict_is_json_with_the_same_figures(ledger):
    plain = json.loads(json.dumps(ledger.summary(premium_model="expensive").as_dict()))
    assert (plain["cost"], plain["saved"], plain["saved_pct"]) == (0.044, 0.058, 58.0)
    assert plain["by_strategy"]["routing"] == {"amount": 0.018, "estimated": 0, "calls": 1}
    assert plain["by_tag"]["user"]["bob"]["unpriced"] == 1
    assert plain["first"] == "2026-11-01T00:00:00+00:00"


def test_the_table_shows_what_was_left_out(ledger):
    cells = dict(ledger.summary(premium_model="expensive").table())
    assert cells["Cache hits"] == "2 (25.0%)"
    assert cells["On expensive"] == "37.5%"
    assert cells["Cost of the priced calls"] == "$0.04400"
    assert cells["Saved"] == "$0.05800 (58.0%)"
    assert cells["  by cache.semantic"] == "$0.02000 (estimated)"
    assert cells["Without a price"] == "1"
    assert cells["Left out of the comparison"] == "2"
    assert cells["Failed"] == "1"


def test_a_printed_summary_has_a_line_for_each_row_of_the_table(ledger):
    summary = ledger.summary()
    lines = str(summary).splitlines()
    assert [line.split("  ")[-1].strip() for line in lines] == [v for _, v in summary.table()]
    assert lines[0].startswith("Requests ")
    assert (
        len({len(line) - len(v) for line, (_, v) in zip(lines, summary.table(), strict=True)}) == 1
    )


def test_unpriced_calls_alone_have_no_cost_rather_than_zero():
    summary = summarise([price_call(BOOK, id="1", time=AT, model="unlisted", usage=USED)])
    assert summary.cost_per_request is None
    assert summary.cost_per_1000 is None
    assert summary.saved_pct is None
    assert summary.unpriced == 1


@given(st.lists(st.tuples(*[st.decimals(0, 10**6, places=15)] * 2), max_size=20))
def test_sums_are_exact_whatever_precision_the_app_has_set(amounts):
    records = [
        CallRecord(
            id=str(number),
            time=AT,
            model="m",
            usage=Usage(),
            cost=cost,
            baseline_model="m",
            baseline_cost=baseline,
            savings=(Saving(strategy="routing", amount=baseline - cost),),
        )
        for number, (cost, baseline) in enumerate(amounts)
    ]
    with decimal.localcontext(decimal.Context(prec=3)):
        summary = summarise(records)
    with decimal.localcontext(decimal.Context(prec=100)):
        assert summary.cost == sum((cost for cost, _ in amounts), Decimal(0))
        assert summary.saved == sum((b - c for c, b in amounts), Decimal(0))
        assert summary.saved == sum((p.amount for p in summary.by_strategy.values()), Decimal(0))


def test_a_record_with_a_cache_saving_is_a_hit():
    record = CallRecord(
        id="1",
        time=AT,
        model="expensive",
        usage=Usage(),
        cost=Decimal(0),
        baseline_model="expensive",
        baseline_cost=Decimal(1),
        savings=(Saving(strategy="cache.exact", amount=Decimal(1)),),
    )
    assert summarise([record]).hits == 1


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "-"),
        ("0", "$0.00"),
        ("1234.5", "$1,234.50"),
        ("-2", "-$2.00"),
        ("0.5", "$0.5000"),
        ("0.00012345", "$0.0001234"),
        ("-0.03", "-$0.03000"),
    ],
)
def test_dollars_are_formatted(amount, text):
    assert dollars(None if amount is None else Decimal(amount)) == text


def test_what_is_beside_the_requests_is_in_the_dollars_only():
    def call(number, cost, **changes):
        fields = {"baseline_model": "m", "baseline_cost": cost, "cost": cost, "model": "m"}
        usage = Usage(input_tokens=100)
        tags = {"user": "u", "run": "r", "subrun": "s", "step": "plan"}
        return CallRecord(
            **{
                "id": str(number),
                "time": AT,
                "usage": usage,
                "tags": tags,
                **fields,
                **changes,
            }
        )

    one = Decimal(1)
    summary = summarise(
        [
            call(1, one, priced_by="provider", held_out=True, bucket=3),
            call(2, one, priced_by="list", baseline_low=Decimal("0.5"), baseline_cost=Decimal(2)),
            call(3, None, unpriced="no price for web searches", at_least=Decimal("0.25")),
            call(4, None, suspicious=True),
            call(5, Decimal(3), kind="embedding", model="e", held_out=True, bucket=3),
            call(6, None, kind="embedding", model="e", held_out=False, bucket=3),
            call(7, one, baseline_usage=Usage(), held_out=True, bucket=3),
        ]
    )
    assert (summary.requests, summary.cost, summary.tokens) == (5, 6, 700)
    assert (summary.embeddings.requests, summary.embeddings.cost) == (2, 3)
    assert summary.cost_per_request == 1, "$3 over the three priced answers"
    assert summary.tokens_per_request == 100
    assert (summary.saved, summary.saved_low) == (1, Decimal("-0.5"))
    assert summary.unpriced_reasons == {"no price for web searches": 1, "not stated": 2}
    assert (summary.unpriced, summary.at_least, summary.suspicious) == (3, Decimal("0.25"), 1)
    assert {name: part.cost for name, part in summary.by_price_source.items()} == {
        "list": 1,
        "provider": 1,
    }
    assert {name: part.requests for name, part in summary.by_model.items()} == {"m": 5, "e": 2}
    assert set(summary.by_tag) == {"user", "step"}
    assert summary.by_tag["user"]["u"].requests == 5
    held, other = summary.by_bucket[True, 3], summary.by_bucket[False, 3]
    assert (held.requests, held.cost, held.unpriced) == (1, 5, 0)
    assert (other.requests, other.cost, other.unpriced) == (0, 0, 0)
    cells = dict(summary.table())
    assert cells["As the provider reported it"] == "$1.00 (16.7%)"
    assert cells["Embeddings, in the cost"] == "2 ($3.00)"
    assert cells["  no price for web searches"] == "1"
    assert cells["  known part of their cost"] == "$0.2500"
    assert cells["With suspicious usage"] == "1"
    assert cells["  at least, with the provider's own cache"] == "-$0.5000"
    plain = json.loads(json.dumps(summary.as_dict()))
    assert plain["embeddings"]["cost"] == 3.0
    assert plain["by_price_source"]["provider"]["requests"] == 1


def test_a_measurement_compares_answers_whose_baseline_is_known() -> None:
    """A failed attempt is no request, and a hit of a model without a price saves nothing known."""

    def call(number: int, **changes: Any) -> CallRecord:
        dollar = Decimal(1)
        fields: dict[str, Any] = {"cost": dollar, "baseline_cost": dollar, "usage": Usage()}
        group = {"held_out": False, "bucket": 3, "baseline_model": "m"}
        return CallRecord(id=str(number), time=AT, model="m", **{**fields, **group, **changes})

    unpriced_hit = {"hit_strategy": "cache.exact", "cost": Decimal(0), "baseline_cost": None}
    summary = summarise(
        [
            call(1),
            call(2, status="error", cost=Decimal("0.5"), baseline_cost=Decimal("0.5")),
            call(3, **unpriced_hit),
            call(4, cost=None, baseline_cost=None),
        ]
    )
    found = summary.by_bucket[False, 3]
    assert (found.requests - found.unpriced, found.cost) == (1, Decimal("1.5"))
