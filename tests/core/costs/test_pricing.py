"""price_call: savings add up to the last digit, and an unpriced call saves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import ModelPrice, PriceBook, Usage, price_call
from llm_optimizers.errors import ConfigurationError

AT = datetime(2026, 11, 1, tzinfo=UTC)
BOOK = PriceBook(
    {
        "expensive": ModelPrice(
            input=Decimal(10), output=Decimal(20), batch_discount=Decimal("0.5")
        ),
        "cheap": ModelPrice(input=Decimal(1), output=Decimal(2), batch_discount=Decimal("0.5")),
    }
)
THOUSAND = Usage(input_tokens=1_000, output_tokens=1_000)


def call(**changes):
    return price_call(
        BOOK, **({"id": "1", "time": AT, "model": "expensive", "usage": THOUSAND} | changes)
    )


def amounts(record):
    return {saving.strategy: saving.amount for saving in record.savings}


def test_a_plain_call_costs_its_baseline_and_saves_nothing():
    record = call()
    assert record.cost == record.baseline_cost == Decimal("0.03")
    assert (record.savings, record.saved, record.baseline_model) == ((), 0, "expensive")


def test_the_whole_saving_of_a_hit_goes_to_the_cache_that_served_it():
    record = call(hit_strategy="cache.semantic")
    assert record.usage == Usage()
    assert record.cost == 0
    assert record.baseline_cost == Decimal("0.03")
    assert record.baseline_usage == THOUSAND
    assert amounts(record) == {"cache.semantic": Decimal("0.03")}
    assert record.hit


def test_a_hit_whose_answer_has_unknown_usage_claims_no_saving():
    record = call(usage=Usage(), hit_strategy="cache.exact")
    assert record.hit
    assert (record.cost, record.baseline_cost, record.savings) == (0, None, ())


def test_savings_are_attributed_to_prompts_then_routing_then_batching():
    record = call(
        model="cheap",
        tier="batch",
        baseline_model="expensive",
        baseline_usage=Usage(input_tokens=3_000, output_tokens=1_000),
    )
    assert record.baseline_cost == Decimal("0.05")
    assert [(s.strategy, s.amount) for s in record.savings] == [
        ("prompts", Decimal("0.02")),  # 2,000 fewer tokens at the expensive model's price
        ("routing", Decimal("0.027")),  # 0.030 at the expensive model, 0.003 at the cheap one
        ("batching", Decimal("0.0015")),
    ]
    assert record.cost == Decimal("0.0015")


def test_a_more_expensive_model_is_a_negative_saving():
    record = call(model="expensive", baseline_model="cheap")
    assert amounts(record) == {"routing": Decimal("-0.027")}
    assert record.saved == Decimal("-0.027")


def test_the_overhead_of_a_strategy_is_charged_to_it():
    record = call(
        model="cheap",
        baseline_model="expensive",
        overhead={"routing": Decimal("0.001"), "cache.semantic": Decimal("0.0002")},
    )
    assert record.cost == Decimal("0.0042")
    assert amounts(record) == {"routing": Decimal("0.026"), "cache.semantic": Decimal("-0.0002")}
    hit = call(hit_strategy="cache.semantic", overhead={"cache.semantic": Decimal("0.0002")})
    assert hit.cost == Decimal("0.0002")
    assert amounts(hit) == {"cache.semantic": Decimal("0.0298")}


usages = st.builds(Usage, input_tokens=st.integers(0, 10**7), output_tokens=st.integers(0, 10**7))
models = st.sampled_from(
    ["expensive", "cheap", "gpt-4o-mini", "o3", "claude-sonnet-4-5", "unlisted"]
)


@given(
    model=models,
    usage=usages,
    tier=st.sampled_from(["standard", "batch", "flex"]),
    baseline_model=st.none() | models,
    baseline_usage=st.none() | usages,
    baseline_tier=st.sampled_from(["standard", "batch"]),
    hit_strategy=st.sampled_from([None, None, "cache.exact"]),
    overhead=st.dictionaries(
        st.sampled_from(["routing", "cache.exact", "prompts"]),
        st.decimals(0, 1, places=9),
        max_size=2,
    ),
    status=st.sampled_from(["ok", "error", "abandoned"]),
)
def test_savings_add_up_to_baseline_cost_minus_cost_exactly(status, **ways):
    record = call(status=status, **ways)
    if record.cost is None or record.baseline_cost is None:
        assert record.savings == ()
        assert record.saved is None
    else:
        claimed = sum((saving.amount for saving in record.savings), Decimal(0))
        if status == "error" and not record.hit:
            assert claimed == record.saved == 0
        assert claimed == record.saved == record.baseline_cost - record.cost


def test_an_unpriced_call_has_no_cost_and_saves_nothing():
    record = call(model="unlisted", baseline_model="expensive")
    assert (record.cost, record.baseline_cost, record.savings) == (None, None, ())


def test_a_call_with_an_unpriced_baseline_has_a_cost_but_no_saving():
    record = call(model="cheap", baseline_model="unlisted")
    assert (record.cost, record.baseline_cost, record.savings) == (Decimal("0.003"), None, ())
    record = call(hit_strategy="cache.exact", model="unlisted")
    assert (record.cost, record.baseline_cost, record.savings) == (0, None, ())


def test_a_failed_call_that_was_billed_saves_nothing():
    record = call(model="cheap", baseline_model="expensive", status="error", error="TimeoutError")
    assert record.cost == record.baseline_cost == Decimal("0.003")
    assert record.savings == ()
    assert record.error == "TimeoutError"


def test_estimated_usage_makes_estimated_savings():
    basis = {
        s.basis for s in call(model="cheap", baseline_model="expensive", estimated=True).savings
    }
    assert basis == {"estimated"}
    shorter = call(baseline_usage=THOUSAND + THOUSAND, basis="estimated")
    assert [s.basis for s in shorter.savings] == ["estimated"]


def test_a_call_is_priced_at_its_own_date():
    old = call(model="o3", time=datetime(2025, 6, 9, tzinfo=UTC))
    new = call(model="o3", time=datetime(2025, 6, 10, tzinfo=UTC))
    assert old.cost == Decimal("0.05")
    assert new.cost == Decimal("0.01")


def test_the_baseline_has_the_same_provider_only_if_it_has_the_same_model():
    ways = {"id": "1", "time": AT, "usage": Usage(input_tokens=1_000_000), "provider": "groq"}
    ways["model"] = "llama-3.3-70b-versatile"
    assert price_call(BOOK, **ways).baseline_cost == Decimal("0.59")
    assert price_call(BOOK, **ways, baseline_model="gpt-4o-mini").baseline_cost == Decimal("0.15")


def test_a_record_needs_a_time_zone_and_stores_utc():
    with pytest.raises(ConfigurationError, match=r"`time` is .* time zone"):
        call(time=AT.replace(tzinfo=None))
    tokyo = call(time=datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=9))))
    assert (tokyo.time, tokyo.time.tzinfo) == (AT, UTC)
