"""The held-out group: who is in it, and what the comparison of the groups says."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs.summary import Breakdown
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.true_effect import TrueEffect, true_effect
from llm_optimizers.holdout import BUCKETS, HoldoutGroup, current_assignment, is_held_out


def test_the_share_of_the_units_is_held_out_and_buckets_are_even() -> None:
    group = HoldoutGroup(0.05)
    found = [group.assignment(f"user-{number}") for number in range(40_000)]
    assert sum(each.held_out for each in found) / len(found) == pytest.approx(0.05, abs=0.005)
    buckets = Counter(each.bucket for each in found)
    assert set(buckets) == set(range(BUCKETS))
    assert max(buckets.values()) < 1.2 * len(found) / BUCKETS


def test_a_unit_stays_in_its_group_until_the_salt_changes() -> None:
    units = [f"user-{number}" for number in range(2_000)]
    drawn = [{u for u in units if HoldoutGroup(0.1, s).assignment(u).held_out} for s in "aab"]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0] & drawn[2]) < len(drawn[0]) / 2
    # A larger share only adds units.
    assert drawn[0] < {u for u in units if HoldoutGroup(0.2, "a").assignment(u).held_out}


def test_nobody_is_held_out_with_a_share_of_0() -> None:
    assert not any(HoldoutGroup(0.0).assignment(str(n)).held_out for n in range(1_000))


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan"), "2%", None])
def test_a_share_that_is_none_is_refused(share: object) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        HoldoutGroup(share)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["", None, 7])
def test_an_unnamed_unit_is_refused(unit: object) -> None:
    """All users without an id would be one unit, and held out together."""
    with pytest.raises(ConfigurationError, match="unit"):
        HoldoutGroup().assign(unit)  # type: ignore[arg-type]


def test_the_innermost_block_holds() -> None:
    group = HoldoutGroup(0.5)
    with group.assign("u1") as outer:
        with group.assign("run 7") as inner:
            assert current_assignment() is inner
        assert current_assignment() is outer
        assert is_held_out() is outer.held_out
    assert current_assignment() is None


def test_other_threads_are_not_assigned() -> None:
    seen: list[object] = []
    with HoldoutGroup().assign("u1"):
        thread = threading.Thread(target=lambda: seen.append(current_assignment()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_stream_left_in_another_context_raises_nothing() -> None:
    def pieces() -> Iterator[int]:
        with HoldoutGroup().assign("u1"):
            yield 1
            yield 2

    reading = pieces()
    copy_context().run(next, reading)
    reading.close()
    assert current_assignment() is None


def test_a_generator_keeps_its_group_wherever_it_is_read() -> None:
    def pieces(unit: str) -> Iterator[object]:
        with group.assign(unit):
            for _ in range(3):
                yield current_assignment()

    group = HoldoutGroup(0.5)
    expected = [group.assignment(unit) for unit in ("u1", "u2")]
    streams = pieces("u1"), pieces("u2")
    for _ in range(3):
        assert [copy_context().run(next, each) for each in streams] == expected
    assert [*zip(pieces("u1"), pieces("u2"), strict=True)] == [tuple(expected)] * 3
    assert current_assignment() is None


def test_a_block_that_was_left_in_another_context_holds_no_longer() -> None:
    def pieces() -> Iterator[int]:
        with HoldoutGroup().assign("u1"):
            yield 1

    reading = pieces()
    next(reading)
    copy_context().run(reading.close)
    assert current_assignment() is None


def test_a_block_can_be_entered_again_and_decorates_nothing() -> None:
    block: Any = HoldoutGroup(0.5).assign("u1")
    with block as outer, block as inner:
        assert outer == inner == current_assignment()
    assert current_assignment() is None
    with pytest.raises(TypeError):  # around a coroutine function it would end before that runs
        block(test_a_stream_left_in_another_context_raises_nothing)


def effect_of(
    *,
    users: int,
    saved: float,
    seed: int,
    share: float = 0.05,
    counterfactual: float = 0.0,
    more: int = 1,
    by_user: bool = False,
) -> TrueEffect:
    """Simulate users whose calls cost differently, and compare the groups.

    The strategies save a part of each call and make users ask `more` times as often.
    """
    drawn, group = random.Random(seed), HoldoutGroup(share, str(seed))
    totals: dict[tuple[bool, int], list[float]] = {}
    for number in range(users):
        found = group.assignment(f"u{number}")
        calls, each = 1 + int(drawn.expovariate(0.2)), drawn.lognormvariate(-6, 0.5)
        calls *= 1 if found.held_out else more
        cost = sum(each * drawn.expovariate(1) for _ in range(calls))
        cost *= 1 if found.held_out else 1 - saved
        total = totals.setdefault((found.held_out, found.bucket), [0, 0.0])
        total[0] += calls
        total[1] += cost
    return true_effect(
        {
            key: Breakdown(
                requests=int(calls),
                hits=0,
                tokens=0,
                cost=Decimal(repr(cost)),
                saved=Decimal(0) if key[0] else Decimal(repr(cost * counterfactual)),
                unpriced=0,
            )
            for key, (calls, cost) in totals.items()
        },
        share=share if by_user else None,
    )


def test_the_interval_covers_the_true_saving_as_often_as_it_says() -> None:
    effects = [effect_of(users=2_000, saved=0.4, seed=seed) for seed in range(100)]
    intervals = [each.saved_share for each in effects if each.saved_share is not None]
    assert len(intervals) == 100
    assert sum(each.low <= 0.4 <= each.high for each in intervals) >= 88


def test_what_users_ask_more_often_counts_where_users_are_compared() -> None:
    def found(*, by_user: bool) -> TrueEffect:
        return effect_of(
            users=20_000, saved=0.5, counterfactual=1.0, seed=2, more=2, by_user=by_user
        )

    requests, users = found(by_user=False), found(by_user=True)
    assert requests.agrees is True
    assert users.agrees is False
    assert users.saved_share is not None
    assert users.saved_share.low <= 0 <= users.saved_share.high
    assert effect_of(users=20, saved=0.5, seed=1, by_user=True).saved_share is None


@pytest.mark.parametrize("share", [0, 1, -0.1, "a"])
def test_a_share_of_nobody_or_everybody_is_refused(share: Any) -> None:
    with pytest.raises(ConfigurationError):
        true_effect({}, share=share)


def test_the_interval_for_users_covers_as_often_as_it_says() -> None:
    effects = [effect_of(users=2_000, saved=0.4, seed=n, by_user=True) for n in range(100)]
    intervals = [each.saved_share for each in effects if each.saved_share is not None]
    assert sum(each.low <= 0.4 <= each.high for each in intervals) >= 88


def test_strategies_that_save_nothing_are_not_shown_as_savings() -> None:
    effects = [effect_of(users=1_000, saved=0.0, seed=seed).saved_share for seed in range(100)]
    assert sum(found is not None and found.low > 0 for found in effects) <= 8


def test_a_wrong_counterfactual_is_noticed() -> None:
    # The account says 50 % saved; nothing was.
    lying = effect_of(users=20_000, saved=0.0, seed=3, counterfactual=1.0)
    assert lying.counterfactual_share == pytest.approx(0.5)
    assert lying.agrees is False
    honest = effect_of(users=20_000, saved=0.5, seed=3, counterfactual=1.0)
    assert honest.agrees is True


def test_too_little_data_gives_no_interval() -> None:
    for users in (0, 1, 20):
        found = effect_of(users=users, saved=0.4, seed=1)
        assert found.saved_share is None
        assert found.agrees is None


def test_unpriced_calls_are_left_out_of_both_groups() -> None:
    part = Breakdown(
        requests=3, hits=0, tokens=9, cost=Decimal("0.002"), saved=Decimal(0), unpriced=1
    )
    found = true_effect({(out, bucket): part for out in (True, False) for bucket in range(10)})
    assert (found.held_out.requests, found.held_out.per_1000) == (20, 1.0)
    assert found.saved_per_1000 is not None
    assert (found.saved_per_1000.value, found.saved_per_1000.high) == (0, 0)
