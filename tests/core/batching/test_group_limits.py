"""Groups of callers, at the edges of their limits."""

from __future__ import annotations

import pytest

from llm_optimizers.batching.coalescing.grouping import Grouping, GroupLimits
from llm_optimizers.errors import ConfigurationError


def test_without_settings_twenty_items_or_thirty_milliseconds_make_a_group() -> None:
    groups: Grouping[int] = Grouping(GroupLimits())
    for number in range(21):
        groups.add(number, key=0, now=5.0)
    assert groups.take(now=5.0) == list(range(20))
    assert groups.take(now=5.029) == []
    assert groups.next_due() == pytest.approx(5.03)
    assert groups.take(now=5.0301) == [20]


def test_the_smallest_limits_are_one_item_one_token_and_no_delay() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_size=1, max_tokens=1, max_delay=0))
    groups.add("a", key=0, now=0)
    assert groups.take(now=0) == ["a"]
    for bad in ({"max_size": 0}, {"max_tokens": 0}, {"max_delay": -0.001}):
        with pytest.raises(ConfigurationError, match=next(iter(bad))):
            GroupLimits(**bad)  # type: ignore[arg-type]


def test_a_group_is_full_at_exactly_its_tokens() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_tokens=100, max_delay=9))
    groups.add("a", key=0, now=0, tokens=99)
    assert groups.take(now=0) == []
    groups.add("b", key=0, now=0, tokens=1)
    assert groups.take(now=0) == ["a", "b"]


def test_tokens_count_only_where_they_are_given() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_size=3, max_tokens=2, max_delay=9))
    for member in "abc":
        groups.add(member, key=0, now=0)
    assert groups.take(now=0) == ["a", "b", "c"]


def test_a_late_deadline_does_not_prolong_the_delay() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_delay=5))
    groups.add("a", key=0, now=0, send_by=99.0)
    assert groups.next_due() == 5.0


def test_the_longest_overdue_group_goes_first() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_delay=5))
    groups.add("later", key=1, now=2)
    groups.add("sooner", key=2, now=1)
    groups.add("soonest", key=3, now=3, send_by=4)
    assert [groups.take(now=100) for _ in range(3)] == [["soonest"], ["sooner"], ["later"]]


def test_the_tokens_of_a_discarded_member_are_free_again() -> None:
    groups: Grouping[str] = Grouping(GroupLimits(max_tokens=100, max_delay=5))
    groups.add("a", key=0, now=0, tokens=40)
    groups.add("b", key=0, now=0, tokens=40)
    groups.discard("unknown", key=0)
    groups.discard("a", key=1)
    groups.discard("a", key=0)
    groups.add("c", key=0, now=0, tokens=59)
    assert groups.take(now=0) == []
    assert groups.take(now=5) == ["b", "c"]
