"""The rules of each provider's prompt cache."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_optimizers.costs import PriceBook
from llm_optimizers.prompts.provider_cache import cache_rules


@pytest.mark.parametrize(
    ("model", "minimum", "breakpoints", "read"),
    [
        ("gpt-4o", 1024, "none", "0.5"),
        ("gpt-4.1-mini", 1024, "none", "0.25"),
        ("gpt-5.6", 1024, "breakpoint", "0.1"),
        ("openai/gpt-5.2", 1024, "none", "0.1"),
        ("claude-sonnet-4-5", 1024, "cache_control", "0.1"),
        ("claude-haiku-4-5", 4096, "cache_control", "0.1"),
        ("anthropic/claude-opus-4-6", 4096, "cache_control", "0.1"),
        ("anthropic:claude-opus-4-6", 4096, "cache_control", "0.1"),
        ("azure:gpt-4o", 1024, "none", "0.5"),
        ("gemini-2.5-flash", 1024, "none", "0.1"),
    ],
)
def test_each_model_family_has_its_rules(
    model: str, minimum: int, breakpoints: str, read: str
) -> None:
    rules = cache_rules(model, PriceBook())
    assert rules is not None
    assert (rules.minimum, rules.breakpoints, rules.read) == (minimum, breakpoints, Decimal(read))


@pytest.mark.parametrize("model", ["gpt-4", "gpt-3.5-turbo", "llama-3", ""])
def test_models_without_a_prompt_cache_have_none(model: str) -> None:
    assert cache_rules(model, PriceBook()) is None
