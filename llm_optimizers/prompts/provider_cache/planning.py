"""Plan which shortened messages and which summaries a request sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import UnpricedError
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.history import History
from llm_optimizers.prompts.provider_cache.change_plan import (
    ChangePlan,
    MessageTokens,
    PlannedSummary,
    plan_changes,
)
from llm_optimizers.prompts.provider_cache.rules import CacheRules
from llm_optimizers.types import ChatRequest, Message

__all__ = ["PlannedRequest", "plan_request"]

_FRAME = 4
"""Tokens of a message's framing."""


class PlannedRequest(NamedTuple):
    """The plan, the messages to send, and each one's original index (None for a summary)."""

    plan: ChangePlan
    messages: tuple[Message, ...]
    origins: tuple[int | None, ...]


def plan_request(
    request: ChatRequest,
    shorter: Sequence[Message],
    rules: CacheRules | None,
    *,
    counter: TokenCounter,
    prices: PriceBook,
    history: History | None,
    single_call: bool = False,
) -> PlannedRequest:
    """Decide which of the `shorter` messages to send, and which history to summarise.

    If a summary fails, the plan is made again without it. For `single_call` see `plan_changes`.
    """
    messages = request.messages
    tokens = _message_tokens(request, shorter, counter)
    calls = [at for at, message in enumerate(messages) if message.role == "assistant" and at]
    until = len(messages)

    def propose_summary(last: int, sent: int) -> PlannedSummary | None:
        found = history.next_range(messages, last, sent) if history is not None else None
        if history is None or found is None or found.start >= until:
            return None
        read, written = sum(tokens[at].original for at in found), history.summary_tokens + _FRAME
        price = _price(history, request.model, prices, read, written)
        return PlannedSummary(start=found.start, end=found.stop, tokens=written, price=price)

    while True:
        plan = plan_changes(
            tokens,
            [*calls, len(messages)],
            rules=rules,
            fixed=counter.count_tools(request).tokens,
            propose_summary=propose_summary,
            single_call=single_call,
        )
        summaries = _summaries(plan, shorter, history, counter, request.model)
        if len(summaries) == len(plan.summaries):
            return _assembled(messages, shorter, plan, summaries)
        until = plan.summaries[len(summaries)].start


def _message_tokens(
    request: ChatRequest, shorter: Sequence[Message], counter: TokenCounter
) -> list[MessageTokens]:
    sizes = [
        [counter.count_message(message, request.model).tokens for message in messages]
        for messages in (request.messages, shorter)
    ]
    return [MessageTokens(original=a, shortened=b) for a, b in zip(*sizes, strict=True)]


def _summaries(
    plan: ChangePlan,
    shorter: Sequence[Message],
    history: History | None,
    counter: TokenCounter,
    model: str,
) -> list[Message]:
    """Write the plan's summaries, up to the first that fails."""
    made: list[Message] = []
    for planned in plan.summaries:
        part = shorter[planned.start : planned.end]
        summary = history.summary(part, counter, model) if history is not None else None
        if summary is None:
            break
        made.append(summary)
    return made


def _price(history: History, model: str, prices: PriceBook, read: int, written: int) -> float:
    """Return a summary's cost in the main model's input tokens; a rough one if unpriced."""
    if history.summariser is None:
        return 0.0
    try:
        main, cheap = prices.rates(model), prices.rates(history.summariser.model)
    except UnpricedError:
        return float(read + 4 * written)
    if not main.input:
        return 0.0
    return float((read * cheap.input + written * cheap.output) / main.input)


def _assembled(
    messages: Sequence[Message],
    shorter: Sequence[Message],
    plan: ChangePlan,
    summaries: Sequence[Message],
) -> PlannedRequest:
    """Put the messages of a plan together, with summaries in place of what they replace."""
    origins: list[int | None] = []
    at = 0
    for planned in plan.summaries:
        origins += [*range(at, planned.start), None]
        at = planned.end
    origins += range(at, len(messages))
    made = iter(summaries)
    sent = [
        next(made) if at is None else shorter[at] if at in plan.shortened else messages[at]
        for at in origins
    ]
    return PlannedRequest(plan, tuple(sent), tuple(origins))
