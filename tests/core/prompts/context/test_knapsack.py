"""Filling a budget with sentences: what each costs beside those already picked."""

from __future__ import annotations

from llm_optimizers.prompts.context.knapsack import ScoredSentence, fill_budget


def sentence(
    at: int,
    value: float,
    *,
    document: int = 0,
    tokens: int = 4,
    title: int = 0,
    text: str | None = None,
) -> ScoredSentence:
    return ScoredSentence(
        document=document,
        at=at,
        text=f"{document}.{at}" if text is None else text,
        value=value,
        probability=0.5,
        tokens=tokens,
        title_tokens=title,
    )


def picked(sentences: list[ScoredSentence], budget: int) -> list[tuple[int, int]]:
    return [(s.document, s.at) for s in fill_budget(sentences, budget)]


def test_the_most_valuable_come_first() -> None:
    sentences = [sentence(0, 1.0), sentence(1, 3.0), sentence(2, 2.0)]
    assert picked(sentences, 100) == [(0, 1), (0, 2), (0, 0)]


def test_a_budget_may_be_spent_to_the_last_token() -> None:
    sentences = [sentence(0, 2.0), sentence(1, 1.0)]
    assert picked(sentences, 8) == [(0, 0), (0, 1)]
    assert picked(sentences, 7) == [(0, 0)]
    assert picked(sentences, 3) == []


def test_a_sentence_apart_pays_a_token_for_the_gap() -> None:
    apart = [sentence(0, 2.0), sentence(2, 1.0)]
    assert picked(apart, 8) == [(0, 0)]
    assert picked(apart, 9) == [(0, 0), (0, 2)]


def test_a_gap_is_no_longer_paid_once_its_neighbour_is_picked() -> None:
    for first, last in ((0, 2), (2, 0)):
        sentences = [
            sentence(first, 20.0, title=3),
            sentence(1, 8.0, tokens=2, title=3),
            sentence(last, 1.0, title=3),
        ]
        assert picked(sentences, 13) == [(0, first), (0, 1), (0, last)]
        assert picked(sentences, 12) == [(0, first), (0, 1)]


def test_only_the_first_sentence_of_a_document_pays_for_its_title() -> None:
    titled = [sentence(0, 2.0, title=5), sentence(1, 1.0, title=5)]
    assert picked(titled, 13) == [(0, 0), (0, 1)]
    assert picked(titled, 12) == [(0, 0)]
    assert picked(titled, 8) == []


def test_a_later_sentence_without_its_title_may_overtake_another_document() -> None:
    sentences = [
        sentence(0, 10.0, title=12),
        sentence(1, 4.0, title=12),
        sentence(0, 3.0, document=1),
    ]
    assert picked(sentences, 100) == [(0, 0), (0, 1), (1, 0)]


def test_cost_counts_by_its_square_root() -> None:
    """9 tokens are worth it from three times the value of 1 token on."""
    for value, first in ((2.9, (1, 0)), (3.1, (0, 0))):
        sentences = [
            sentence(0, value, tokens=9),
            sentence(0, 1.0, document=1, tokens=1),
        ]
        assert picked(sentences, 100)[0] == first


def test_a_sentence_without_tokens_is_as_one_of_one_token() -> None:
    sentences = [sentence(0, 1.0, tokens=0), sentence(0, 1.1, document=1, tokens=1)]
    assert picked(sentences, 100) == [(1, 0), (0, 0)]


def test_what_does_not_fit_leaves_room_for_what_does() -> None:
    sentences = [sentence(0, 9.0, tokens=50), sentence(0, 1.0, document=1)]
    assert picked(sentences, 10) == [(1, 0)]


def test_a_long_text_is_kept_once_and_a_short_one_as_often_as_it_occurs() -> None:
    long, short = "x" * 20, "y" * 19
    for text, kept in ((long, 1), (short, 2)):
        sentences = [
            sentence(0, 2.0, text=text),
            sentence(0, 1.0, document=1, text=f"  {text}\n"),
        ]
        assert len(picked(sentences, 100)) == kept


def test_documents_are_apart_from_one_another() -> None:
    """A picked sentence is no neighbour of one in another document."""
    sentences = [
        sentence(0, 9.0),
        sentence(1, 1.0, document=1, title=3),
    ]
    assert picked(sentences, 11) == [(0, 0), (1, 1)]
    assert picked(sentences, 10) == [(0, 0)]
