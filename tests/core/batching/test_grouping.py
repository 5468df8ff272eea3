"""Grouping: sealed when full, due in time, one key per group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.coalescing.grouping import Grouping, GroupLimits
from llm_optimizers.errors import ConfigurationError


def grouping(**limits: float | None) -> Grouping[str]:
    return Grouping(GroupLimits(**limits))  # type: ignore[arg-type]


def test_a_full_group_is_sent_at_once_and_an_open_one_waits() -> None:
    groups = grouping(max_size=2, max_delay=10)
    groups.add("a", key=1, now=0)
    assert groups.take(now=0) == []
    groups.add("b", key=1, now=0)
    groups.add("c", key=1, now=0)
    assert groups.take(now=0) == ["a", "b"]
    assert groups.take(now=0) == []
    assert groups.take(now=10) == ["c"]
    assert groups.next_due() is None


def test_keys_never_share_a_group() -> None:
    groups = grouping(max_size=2, max_delay=1)
    groups.add("a", key="tenant 1", now=0)
    groups.add("b", key="tenant 2", now=0.5)
    assert groups.take(now=5) == ["a"]
    assert groups.take(now=5) == ["b"]


def test_the_token_limit_starts_the_next_group_and_a_long_item_is_alone() -> None:
    groups = grouping(max_size=9, max_tokens=100, max_delay=1)
    groups.add("a", key=0, now=0, tokens=60)
    groups.add("b", key=0, now=0, tokens=60)
    groups.add("c", key=0, now=0, tokens=500)
    assert [groups.take(now=0) for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_a_deadline_sends_the_whole_group_early() -> None:
    groups = grouping(max_size=9, max_delay=5)
    groups.add("a", key=0, now=0)
    groups.add("b", key=0, now=0, send_by=1.0)
    assert groups.next_due() == 1.0
    assert groups.take(now=1.0) == ["a", "b"]


def test_a_discarded_member_frees_its_place_and_tokens() -> None:
    groups = grouping(max_size=2, max_tokens=100, max_delay=5)
    groups.add("a", key=0, now=0, tokens=90)
    groups.discard("a", key=0)
    assert groups.next_due() is None
    groups.add("b", key=0, now=0, tokens=50)
    groups.add("c", key=0, now=0, tokens=50)
    assert groups.take(now=0) == ["b", "c"]
    groups.discard("c", key=0)


def test_seal_all_makes_every_open_group_available() -> None:
    groups = grouping(max_size=9, max_delay=5)
    groups.add("a", key=0, now=0)
    groups.add("b", key=1, now=0)
    groups.add_alone("c")
    groups.seal_all()
    assert [groups.take(now=0) for _ in range(4)] == [["c"], ["a"], ["b"], []]


@pytest.mark.parametrize("bad", [{"max_size": 0}, {"max_tokens": 0}, {"max_delay": -1}])
def test_invalid_limits_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        GroupLimits(**bad)  # type: ignore[arg-type]


@given(
    items=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=60),
    size=st.integers(1, 7),
)
def test_every_member_is_taken_once_within_the_limits(
    items: list[tuple[int, int]], size: int
) -> None:
    groups: Grouping[tuple[int, int, int]] = Grouping(
        GroupLimits(max_size=size, max_tokens=100, max_delay=1)
    )
    for number, (key, tokens) in enumerate(items):
        groups.add((number, key, tokens), key=key, now=number, tokens=tokens)
    taken = []
    while group := groups.take(now=1e9):
        assert len(group) <= size
        assert len({key for _, key, _ in group}) == 1
        assert len(group) == 1 or sum(tokens for _, _, tokens in group) <= 100
        taken += [number for number, _, _ in group]
    assert sorted(taken) == list(range(len(items)))
