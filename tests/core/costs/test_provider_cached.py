"""The baseline's other end: the provider's own prompt cache has found what it can."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import PriceBook, Rates, Usage
from llm_optimizers.costs.provider_cached import found_in_provider_cache

AUTOMATIC = PriceBook().rates("gpt-4o")
MARKED = PriceBook().rates("claude-sonnet-4-5")


@pytest.mark.parametrize(
    ("used", "found"),
    [
        (Usage(input_tokens=1_023), 0),
        (Usage(input_tokens=1_024), 1_024),
        (Usage(input_tokens=1_300), 1_280),
        (Usage(input_tokens=900, cache_read_tokens=768), 768),
    ],
)
def test_a_provider_that_caches_by_itself_finds_whole_steps(used: Usage, found: int) -> None:
    assert found_in_provider_cache(used, AUTOMATIC).cache_read_tokens == found


@pytest.mark.parametrize(
    ("used", "found"),
    [
        (Usage(input_tokens=5_000), 0),
        (Usage(input_tokens=5_000, cache_write_tokens=4_000, cache_write_1h_tokens=100), 4_000),
        (Usage(input_tokens=5_000, cache_read_tokens=3_000, cache_write_tokens=500), 3_500),
    ],
)
def test_where_writing_has_a_price_only_what_was_marked_is_found(used: Usage, found: int) -> None:
    cached = found_in_provider_cache(used, MARKED)
    assert (cached.cache_read_tokens, cached.cache_write_tokens) == (found, 0)


def test_without_a_lower_rate_nothing_changes() -> None:
    same = Rates(input=Decimal(1), output=Decimal(1), cache_read=Decimal(1), cache_write=Decimal(1))
    used = Usage(input_tokens=9_000, cache_read_tokens=5)
    assert found_in_provider_cache(used, same) is used


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_the_cost_never_rises(tokens: int, read: float, written: float, marked: bool) -> None:
    model = "claude-sonnet-4-5" if marked else "gpt-4o"
    reading = int(tokens * read)
    used = Usage(
        input_tokens=tokens,
        cache_read_tokens=reading,
        cache_write_tokens=int((tokens - reading) * written) if marked else 0,
    )
    book = PriceBook()
    cached = found_in_provider_cache(used, MARKED if marked else AUTOMATIC)
    assert cached.input_tokens == tokens
    assert book.cost(cached, model) <= book.cost(used, model)
