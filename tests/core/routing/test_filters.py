"""Which models can serve a request, what each would cost, and in what order the rest stands by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import Rates
from llm_optimizers.routing.filters import PriceSnapshot, filter_models
from llm_optimizers.routing.policy import Candidate
from llm_optimizers.routing.request import Previous, Requirements, RoutingContext
from llm_optimizers.routing.specs import ModelSpec, ModelTiers, UserTier

D = Decimal
NOW = 10_000.0
RATES = Rates(input=D("0.01"), output=D("0.1"), cache_read=D("0.001"), cache_write=D("0.02"))
TIERS = ModelTiers.of([ModelSpec("small", latency_s=1.5), ModelSpec("large")])


def required(**fields: Any) -> Requirements:
    usual: dict[str, Any] = {
        "input_tokens": 100,
        "output_tokens": 10,
        "headroom": 20,
        "prefix_tokens": 60,
        "capabilities": frozenset(),
    }
    return Requirements(**(usual | fields))


def filtered(
    *,
    requirements: Requirements | None = None,
    rates: Rates | None = RATES,
    window: int | None = None,
    tier: UserTier | None = None,
    cooling: dict[str, float] | None = None,
    tiers: ModelTiers = TIERS,
    **context: Any,
) -> dict[str, Candidate]:
    names = [spec.name for spec in tiers.specs]
    snapshot = PriceSnapshot(
        rates=dict.fromkeys(names, rates), windows=dict.fromkeys(names, window)
    )
    found = filter_models(
        tiers,
        snapshot,
        requirements or required(),
        RoutingContext(**context),
        tier or UserTier(),
        now=NOW,
        cooling=cooling or {},
    )
    return {candidate.model: candidate for candidate in found}


def test_candidates_carry_rank_latency_and_cost() -> None:
    assert filtered() == {
        "small": Candidate(model="small", rank=0, expected_cost=D(2), latency_s=1.5),
        "large": Candidate(model="large", rank=1, expected_cost=D(2)),
    }


@pytest.mark.parametrize(
    ("age", "small", "large"),
    [
        (None, "1.46", "2.6"),
        (299.0, "1.46", "2.6"),
        (300.0, "2", "2"),
        (301.0, "2", "2"),
    ],
)
def test_a_prefix_is_read_by_its_model_and_written_by_another_while_it_is_warm(
    age: float | None, small: str, large: str
) -> None:
    previous = Previous(model="small", at=None if age is None else NOW - age)
    found = filtered(previous=previous)
    assert found["small"].expected_cost == D(small)
    assert found["large"].expected_cost == D(large)


def test_no_more_than_the_input_is_read_from_the_cache() -> None:
    found = filtered(requirements=required(prefix_tokens=500), previous=Previous(model="small"))
    assert found["small"].expected_cost == D("1.1")


@pytest.mark.parametrize(("window", "fits"), [(None, True), (120, True), (119, False)])
def test_the_window_must_hold_input_and_answer(window: int | None, fits: bool) -> None:
    reason = filtered(window=window)["small"].rejected
    assert (reason is None) == fits
    if reason is not None:
        assert "119 tokens" in reason
        assert "100 in and 20 out" in reason


@pytest.mark.parametrize(
    ("user", "request_limit", "served"),
    [(None, None, True), ("2", None, True), ("1.99", None, False), ("3", "1.99", False),
     ("1.99", "3", False), (None, "2", True)],
)  # fmt: skip
def test_the_lower_of_two_ceilings_counts_and_may_be_reached(
    user: str | None, request_limit: str | None, served: bool
) -> None:
    found = filtered(
        tier=UserTier(max_cost=None if user is None else D(user)),
        max_cost=None if request_limit is None else D(request_limit),
    )
    assert (found["small"].rejected is None) == served
    if not served:
        assert found["small"].rejected == (
            "expected to cost $2.000000, over the ceiling of $1.99 a request"
        )


def test_a_model_without_a_price_is_refused_under_a_ceiling_only() -> None:
    assert filtered(rates=None)["small"] == Candidate(model="small", rank=0, latency_s=1.5)
    reason = filtered(rates=None, max_cost=D(5))["small"].rejected
    assert reason is not None
    assert "no price is known" in reason
    assert "$5" in reason


def test_what_a_model_cannot_do_is_named_in_order() -> None:
    tiers = ModelTiers.of([ModelSpec("small", capabilities=frozenset({"audio"})), "large"])
    wanted = required(capabilities=frozenset({"vision", "tools", "audio"}))
    found = filtered(tiers=tiers, requirements=wanted)
    assert found["small"].rejected == "cannot do tools, vision"
    assert found["large"].rejected is None


def test_the_users_tier_is_a_reason() -> None:
    found = filtered(tier=UserTier(allowed=frozenset({"large"})))
    assert found["small"].rejected == "not among the models of the user's tier"
    assert found["large"].rejected is None


def test_a_cooling_model_is_rejected_while_another_can_serve() -> None:
    found = filtered(cooling={"small": 12.4})
    assert found["small"] == Candidate(
        model="small",
        rank=0,
        expected_cost=D(2),
        latency_s=1.5,
        rejected="failed recently, cools down for another 12 s",
    )
    assert found["large"].rejected is None
    both = filtered(cooling={"small": 12.4, "large": 3.0})
    assert [candidate.rejected for candidate in both.values()] == [None, None]


def test_an_earlier_reason_stands_before_the_cooldown() -> None:
    tier = UserTier(allowed=frozenset({"large"}))
    found = filtered(tier=tier, cooling={"small": 5.0})
    assert found["small"].rejected == "not among the models of the user's tier"
    alone = filtered(tier=tier, cooling={"large": 5.0})
    assert alone["large"].rejected is None
