"""What a call would have used had the provider's own prompt cache helped as much as it can.

A baseline that was never sent may have been cheaper than the account says: the provider would have
found some of its prompt in its cache. This gives the other end of that range.
"""

from __future__ import annotations

from dataclasses import replace

from llm_optimizers.costs.prices.rates import Rates
from llm_optimizers.costs.usage import Usage

__all__ = ["found_in_provider_cache"]

# https://platform.openai.com/docs/guides/prompt-caching; others need as many tokens or more.
_FEWEST = 1_024
_STEP = 128


def found_in_provider_cache(usage: Usage, rates: Rates) -> Usage:
    """Return the usage of the same call once its prompt is in the provider's cache.

    Without a lower rate for cached tokens nothing changes. Where writing to the cache has a price
    of its own, only what the call read or wrote can be found again (Anthropic:
    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching); elsewhere the provider
    caches by itself, in steps of 128 tokens from 1,024 on.
    """
    if rates.cache_read >= rates.input:
        return usage
    found = usage.cache_read_tokens + usage.cache_write_tokens
    if rates.cache_write == rates.input and usage.input_tokens >= _FEWEST:
        found = max(found, usage.input_tokens // _STEP * _STEP)
    return replace(
        usage,
        cache_read_tokens=min(found, usage.input_tokens),
        cache_write_tokens=0,
        cache_write_1h_tokens=0,
    )
