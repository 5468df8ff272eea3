"""From shortened messages to what is sent: weighed, planned call by call, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import UnpricedError
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.history import History
from llm_optimizers.prompts.provider_cache.change_plan import Fold, Plan, Weighed, plan_changes
from llm_optimizers.prompts.provider_cache.rules import CacheRules
from llm_optimizers.types import ChatRequest, Message

__all__ = ["Planned", "plan_request"]

_FRAME = 4
"""Tokens around a message's text."""


class Planned(NamedTuple):
    """The plan, the messages it comes to, and each one's former index (None for a summary)."""

    plan: Plan
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
    single: bool = False,
) -> Planned:
    """Which of the `shorter` messages to send, and which history to fold.

    A summary that cannot be made is planned around. `single` as `plan_changes` has it.
    """
    messages = request.messages
    weighed = _weighed(request, shorter, counter)
    calls = [at for at, message in enumerate(messages) if message.role == "assistant" and at]
    until = len(messages)

    def fold_at(last: int, sent: int) -> Fold | None:
        stretch = history.stretch(messages, last, sent) if history is not None else None
        if history is None or stretch is None or stretch.start >= until:
            return None
        read, written = sum(weighed[at].raw for at in stretch), history.summary_tokens + _FRAME
        price = _price(history, request.model, prices, read, written)
        return Fold(start=stretch.start, end=stretch.stop, tokens=written, price=price)

    while True:
        plan = plan_changes(
            weighed,
            [*calls, len(messages)],
            rules=rules,
            fixed=counter.count_tools(request).tokens,
            fold_at=fold_at,
            single=single,
        )
        summaries = _summaries(plan, shorter, history, counter, request.model)
        if len(summaries) == len(plan.folds):
            return _assembled(messages, shorter, plan, summaries)
        until = plan.folds[len(summaries)].start


def _weighed(
    request: ChatRequest, shorter: Sequence[Message], counter: TokenCounter
) -> list[Weighed]:
    sizes = [
        [counter.count_message(message, request.model).tokens for message in messages]
        for messages in (request.messages, shorter)
    ]
    return [Weighed(raw=raw, short=short) for raw, short in zip(*sizes, strict=True)]


def _summaries(
    plan: Plan,
    shorter: Sequence[Message],
    history: History | None,
    counter: TokenCounter,
    model: str,
) -> list[Message]:
    """The summaries of the plan's folds, up to the first that cannot be made."""
    made: list[Message] = []
    for fold in plan.folds:
        stretch = shorter[fold.start : fold.end]
        summary = history.summary(stretch, counter, model) if history is not None else None
        if summary is None:
            break
        made.append(summary)
    return made


def _price(history: History, model: str, prices: PriceBook, read: int, written: int) -> float:
    """What a summary costs, in input tokens of the main model; as if its own if unpriced."""
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
    plan: Plan,
    summaries: Sequence[Message],
) -> Planned:
    """The messages of a plan, each stretch that is folded as its summary."""
    origins: list[int | None] = []
    at = 0
    for fold in plan.folds:
        origins += [*range(at, fold.start), None]
        at = fold.end
    origins += range(at, len(messages))
    made = iter(summaries)
    sent = [
        next(made) if at is None else shorter[at] if at in plan.short else messages[at]
        for at in origins
    ]
    return Planned(plan, tuple(sent), tuple(origins))
