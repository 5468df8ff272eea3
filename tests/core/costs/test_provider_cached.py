"""The baseline's other end: the provider's own prompt cache has found what it can."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import CallRecord, PriceBook, Rates, Usage, price_call, summarise
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.pricing import charged_to
from llm_optimizers.costs.provider_cached import found_in_provider_cache
from llm_optimizers.costs.removed import RemovedTokens

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


def priced(**changes: Any) -> CallRecord:
    call = {
        "id": "1",
        "time": datetime(2026, 11, 1, tzinfo=UTC),
        "model": "gpt-4o",
        "usage": Usage(input_tokens=2_000, output_tokens=100),
    }
    return price_call(PriceBook(), **(call | changes))


def test_a_hit_saves_less_if_the_provider_would_have_found_its_prompt() -> None:
    hit = priced(hit_strategy="cache.exact")
    # 1,920 of 2,000 tokens at $1.25 instead of $2.50 a million.
    assert hit.baseline_cost == Decimal("0.006")
    assert hit.baseline_low == Decimal("0.0036")
    summary = summarise([hit])
    assert (summary.saved, summary.saved_low) == (hit.baseline_cost, hit.baseline_low)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tier": "batch"},
        {"baseline_model": "gpt-4-turbo"},
        {"hit_strategy": "cache.exact", "usage": Usage(input_tokens=500, output_tokens=9)},
        {"hit_strategy": "cache.embeddings", "kind": "embedding"},
        {"hit_strategy": "cache.exact", "model": "house-blend-7"},
        {"status": "error"},
    ],
)
def test_other_calls_have_one_baseline(changes: dict[str, Any]) -> None:
    record = priced(**changes)
    assert record.baseline_low is None
    assert summarise([record]).saved_low == summarise([record]).saved


def test_what_was_removed_counts_as_found_if_it_was_sent_before() -> None:
    call = Call(
        id="1",
        time=datetime(2026, 11, 1, tzinfo=UTC),
        asked="gpt-4o",
        reported=Usage(input_tokens=1_000, output_tokens=10),
        removed=RemovedTokens(tokens=600, repeated=400),
    )
    record = call.record(PriceBook())
    assert record.saved == 600 * Decimal("2.5") / 10**6
    assert record.baseline_cost is not None
    assert record.baseline_low == record.baseline_cost - 400 * Decimal("1.25") / 10**6


def test_a_discarded_answer_has_no_baseline() -> None:
    record = charged_to(priced(usage=Usage(input_tokens=5_000)), "routing")
    assert (record.baseline_cost, record.baseline_low) == (0, None)
