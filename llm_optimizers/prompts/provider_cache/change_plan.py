"""Plan which changes to a conversation make it cheaper, given the provider's prompt cache.

A provider bills a repeated prefix at a fraction of its price. A change inside the prefix, a
prefix that falls below the provider's minimum, or an unlucky step boundary can therefore cost
more than the tokens it saves. A conversation contains all its earlier calls, so both bills, with
and without the changes, are computed call by call. A message is decided on once, when it enters,
and is sent the same way from then on. A change is made only if neither the bill so far nor the next
call's prefix gets more expensive with a warm cache. With a cold one, fewer tokens always cost less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

from llm_optimizers.prompts.provider_cache.rules import CacheRules

__all__ = ["ChangePlan", "MessageTokens", "PlannedSummary", "call_cost", "plan_changes"]


_FEW = 4
_RESERVE = 2
"""How many worst-case calls the savings must cover in advance. A prefix ends anywhere within a
step, so later gains and losses at the boundaries even out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTokens:
    """A message's tokens before and after its passes (equal if they changed nothing)."""

    original: int
    shortened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSummary:
    """Messages from `start` up to `end` that a summary replaces.

    `tokens` is the summary's maximum length; `price` is the cost of writing it, in the main
    model's input tokens.
    """

    start: int
    end: int
    tokens: int
    price: float = 0.0


ProposeSummary: TypeAlias = Callable[[int, int], PlannedSummary | None]
"""Takes the end of the last summary and the number of messages; returns the next summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan:
    """The indices of the shortened messages, the summaries, and why the rest is unchanged."""

    shortened: frozenset[int]
    summaries: tuple[PlannedSummary, ...]
    left_alone: tuple[str, ...]

    def changes(self) -> list[str]:
        """Return the changes as text, for a record."""
        shortened = [f"message {at}: shortened" for at in sorted(self.shortened)]
        summarised = [f"messages {s.start} to {s.end - 1}: summarised" for s in self.summaries]
        return [*shortened, *summarised]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What a call sends: its shortened messages, its summaries, its size in tokens.

    `prefix` is how many of those tokens the call before has sent in the same form.
    """

    shortened: frozenset[int] = frozenset()
    summaries: tuple[PlannedSummary, ...] = ()
    size: int
    prefix: int = 0

    def cost(self, rules: CacheRules) -> float:
        """See `call_cost`."""
        return call_cost(rules, self.size, self.prefix)


def call_cost(rules: CacheRules, total: int, prefix: int) -> float:
    """Return a call's cost in uncached input tokens, if `prefix` of its `total` was sent before."""
    read = rules.cached_tokens(prefix)
    written = max(0, rules.cached_tokens(total) - read)
    return float(rules.read * read + rules.write * written) + (total - read - written)


def plan_changes(
    messages: Sequence[MessageTokens],
    calls: Sequence[int],
    *,
    rules: CacheRules | None,
    fixed: int = 0,
    propose_summary: ProposeSummary | None = None,
    single_call: bool = False,
) -> ChangePlan:
    """Decide on every message of a conversation, from its first call to its last.

    Args:
        messages: All messages of the last call.
        calls: How many messages each call so far has sent; ascending.
        rules: The provider's caching, None if it has none.
        fixed: Tokens before all messages in every call (the tools).
        propose_summary: Proposes parts of the history to summarise; None summarises nothing.
        single_call: The first call is probably the only one, as for a question with its retrieved
            context: then its savings need not cover what later calls might lose.
    """
    planner = _Planner(messages, rules, fixed, propose_summary, single_call=single_call)
    for count in calls:
        planner.add_call(count)
    return planner.plan()


class _Planner:
    """The conversation so far, and how much its changes have saved."""

    def __init__(
        self,
        messages: Sequence[MessageTokens],
        rules: CacheRules | None,
        fixed: int,
        propose_summary: ProposeSummary | None,
        *,
        single_call: bool,
    ) -> None:
        self._messages = messages
        self._rules = rules
        self._fixed = fixed
        self._propose_summary = propose_summary
        self._single_call = single_call
        self._original = list(accumulate((m.original for m in messages), initial=fixed))
        self._sent = _Sent(size=fixed)
        self._count = 0
        self._saved = 0.0
        self._left_alone: dict[str, None] = {}

    def plan(self) -> ChangePlan:
        return ChangePlan(
            shortened=self._sent.shortened,
            summaries=self._sent.summaries,
            left_alone=tuple(self._left_alone),
        )

    def add_call(self, count: int) -> None:
        """Decide on the messages that enter with a call of `count` messages, and bill the call."""
        unchanged = replace(
            self._sent,
            size=self._sent.size + self._original[count] - self._original[self._count],
            prefix=self._sent.size if self._count else 0,
        )
        options = self._options(unchanged, count)
        if self._rules is None:
            self._sent = self._with_summary(options[-1], count) or options[-1]
        elif self._single_call and not self._count and options[-1].size < unchanged.size:
            self._sent = options[-1]
            self._saved = unchanged.cost(self._rules) - self._sent.cost(self._rules)
        else:
            self._sent = self._choose(self._rules, options, count)
        self._count = count

    def _options(self, unchanged: _Sent, count: int) -> list[_Sent]:
        """Return the call with no new message shortened (first), some, or all of them (last).

        The choice decides where the next call's prefix ends within a step.
        """
        new = [at for at in range(self._count, count) if self._shrinks(at)]
        some = [[at for bit, at in enumerate(new) if mask >> bit & 1] for mask in _masks(len(new))]
        return [
            replace(
                unchanged,
                shortened=unchanged.shortened.union(chosen),
                size=unchanged.size
                - sum(self._messages[m].original - self._messages[m].shortened for m in chosen),
            )
            for chosen in some
        ]

    def _choose(self, rules: CacheRules, options: list[_Sent], count: int) -> _Sent:
        baseline = _Sent(
            size=self._original[count], prefix=self._original[self._count] if self._count else 0
        )
        paying = [option for option in options[1:] if self._pays(rules, option, baseline)]
        if not paying and self._sent.size < baseline.prefix:
            paying = options  # It is shorter already: choose only where the prefix ends.
        chosen = max(
            paying,
            key=lambda option: self._saved_with_next(rules, option, baseline),
            default=options[0],
        )
        if chosen.size > options[-1].size:
            self._note("messages: shortening them would lose more on the cache than it saves")
        if baseline.size >= rules.minimum > baseline.prefix and not self._covers_reserve(
            rules, chosen, baseline
        ):
            # Nothing is cached yet, and from the next call on all of it is: send the original.
            if options[-1].size < baseline.size:
                self._note("everything so far: a shorter prompt would miss the provider's cache")
            chosen = baseline
        else:
            summarised = self._with_summary(chosen, count)
            if summarised is not None and self._summary_pays(rules, summarised, baseline):
                chosen = summarised
        self._saved += baseline.cost(rules) - chosen.cost(rules)
        if len(chosen.summaries) > len(self._sent.summaries):
            self._saved -= chosen.summaries[-1].price
        return chosen

    def _summary_pays(self, rules: CacheRules, summarised: _Sent, baseline: _Sent) -> bool:
        """Return whether this call alone saves what the summary and the broken prefix cost."""
        cost = summarised.cost(rules) + summarised.summaries[-1].price
        if cost <= baseline.cost(rules) and self._pays(rules, summarised, baseline):
            return True
        self._note("history: a summary would break a cached prefix that is worth more")
        return False

    def _pays(self, rules: CacheRules, sent: _Sent, baseline: _Sent) -> bool:
        """Return whether the bill stays below the baseline's, in this call and the next."""
        saved = self._saved + baseline.cost(rules) - sent.cost(rules)
        return saved >= 0 and (
            baseline.size < rules.minimum or self._covers_reserve(rules, sent, baseline)
        )

    def _covers_reserve(self, rules: CacheRules, sent: _Sent, baseline: _Sent) -> bool:
        """Return whether the savings cover what later calls may lose on a shorter prefix."""
        reserve = _RESERVE * _worst_loss(rules, sent.size, baseline.size)
        return self._saved_with_next(rules, sent, baseline) >= reserve

    def _saved_with_next(self, rules: CacheRules, sent: _Sent, baseline: _Sent) -> float:
        """Return the savings once the next call has read this one as its prefix."""
        saved = self._saved + baseline.cost(rules) - sent.cost(rules)
        following = call_cost(rules, baseline.size, baseline.size) - call_cost(
            rules, sent.size, sent.size
        )
        return saved + following

    def _with_summary(self, sent: _Sent, count: int) -> _Sent | None:
        """Return the call with one more summary, if one is proposed that makes it shorter."""
        if self._propose_summary is None:
            return None
        last = sent.summaries[-1].end if sent.summaries else 0
        summary = self._propose_summary(last, count)
        if summary is None:
            return None
        inside = sum(self._tokens(sent, at) for at in range(summary.start, summary.end))
        if summary.tokens >= inside:
            return None
        before = self._fixed + sum(s.tokens for s in sent.summaries)
        covered = {at for s in sent.summaries for at in range(s.start, s.end)}
        before += sum(self._tokens(sent, at) for at in range(summary.start) if at not in covered)
        return _Sent(
            shortened=sent.shortened,
            summaries=(*sent.summaries, summary),
            size=sent.size - inside + summary.tokens,
            prefix=before if self._count else 0,
        )

    def _shrinks(self, at: int) -> bool:
        return self._messages[at].shortened < self._messages[at].original

    def _tokens(self, sent: _Sent, at: int) -> int:
        message = self._messages[at]
        return message.shortened if at in sent.shortened else message.original

    def _note(self, reason: str) -> None:
        self._left_alone[reason] = None


def _masks(count: int) -> Sequence[int]:
    """Return bit masks of the messages to shorten: every choice of a few, else none and all."""
    every = (1 << count) - 1
    return range(every + 1) if count <= _FEW else (0, every)


def _worst_loss(rules: CacheRules, size: int, baseline: int) -> float:
    """Return the most that one later call can lose.

    Its prefix ends just below a step or, before it reaches the provider's minimum, just below that.
    """
    read, saved = float(rules.read), baseline - size
    at_step = (1 - read) * (rules.step - 1) - read * saved
    below = rules.minimum - 1
    at_minimum = below - read * (below + saved) if size < rules.minimum <= baseline else 0.0
    return max(0.0, at_step, at_minimum)
