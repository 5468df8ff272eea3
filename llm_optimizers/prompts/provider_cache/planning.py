"""From shortened messages to what is sent: weighed, replayed, summarised, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import UnpricedError
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.history import History
from llm_optimizers.prompts.provider_cache.break_even import Fold, Plan, Weighed, plan_changes
from llm_optimizers.prompts.provider_cache.rules import CacheRules
from llm_optimizers.types import ChatRequest, Message

__all__ = ["Planned", "Planner"]

_FRAME = 4
"""Tokens around a message's text."""


class Planned(NamedTuple):
    """The plan, the messages it comes to, and each one's former index (None for a summary)."""

    plan: Plan
    messages: tuple[Message, ...]
    origins: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Decides which shortened messages to send and which history to fold."""

    counter: TokenCounter
    prices: PriceBook
    history: History | None

    def plan(
        self,
        request: ChatRequest,
        shorter: Sequence[Message],
        rules: CacheRules | None,
        *,
        single: bool = False,
    ) -> Planned:
        """Plan a request; a summary that cannot be made is planned around.

        `single` says that the first call is likely the only one, as `plan_changes` has it.
        """
        model, count = request.model, len(request.messages)
        weighed = [
            Weighed(raw=self._tokens(m, model), short=self._tokens(s, model))
            for m, s in zip(request.messages, shorter, strict=True)
        ]
        calls = [at for at, m in enumerate(request.messages) if m.role == "assistant" and at]
        fixed = self.counter.count_tools(request).tokens
        until = count

        def fold_at(last: int, sent: int) -> Fold | None:
            return self._fold(request, weighed, last, sent, until)

        while True:
            plan = plan_changes(
                weighed,
                [*calls, count],
                rules=rules,
                fixed=fixed,
                fold_at=fold_at,
                single=single,
            )
            summaries: list[Message] = []
            for fold in plan.folds:
                made = self._summary(shorter[fold.start : fold.end], model)
                if made is None:
                    until = fold.start
                    break
                summaries.append(made)
            else:
                return _assembled(request.messages, shorter, plan, summaries)

    def _summary(self, messages: Sequence[Message], model: str) -> Message | None:
        if self.history is None:
            return None
        return self.history.summary(messages, self.counter, model)

    def _fold(
        self, request: ChatRequest, weighed: Sequence[Weighed], last: int, sent: int, until: int
    ) -> Fold | None:
        """The next stretch to fold, if it begins before `until`."""
        if self.history is None:
            return None
        stretch = self.history.stretch(request.messages, last, sent)
        if stretch is None or stretch.start >= until:
            return None
        tokens = self.history.summary_tokens + _FRAME
        price = self._price(request.model, sum(weighed[at].raw for at in stretch), tokens)
        return Fold(start=stretch.start, end=stretch.stop, tokens=tokens, price=price)

    def _price(self, model: str, read: int, written: int) -> float:
        """What a summary costs, in input tokens of the main model; as if its own if unpriced."""
        if self.history is None or self.history.summariser is None:
            return 0.0
        try:
            main = self.prices.rates(model)
            cheap = self.prices.rates(self.history.summariser.model)
        except UnpricedError:
            return float(read + 4 * written)
        if not main.input:
            return 0.0
        return float((read * cheap.input + written * cheap.output) / main.input)

    def _tokens(self, message: Message, model: str) -> int:
        return self.counter.count_message(message, model).tokens


def _assembled(
    messages: Sequence[Message],
    shorter: Sequence[Message],
    plan: Plan,
    summaries: Sequence[Message],
) -> Planned:
    written: list[Message] = []
    origins: list[int | None] = []
    at = 0
    for fold, summary in [*zip(plan.folds, summaries, strict=True), (None, None)]:
        end = fold.start if fold is not None else len(messages)
        for index in range(at, end):
            written.append(shorter[index] if index in plan.short else messages[index])
            origins.append(index)
        if fold is not None and summary is not None:
            written.append(summary)
            origins.append(None)
            at = fold.end
    return Planned(plan, tuple(written), tuple(origins))
