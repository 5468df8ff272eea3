"""Filling a budget with parts: what each costs beside those already picked."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.selection.knapsack import (
    ScoredPart,
    fill_budget,
    kept_probability,
)


def part(
    at: int,
    value: float,
    *,
    document: int = 0,
    tokens: int = 4,
    title: int = 0,
    text: str | None = None,
    needs: tuple[int, ...] = (),
    alone: bool = True,
    by_clause: tuple[float, ...] = (),
) -> ScoredPart:
    return ScoredPart(
        document=document,
        at=at,
        text=f"{document}.{at}" if text is None else text,
        value=value,
        probability=0.5,
        tokens=tokens,
        title_tokens=title,
        needs=needs,
        alone=alone,
        by_clause=by_clause,
    )


def picked(parts: list[ScoredPart], budget: int) -> list[tuple[int, int]]:
    return [(part.document, part.at) for pick in fill_budget(parts, budget) for part in pick.parts]


def test_the_most_valuable_come_first() -> None:
    parts = [part(0, 1.0), part(1, 3.0), part(2, 2.0)]
    assert picked(parts, 100) == [(0, 1), (0, 2), (0, 0)]


def test_a_budget_may_be_spent_to_the_last_token() -> None:
    parts = [part(0, 2.0), part(1, 1.0)]
    assert picked(parts, 8) == [(0, 0), (0, 1)]
    assert picked(parts, 7) == [(0, 0)]
    assert picked(parts, 4) == []


def test_the_first_part_pays_a_mark_for_each_side_on_which_text_is_left_out() -> None:
    assert picked([part(0, 1.0)], 4) == [(0, 0)]
    for places, tokens in (((0, 1), 5), ((0, 1, 2), 6)):
        parts = [part(at, float(at == places[len(places) // 2])) for at in places]
        middle = len(places) // 2
        assert picked(parts, tokens)[:1] == [(0, middle)]
        assert (0, middle) not in picked(parts, tokens - 1)


def test_a_part_apart_pays_for_another_mark_and_one_beside_another_does_not() -> None:
    parts = [part(0, 9.0), part(1, 0.1), part(2, 3.0), part(3, 0.1)]
    # The first costs 4 and the mark behind it, the third 4 and one more mark.
    assert picked(parts, 10) == [(0, 0), (0, 2)]
    assert picked(parts, 9) == [(0, 0), (0, 1)]


def test_a_part_that_fills_a_gap_saves_its_mark() -> None:
    parts = [part(0, 20.0), part(1, 1.0, tokens=2), part(2, 10.0)]
    assert [pick.tokens for pick in fill_budget(parts, 100)] == [5, 4, 1]


def test_only_the_first_part_of_a_document_pays_for_its_title() -> None:
    titled = [part(0, 2.0, title=5), part(1, 1.0, title=5)]
    assert picked(titled, 13) == [(0, 0), (0, 1)]
    assert picked(titled, 12) == [(0, 0)]
    assert picked(titled, 8) == []


def test_a_later_part_without_its_title_may_overtake_another_document() -> None:
    parts = [part(0, 10.0, title=12), part(1, 4.0, title=12), part(0, 3.0, document=1)]
    assert picked(parts, 100) == [(0, 0), (0, 1), (1, 0)]


def test_a_part_brings_what_it_needs_and_pays_for_it_once() -> None:
    row = {"needs": (0,)}
    parts = [
        part(0, 0.0, tokens=10, alone=False),
        part(1, 9.0, **row),
        part(2, 8.0, **row),
        part(0, 1.0, document=1, tokens=1),
    ]
    picks = fill_budget(parts, 100)
    assert [[(each.document, each.at) for each in pick.parts] for pick in picks] == [
        [(0, 1), (0, 0)],
        [(0, 2)],
        [(1, 0)],
    ]
    assert [pick.tokens for pick in picks] == [16, 4, 1]
    assert picked(parts, 14) == [(1, 0)]


def test_what_is_not_alone_is_not_kept_alone() -> None:
    assert picked([part(0, 9.0, alone=False), part(1, 1.0)], 100) == [(0, 1)]


def test_cost_counts_by_its_square_root() -> None:
    """9 tokens are worth it from three times the value of 1 token on."""
    for value, first in ((2.9, (1, 0)), (3.1, (0, 0))):
        parts = [part(0, value, tokens=9), part(0, 1.0, document=1, tokens=1)]
        assert picked(parts, 100)[0] == first


def test_a_part_without_tokens_is_as_one_of_one_token() -> None:
    parts = [part(0, 1.0, tokens=0), part(0, 1.1, document=1, tokens=1)]
    assert picked(parts, 100) == [(1, 0), (0, 0)]


def test_what_does_not_fit_leaves_room_for_what_does() -> None:
    parts = [part(0, 9.0, tokens=50), part(0, 1.0, document=1)]
    assert picked(parts, 10) == [(1, 0)]


def test_a_long_text_is_kept_once_and_a_short_one_as_often_as_it_occurs() -> None:
    long, short = "x" * 20, "y" * 19
    for text, kept in ((long, 1), (short, 2)):
        parts = [part(0, 2.0, text=text), part(0, 1.0, document=1, text=f"  {text}\n")]
        assert len(picked(parts, 100)) == kept


def test_equal_rows_below_different_headers_are_both_kept() -> None:
    row = "| 2024-01-01 | 12.50 |"
    for second, kept in (("| date | price |", 1), ("| date | weight |", 2)):
        parts = [
            each
            for document, header in enumerate(("| date | price |", second))
            for each in (
                part(0, 0.0, document=document, text=header, alone=False),
                part(1, 1.0, document=document, text=row, needs=(0,)),
            )
        ]
        assert [at for _, at in picked(parts, 100)].count(1) == kept


def test_documents_are_apart_from_one_another() -> None:
    """A picked part is no neighbour of one in another document."""
    parts = [part(0, 9.0), part(1, 1.0, document=1, title=3)]
    assert picked(parts, 11) == [(0, 0), (1, 1)]
    assert picked(parts, 10) == [(0, 0)]


def test_the_clause_that_is_kept_least_likely_counts() -> None:
    parts = [
        part(0, 3.0, by_clause=(0.7, 0.1)),
        part(1, 2.0, by_clause=(0.2, 0.1)),
        part(2, 1.0, by_clause=(0.1, 0.6)),
    ]
    assert kept_probability(parts, fill_budget(parts, 100)) == pytest.approx(0.8)
    assert kept_probability(parts, fill_budget(parts, 9)) == pytest.approx(0.2)
    assert kept_probability(parts, []) == 0
