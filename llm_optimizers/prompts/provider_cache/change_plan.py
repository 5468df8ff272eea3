"""When a shorter prompt is the cheaper one: the break-even rule for provider caches.

A provider bills a repeated prefix at a fraction of its price, so a change inside the prefix, a
prefix that falls below the provider's minimum, or an unlucky step boundary can cost more than
the tokens it saves. A conversation holds all its earlier calls, so both bills, with the changes
and without, are replayed call by call: a message is decided on once, when it enters, and stays
as it was sent; a change is made only where the bill so far and the next call's prefix do not
come out higher with a warm cache. With a cold one fewer tokens always cost less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

from llm_optimizers.prompts.provider_cache.rules import CacheRules

__all__ = ["Fold", "Plan", "Weighed", "call_cost", "plan_changes"]


_FEW = 4
_RESERVE = 2
"""Unlucky calls that must be paid for in advance; prefixes end anywhere within a step, so the
luck of later calls evens out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A message's tokens as it came and after its passes (equal if they found nothing)."""

    raw: int
    short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Messages from `start` up to `end` replaced by a summary.

    `tokens` bounds the summary's length; `price` is what making it costs, in the main model's
    input tokens.
    """

    start: int
    end: int
    tokens: int
    price: float = 0.0


FoldAt: TypeAlias = Callable[[int, int], Fold | None]
"""Given where the last fold ended and how many messages there are, the fold to consider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which messages go out shortened, which stretches are folded, and what was left alone."""

    short: frozenset[int]
    folds: tuple[Fold, ...]
    left_alone: tuple[str, ...]

    def changes(self) -> list[str]:
        """What was done, in words for a record."""
        shortened = [f"message {at}: shortened" for at in sorted(self.short)]
        folded = [f"messages {f.start} to {f.end - 1}: summarised" for f in self.folds]
        return [*shortened, *folded]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What a call sends: its shortened messages, its folds, its size in tokens.

    `prefix` is how much of it the call before sent in the same words.
    """

    short: frozenset[int] = frozenset()
    folds: tuple[Fold, ...] = ()
    size: int
    prefix: int = 0

    def cost(self, rules: CacheRules) -> float:
        """See `call_cost`."""
        return call_cost(rules, self.size, self.prefix)


def call_cost(rules: CacheRules, total: int, prefix: int) -> float:
    """A call's cost in plain input tokens, when `prefix` of its `total` was sent before."""
    read = rules.cached(prefix)
    written = max(0, rules.cached(total) - read)
    return float(rules.read * read + rules.write * written) + (total - read - written)


def plan_changes(
    messages: Sequence[Weighed],
    calls: Sequence[int],
    *,
    rules: CacheRules | None,
    fixed: int = 0,
    fold_at: FoldAt | None = None,
    single: bool = False,
) -> Plan:
    """Decide for every message of a conversation, from its first call to its last.

    Args:
        messages: All messages of the last call.
        calls: For each call so far, how many of the messages it sent; ascending.
        rules: The provider's caching, None if it has none.
        fixed: Tokens that stand before all messages in every call, the tools'.
        fold_at: Proposes stretches of history to fold; None folds nothing.
        single: The first call is likely the only one, as a question with its retrieved context
            is: then it need not save in advance what later calls might lose.
    """
    replay = _Replay(messages, rules, fixed, fold_at, single=single)
    for count in calls:
        replay.call(count)
    return replay.plan()


class _Replay:
    """The conversation so far, billed both ways."""

    def __init__(
        self,
        messages: Sequence[Weighed],
        rules: CacheRules | None,
        fixed: int,
        fold_at: FoldAt | None,
        *,
        single: bool,
    ) -> None:
        self._single = single
        self._messages = messages
        self._rules = rules
        self._fixed = fixed
        self._fold_at = fold_at
        self._raw = list(accumulate((m.raw for m in messages), initial=fixed))
        self._sent = _Sent(size=fixed)
        self._count = 0
        self._bank = 0.0
        self._left: dict[str, None] = {}

    def plan(self) -> Plan:
        return Plan(short=self._sent.short, folds=self._sent.folds, left_alone=tuple(self._left))

    def call(self, count: int) -> None:
        """Decide on the messages that enter with a call of `count` messages, and bill it."""
        raw = replace(
            self._sent,
            size=self._sent.size + self._raw[count] - self._raw[self._count],
            prefix=self._sent.size if self._count else 0,
        )
        options = self._options(raw, count)
        if self._rules is None:
            self._sent = self._folded(options[-1], count) or options[-1]
        elif self._single and not self._count and options[-1].size < raw.size:
            self._sent = options[-1]
            self._bank += raw.cost(self._rules) - self._sent.cost(self._rules)
        else:
            self._sent = self._cheapest(self._rules, options, count)
        self._count = count

    def _options(self, raw: _Sent, count: int) -> list[_Sent]:
        """The new messages as they came, each choice of some shortened, all shortened (last).

        Which of them are shortened decides where the next call's prefix ends within a step.
        """
        new = [at for at in range(self._count, count) if self._shrinks(at)]
        some = [[at for bit, at in enumerate(new) if chosen >> bit & 1] for chosen in _choices(new)]
        return [
            replace(
                raw,
                short=raw.short.union(shortened),
                size=raw.size
                - sum(self._messages[m].raw - self._messages[m].short for m in shortened),
            )
            for shortened in some
        ]

    def _cheapest(self, rules: CacheRules, options: list[_Sent], count: int) -> _Sent:
        plain = _Sent(size=self._raw[count], prefix=self._raw[self._count] if self._count else 0)
        holding = [option for option in options[1:] if self._holds(rules, option, plain)]
        if not holding and self._sent.size < plain.prefix:
            holding = options  # shorter already: the question is only which end is luckiest
        chosen = max(
            holding, key=lambda option: self._ahead(rules, option, plain), default=options[0]
        )
        if chosen.size > options[-1].size:
            self._note("messages: shortening them would cost more than the provider's cache gives")
        if plain.size >= rules.minimum > plain.prefix and not self._safe(rules, chosen, plain):
            # From the next call on the whole is cached; nothing has been yet, so all is open.
            self._note("everything so far: shorter, it would miss the provider's cache")
            chosen = replace(plain, prefix=0)
        else:
            folded = self._folded(chosen, count)
            if folded is not None and self._worth_folding(rules, folded, plain):
                chosen = folded
        self._bank += plain.cost(rules) - chosen.cost(rules)
        if len(chosen.folds) > len(self._sent.folds):
            self._bank -= chosen.folds[-1].price
        return chosen

    def _worth_folding(self, rules: CacheRules, folded: _Sent, plain: _Sent) -> bool:
        """Whether a fold pays for its summary and its broken prefix at once, in this very call."""
        cost = folded.cost(rules) + folded.folds[-1].price
        if cost <= plain.cost(rules) and self._holds(rules, folded, plain):
            return True
        self._note("history: a summary would break a cached prefix that is worth more")
        return False

    def _holds(self, rules: CacheRules, sent: _Sent, plain: _Sent) -> bool:
        """Whether the bill stays below the plain one, with this call and the next one's prefix."""
        bank = self._bank + plain.cost(rules) - sent.cost(rules)
        return bank >= 0 and (plain.size < rules.minimum or self._safe(rules, sent, plain))

    def _safe(self, rules: CacheRules, sent: _Sent, plain: _Sent) -> bool:
        """Whether what was saved so far outlasts the later calls that a shorter prefix loses on."""
        reserve = _RESERVE * _unlucky(rules, sent.size, plain.size)
        return self._ahead(rules, sent, plain) >= reserve

    def _ahead(self, rules: CacheRules, sent: _Sent, plain: _Sent) -> float:
        """What will have been saved once the next call has read this one as its prefix."""
        bank = self._bank + plain.cost(rules) - sent.cost(rules)
        following = call_cost(rules, plain.size, plain.size) - call_cost(
            rules, sent.size, sent.size
        )
        return bank + following

    def _folded(self, sent: _Sent, count: int) -> _Sent | None:
        """The same with one more fold, if one is proposed that makes it shorter."""
        if self._fold_at is None:
            return None
        last = sent.folds[-1].end if sent.folds else 0
        fold = self._fold_at(last, count)
        if fold is None:
            return None
        inside = sum(self._tokens(sent, at) for at in range(fold.start, fold.end))
        if fold.tokens >= inside:
            return None
        ahead = self._fixed + sum(f.tokens for f in sent.folds)
        covered = {at for f in sent.folds for at in range(f.start, f.end)}
        ahead += sum(self._tokens(sent, at) for at in range(fold.start) if at not in covered)
        return _Sent(
            short=sent.short,
            folds=(*sent.folds, fold),
            size=sent.size - inside + fold.tokens,
            prefix=ahead if self._count else 0,
        )

    def _shrinks(self, at: int) -> bool:
        return self._messages[at].short < self._messages[at].raw

    def _tokens(self, sent: _Sent, at: int) -> int:
        return self._messages[at].short if at in sent.short else self._messages[at].raw

    def _note(self, reason: str) -> None:
        self._left[reason] = None


def _choices(new: Sequence[int]) -> Sequence[int]:
    """Bit masks of the messages to shorten: all choices of a few, else none or all."""
    every = (1 << len(new)) - 1
    return range(every + 1) if len(new) <= _FEW else (0, every)


def _unlucky(rules: CacheRules, size: int, plain: int) -> float:
    """What one later call can lose at worst: its prefix ends just before a step, or, while it is
    still below the provider's minimum, just before that."""
    read, saved = float(rules.read), plain - size
    step = (1 - read) * (rules.step - 1) - read * saved
    before = rules.minimum - 1
    short = before - read * (before + saved) if size < rules.minimum <= plain else 0.0
    return max(0.0, step, short)
