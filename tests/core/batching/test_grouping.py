"""The book of groups: sealed when full, due in time, never mixing keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.coalescing.grouping import Grouping, GroupLimits
from llm_optimizers.errors import ConfigurationError


def grouping(**limits: float | None) -> Grouping[str]:
    return Grouping(GroupLimits(**limits))  # type: ignore[arg-type]


def test_a_full_group_goes_at_once_and_an_open_one_waits() -> None:
    book = grouping(max_size=2, max_delay=10)
    book.add("a", key=1, now=0)
    assert book.take(now=0) == []
    book.add("b", key=1, now=0)
    book.add("c", key=1, now=0)
    assert book.take(now=0) == ["a", "b"]
    assert book.take(now=0) == []
    assert book.take(now=10) == ["c"]
    assert book.next_due() is None


def test_keys_never_share_a_group() -> None:
    book = grouping(max_size=2, max_delay=1)
    book.add("a", key="tenant 1", now=0)
    book.add("b", key="tenant 2", now=0.5)
    assert book.take(now=5) == ["a"]
    assert book.take(now=5) == ["b"]


def test_tokens_open_the_next_group_and_a_long_item_goes_alone() -> None:
    book = grouping(max_size=9, max_tokens=100, max_delay=1)
    book.add("a", key=0, now=0, tokens=60)
    book.add("b", key=0, now=0, tokens=60)
    book.add("c", key=0, now=0, tokens=500)
    assert [book.take(now=0) for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_a_deadline_pulls_the_whole_group_forward() -> None:
    book = grouping(max_size=9, max_delay=5)
    book.add("a", key=0, now=0)
    book.add("b", key=0, now=0, send_by=1.0)
    assert book.next_due() == 1.0
    assert book.take(now=1.0) == ["a", "b"]


def test_a_discarded_member_gives_its_place_and_its_tokens_back() -> None:
    book = grouping(max_size=2, max_tokens=100, max_delay=5)
    book.add("a", key=0, now=0, tokens=90)
    book.discard("a", key=0)
    assert book.next_due() is None
    book.add("b", key=0, now=0, tokens=50)
    book.add("c", key=0, now=0, tokens=50)
    assert book.take(now=0) == ["b", "c"]
    book.discard("c", key=0)


def test_sealing_everything_sends_every_open_group() -> None:
    book = grouping(max_size=9, max_delay=5)
    book.add("a", key=0, now=0)
    book.add("b", key=1, now=0)
    book.add_alone("c")
    book.seal_all()
    assert [book.take(now=0) for _ in range(4)] == [["c"], ["a"], ["b"], []]


@pytest.mark.parametrize("bad", [{"max_size": 0}, {"max_tokens": 0}, {"max_delay": -1}])
def test_limits_that_cannot_work_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        GroupLimits(**bad)  # type: ignore[arg-type]


@given(
    items=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=60),
    size=st.integers(1, 7),
)
def test_everybody_is_taken_once_within_the_limits(items: list[tuple[int, int]], size: int) -> None:
    book: Grouping[tuple[int, int, int]] = Grouping(
        GroupLimits(max_size=size, max_tokens=100, max_delay=1)
    )
    for number, (key, tokens) in enumerate(items):
        book.add((number, key, tokens), key=key, now=number, tokens=tokens)
    taken = []
    while group := book.take(now=1e9):
        assert len(group) <= size
        assert len({key for _, key, _ in group}) == 1
        assert len(group) == 1 or sum(tokens for _, _, tokens in group) <= 100
        taken += [number for number, _, _ in group]
    assert sorted(taken) == list(range(len(items)))
