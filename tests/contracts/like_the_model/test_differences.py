"""The list of differences fails for what is not in it, and for what is in it and not there."""

from __future__ import annotations

import pytest

from support.like_the_model.differences import Difference, check, table

LISTED = (
    Difference(
        reason="A hit is no call.",
        parts=frozenset({"requests", "events"}),
        wrappers=("*, hit",),
        but=(("*", "name"),),
    ),
    Difference(reason="It has a name.", parts=frozenset({"answer"}), ways=("name",)),
)


def test_listed_differences_pass_and_no_others() -> None:
    check(LISTED, "cache, hit", "chat", {"requests": "1 became 0", "events": "2 became 1"})
    check(LISTED, "cache, hit", "name", {"answer": "a became b"})
    check(LISTED, "cache", "chat", {})
    with pytest.raises(AssertionError, match="chat through cache differs"):
        check(LISTED, "cache", "chat", {"answer": "a became b"})


def test_a_listed_difference_that_is_gone_fails() -> None:
    with pytest.raises(AssertionError, match=r"no longer differs in \['events'\]"):
        check(LISTED, "cache, hit", "chat", {"requests": "1 became 0"})


def test_the_table_leads_from_each_cell_to_its_reasons() -> None:
    lines = table([("chat", "chat"), ("name", "name")], ["cache", "cache, hit"], LISTED)
    assert "| chat | same | 1 |" in lines
    assert "| name | 2 | 2 |" in lines
    assert "2. It has a name. (answer)" in lines


def test_what_is_the_same_everywhere_is_listed_above_the_table() -> None:
    ways = [(each, each) for each in ("call: batch", "chat", "call: stream", "chat again", "name")]
    lines = table(ways, ["cache"], LISTED).splitlines()
    same = ["- chat; chat again", "- call: batch; stream"]
    assert lines[:5] == ["The same in every column:", "", *same, ""]
    assert [line for line in lines if line.startswith("| ")] == ["| | cache |", "| name | 1 |"]
