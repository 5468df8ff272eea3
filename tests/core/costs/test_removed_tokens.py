"""What tokens that a strategy removed from a prompt would have cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llm_optimizers.costs import ModelPrice, PriceBook, Usage, price_call
from llm_optimizers.costs.removed import RemovedTokens

BOOK = PriceBook(
    {"model": ModelPrice(input=Decimal(10), cache_read=Decimal(1), output=Decimal(20))}
)
CACHED = Usage(input_tokens=1_000, cache_read_tokens=600, output_tokens=50)


def test_the_tokens_of_two_strategies_add_up() -> None:
    both = RemovedTokens(tokens=100, repeated=40) + RemovedTokens(tokens=20, repeated=5)
    assert both == RemovedTokens(tokens=120, repeated=45)


def test_repeated_tokens_would_have_been_read_from_the_providers_cache() -> None:
    removed = RemovedTokens(tokens=100, repeated=40)
    assert removed.added_back_to(CACHED) == Usage(
        input_tokens=1_100, cache_read_tokens=640, output_tokens=50
    )


def test_a_call_that_read_nothing_from_the_cache_would_have_read_none_of_them() -> None:
    removed = RemovedTokens(tokens=100, repeated=40)
    usage = Usage(input_tokens=1_000, output_tokens=50)
    assert removed.added_back_to(usage) == Usage(input_tokens=1_100, output_tokens=50)


def test_no_more_tokens_are_credited_as_repeated_than_were_removed() -> None:
    removed = RemovedTokens(tokens=100, repeated=5_000)
    whole = removed.added_back_to(CACHED)
    assert whole == Usage(input_tokens=1_100, cache_read_tokens=700, output_tokens=50)
    record = price_call(
        BOOK,
        id="1",
        time=datetime(2026, 11, 1, tzinfo=UTC),
        model="model",
        usage=CACHED,
        baseline_usage=whole,
    )
    assert record.saved == Decimal(100) * Decimal(1) / 1_000_000


def test_a_count_below_zero_takes_nothing_from_the_call() -> None:
    assert RemovedTokens(tokens=100, repeated=-7).added_back_to(CACHED) == Usage(
        input_tokens=1_100, cache_read_tokens=600, output_tokens=50
    )


@pytest.mark.parametrize("tokens", [0, -50])
def test_where_nothing_was_removed_the_usage_stays(tokens: int) -> None:
    removed = RemovedTokens(tokens=tokens, repeated=tokens)
    assert removed.added_back_to(CACHED) is CACHED


def test_a_single_removed_token_counts() -> None:
    assert RemovedTokens(tokens=1).added_back_to(CACHED).input_tokens == 1_001
