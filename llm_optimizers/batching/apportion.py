"""Sharing out what one call was billed among the items it answered, in whole tokens.

The shares add up to the bill exactly, count by count, so that a ledger of items and the
provider's invoice agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_optimizers.costs import Usage

__all__ = ["apportion", "share_usage"]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by the weights into whole numbers that add up to it (largest remainders).

    Equal remainders go to the earlier item; weights that are all zero count as equal.
    """
    if not sum(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    first = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in first[: total - sum(shares)]:
        shares[index] += 1
    return shares


def share_usage(
    billed: Usage, *, input_weights: Sequence[int], output_weights: Sequence[int]
) -> list[Usage]:
    """Split a call's usage among its items.

    Disjoint parts are split and summed again, so that within every share too the cached tokens
    are part of the input and the reasoning is part of the output.
    """
    read = apportion(billed.cache_read_tokens, input_weights)
    hour = apportion(billed.cache_write_1h_tokens, input_weights)
    brief = apportion(billed.cache_write_tokens - billed.cache_write_1h_tokens, input_weights)
    fresh = apportion(
        billed.input_tokens - billed.cache_read_tokens - billed.cache_write_tokens, input_weights
    )
    reasoning = apportion(billed.reasoning_tokens, output_weights)
    spoken = apportion(billed.output_tokens - billed.reasoning_tokens, output_weights)
    return [
        Usage(
            input_tokens=fresh[i] + read[i] + hour[i] + brief[i],
            output_tokens=spoken[i] + reasoning[i],
            cache_read_tokens=read[i],
            cache_write_tokens=hour[i] + brief[i],
            cache_write_1h_tokens=hour[i],
            reasoning_tokens=reasoning[i],
        )
        for i in range(len(input_weights))
    ]
