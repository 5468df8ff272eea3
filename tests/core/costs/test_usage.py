"""Usage: counts add up, and every provider's report is read into the same counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError

_BY_AGE = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
_THOUGHT = Usage(output_tokens=7, reasoning_tokens=3)
usages = st.builds(Usage, **dict.fromkeys(Usage().as_dict(), st.integers(0, 10**9)))


@given(usages, usages, usages)
def test_addition_is_associative_and_commutative_with_a_zero(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Usage() == a


@given(st.lists(usages, max_size=6))
def test_sum_adds_every_count(parts):
    total = sum(parts, Usage())
    for name, count in total.as_dict().items():
        assert count == sum(getattr(part, name) for part in parts)
    assert total.total_tokens == sum(part.total_tokens for part in parts)
    if parts:
        assert sum(parts) == total


@given(usages)
def test_counts_survive_a_round_trip(usage):
    assert Usage(**usage.as_dict()) == usage


@pytest.mark.parametrize("bad", [-1, 1.5, "3", True, None])
def test_an_invalid_count_is_refused_by_name(bad):
    with pytest.raises(ConfigurationError, match="output_tokens"):
        Usage(output_tokens=bad)


def test_adding_another_type_is_a_type_error():
    with pytest.raises(TypeError):
        Usage() + 3
    with pytest.raises(TypeError):
        3 + Usage()


def test_openai_chat():
    assert Usage.from_openai(
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 7},
        }
    ) == Usage(
        input_tokens=2006,
        output_tokens=300,
        cache_read_tokens=1920,
        reasoning_tokens=128,
        input_audio_tokens=5,
        output_audio_tokens=7,
    )


def test_openai_responses():
    assert Usage.from_openai(
        {
            "input_tokens": 328,
            "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 32},
            "output_tokens": 52,
            "output_tokens_details": {"reasoning_tokens": 10},
            "total_tokens": 380,
        }
    ) == Usage(
        input_tokens=328,
        output_tokens=52,
        cache_read_tokens=64,
        cache_write_tokens=32,
        reasoning_tokens=10,
    )


def test_openai_embeddings_and_null_counts():
    raw = {"prompt_tokens": 8, "total_tokens": 8, "prompt_tokens_details": None}
    assert Usage.from_openai(raw) == Usage(input_tokens=8)
    raw = {"prompt_tokens": 8, "completion_tokens": None, "prompt_tokens_details": {}}
    assert Usage.from_openai(raw) == Usage(input_tokens=8)
    assert Usage.from_openai({}) == Usage()


def test_reasoning_that_only_the_total_includes_is_added_to_the_output():
    raw = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 115,
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    assert Usage.from_openai(raw) == Usage(input_tokens=10, output_tokens=105, reasoning_tokens=100)


def test_cache_hits_reported_outside_the_details_are_read():
    raw = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_cache_hit_tokens": 64}
    assert Usage.from_openai(raw).cache_read_tokens == 64


def test_anthropic_input_includes_tokens_read_from_and_written_to_the_cache():
    assert Usage.from_anthropic(
        {
            "input_tokens": 21,
            "cache_creation_input_tokens": 188,
            "cache_read_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 88, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 393,
            "output_tokens_details": {"thinking_tokens": 50},
        }
    ) == Usage(
        input_tokens=1209,
        output_tokens=393,
        cache_read_tokens=1000,
        cache_write_tokens=188,
        cache_write_1h_tokens=100,
        reasoning_tokens=50,
    )


def test_anthropic_cache_writes_by_age_are_added_up():
    raw = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": None,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    }
    usage = Usage.from_anthropic(raw)
    assert (usage.input_tokens, usage.cache_write_tokens) == (8, 7)


def test_an_invalid_report_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="prompt_tokens"):
        Usage.from_openai({"prompt_tokens": "many"})
    with pytest.raises(ConfigurationError, match="cached_tokens"):
        Usage.from_openai({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -5}})


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {
                "prompt_token_count": 90,
                "tool_use_prompt_token_count": 10,
                "candidates_token_count": 6,
                "thoughts_token_count": 4,
                "cached_content_token_count": 64,
            },
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64, reasoning_tokens=4),
        ),
        (
            {"promptTokenCount": 100, "candidatesTokenCount": 10, "cachedContentTokenCount": 64},
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64),
        ),
        (
            {
                "inputTokens": 30,
                "outputTokens": 10,
                "cacheReadInputTokens": 64,
                "cacheWriteInputTokens": 6,
            },
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64, cache_write_tokens=6),
        ),
        (
            {
                "inputTokens": 30,
                "outputTokens": 10,
                "cacheWriteInputTokens": 9,
                "cacheDetails": [
                    {"ttl": "5m", "inputTokens": 4},
                    {"ttl": "1h", "inputTokens": 5},
                ],
            },
            Usage(input_tokens=39, output_tokens=10, cache_write_tokens=9, cache_write_1h_tokens=5),
        ),
        (
            {"inputTokens": 30, "outputTokens": 10, "cacheDetails": "unknown"},
            Usage(input_tokens=30, output_tokens=10),
        ),
        (
            {
                "input_tokens": 36,
                "output_tokens": 10,
                "cache_read_input_tokens": 64,
                "cache_creation_input_tokens": None,
            },
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 10},
            Usage(input_tokens=100, output_tokens=10),
        ),
        (
            {"input_tokens": 100.0, "output_tokens": 10.0},
            Usage(input_tokens=100, output_tokens=10),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_creation": _BY_AGE},
            Usage(input_tokens=17, output_tokens=5, cache_write_tokens=7, cache_write_1h_tokens=4),
        ),
        (
            {"inputTokenCount": 30, "outputTokenCount": 10, "cacheReadInputTokenCount": 64},
            Usage(input_tokens=94, output_tokens=10, cache_read_tokens=64),
        ),
        (
            {"prompt_eval_count": 26, "eval_count": 290, "eval_duration": 4_709_213_000},
            Usage(input_tokens=26, output_tokens=290),
        ),
        (
            {
                "billed_units": {"input_tokens": 5.0, "output_tokens": 418.0},
                "tokens": {"input_tokens": 71.0, "output_tokens": 418.0},
            },
            Usage(input_tokens=5, output_tokens=418),
        ),
        (
            {"tokens": {"input_tokens": 71, "output_tokens": 418}},
            Usage(input_tokens=71, output_tokens=418),
        ),
        (
            {"input_token_count": 12, "generated_token_count": 20},
            Usage(input_tokens=12, output_tokens=20),
        ),
        ({"output_tokens": 7}, Usage(output_tokens=7)),
        ({"outputTokens": 7}, Usage(output_tokens=7)),
        ({"candidates_token_count": 4, "thoughts_token_count": 3}, _THOUGHT),
        ({"candidatesTokenCount": 4, "thoughtsTokenCount": 3}, _THOUGHT),
        ({"eval_count": 7}, Usage(output_tokens=7)),
        (
            # From a gateway: OpenAI's counts, and Anthropic's names too.
            {
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 64},
                "cache_read_input_tokens": 64,
                "cache_creation_input_tokens": 6,
            },
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64, cache_write_tokens=6),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_eval_count": 9, "eval_count": 2},
            Usage(input_tokens=9, output_tokens=2),
        ),
        ({"tokens": 12}, None),
        ({"cache_creation": 12}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": 0.5, "completion_tokens": 2}, None),
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"total_time": 3.5}, None),
        ({}, None),
        ("100 tokens", None),
        (None, None),
    ],
)
def test_a_provider_is_recognised_by_the_names_of_its_counts(
    raw: object, usage: Usage | None
) -> None:
    assert Usage.read(raw) == usage


def test_a_later_report_of_a_call_replaces_its_nonzero_counts() -> None:
    first = Usage(input_tokens=100, cache_read_tokens=64, output_tokens=1)
    assert first.later(Usage(output_tokens=10)) == Usage(
        input_tokens=100, cache_read_tokens=64, output_tokens=10
    )
