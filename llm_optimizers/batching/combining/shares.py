"""What each question of a combined prompt is billed, and what a separate call would have used.

The shares add up to the bill exactly, count by count, so that the ledger agrees with the
provider's invoice. All functions here are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from llm_optimizers.costs import Usage
from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.answers import CallShare
from llm_optimizers.costs.removed import RemovedTokens
from llm_optimizers.types import ChatRequest

__all__ = ["added", "question_share", "split_cost", "split_total", "split_usage"]

_SMALLEST = Decimal("1e-18")  # of a dollar, to which a share is rounded


# Counts that are in no other, or may overlap with them.
_OF_INPUT = (
    *("input_audio_tokens", "cache_read_audio_tokens", "input_image_tokens"),
    *("web_searches", "file_searches", "code_sessions", "other_units"),
)
_OF_OUTPUT = ("output_audio_tokens", "output_image_tokens", "images")


def split_total(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by weights into integers that add up to it (largest remainder method).

    Of equal remainders the earlier item's is rounded up; weights that are all zero are equal.
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


def split_usage(
    billed: Usage, *, input_weights: Sequence[int], output_weights: Sequence[int]
) -> list[Usage]:
    """Split a call's usage among its questions.

    Disjoint parts are split and then added up, so that in every share too the input includes the
    cached tokens and the output includes the reasoning. What is billed by the piece is split as the
    output is.
    """
    read = split_total(billed.cache_read_tokens, input_weights)
    hour = split_total(billed.cache_write_1h_tokens, input_weights)
    five_minutes = split_total(
        billed.cache_write_tokens - billed.cache_write_1h_tokens, input_weights
    )
    plain = split_total(
        billed.input_tokens - billed.cache_read_tokens - billed.cache_write_tokens, input_weights
    )
    reasoning = split_total(billed.reasoning_tokens, output_weights)
    text = split_total(billed.output_tokens - billed.reasoning_tokens, output_weights)
    beside = {
        name: split_total(getattr(billed, name), weights)
        for names, weights in ((_OF_INPUT, input_weights), (_OF_OUTPUT, output_weights))
        for name in names
    }
    return [
        Usage(
            **{name: parts[i] for name, parts in beside.items()},
            input_tokens=plain[i] + read[i] + hour[i] + five_minutes[i],
            output_tokens=text[i] + reasoning[i],
            cache_read_tokens=read[i],
            cache_write_tokens=hour[i] + five_minutes[i],
            cache_write_1h_tokens=hour[i],
            reasoning_tokens=reasoning[i],
        )
        for i in range(len(input_weights))
    ]


def split_cost(billed: Decimal | None, shares: Sequence[Usage]) -> list[Decimal | None]:
    """Split the dollars billed for a call by the tokens of each share; they add up to them exactly.

    The last share takes what rounding leaves.
    """
    if billed is None:
        return [None] * len(shares)
    whole = sum(share.total_tokens for share in shares) or 1
    costs: list[Decimal | None] = []
    left = billed
    for share in shares[:-1]:
        part = EXACT.divide(EXACT.multiply(billed, share.total_tokens), whole)
        part = EXACT.quantize(part, _SMALLEST)
        costs.append(part)
        left = EXACT.subtract(left, part)
    return [*costs, left]


def added(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Add what was billed for two calls, None if one of them is not known."""
    return None if one is None or other is None else EXACT.add(one, other)


def question_share(
    whole: CallShare,
    *,
    request: ChatRequest,
    answer: str,
    combined: ChatRequest,
    reply: str,
    measure: Callable[[str], int] = len,
) -> CallShare:
    """Return a question's share of a combined call, with the estimated usage of a separate call.

    `whole` is the share of the whole combined call, `combined` its request and `reply` its text.
    The estimate assumes the same tokens per unit of text as in the combined call, a prefix read
    from the provider's cache as there, and reasoning in proportion to the length of the answers.
    """
    prefix = sum(measure(message.text) for message in request.messages[:-1])
    own = prefix + measure(request.messages[-1].text)
    everything = prefix + measure(combined.messages[-1].text)
    used = whole.alone or Usage()
    reasoning = _scaled(used.reasoning_tokens, measure(answer), measure(reply))
    text = _scaled(used.output_tokens - used.reasoning_tokens, measure(answer), measure(reply))
    alone = Usage(
        input_tokens=_scaled(used.input_tokens, own, everything),
        cache_read_tokens=min(
            used.cache_read_tokens, _scaled(used.input_tokens, prefix, everything)
        ),
        output_tokens=text + reasoning,
        reasoning_tokens=reasoning,
    )
    removed = RemovedTokens(
        tokens=_scaled(whole.removed.tokens, own, everything),
        repeated=_scaled(whole.removed.repeated, own, everything),
    )
    return replace(whole, alone=alone, estimated=True, removed=removed)


def _scaled(tokens: int, part: int, whole: int) -> int:
    return round(tokens * part / whole) if whole else 0
