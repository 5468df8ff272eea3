"""What the strategies really save: the cost of a request in a held-out group and in the other.

The account's own figure compares each call with one that was never made. This one compares two
random groups (see `holdout`), so it also contains what a counterfactual cannot know, such as what
the provider's own cache would have saved. With the `share` that was held out it compares what a
user or run costs, so that more requests count too: of a user who asks again after a worse answer,
of an agent that needs more steps.

The cost of a request is a ratio of sums over users or runs whose calls depend on each other. Its
variance comes from leaving out one random bucket of units at a time (grouped jackknife: Efron and
Stein 1981; Kohavi, Tang, Xu 2020, chapter 18), the interval from Student's t of the buckets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from statistics import NormalDist, fmean
from typing import Any

from llm_optimizers.arguments import number
from llm_optimizers.costs.summary import Breakdown, dollars
from llm_optimizers.evidence.bounds import Interval
from llm_optimizers.holdout import BUCKETS

__all__ = ["GroupCost", "TrueEffect", "true_effect"]

_FEWEST = 5
"""With fewer buckets that have requests, there is no interval: its variance would be a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCost:
    """One group's requests, their cost, and their baseline cost in the account, in dollars."""

    requests: int
    cost: Decimal
    baseline: Decimal

    @property
    def per_1000(self) -> float | None:
        """Dollars per 1,000 requests; None without requests."""
        return float(1000 * self.cost / self.requests) if self.requests else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEffect:
    """The cost of both groups, and what the strategies saved, at a confidence.

    `saved_share` is the part of the held-out group's cost per request (or per user, see
    `true_effect`) that the other group did not spend, `saved_per_1000` the same in dollars per
    1,000 requests; None if a group has too few
    requests or cost nothing. `counterfactual_share` is the account's own figure for the group with
    the strategies. If it lies outside the interval, the account is wrong for this traffic.
    """

    held_out: GroupCost
    treated: GroupCost
    confidence: float
    saved_share: Interval | None
    saved_per_1000: Interval | None
    counterfactual_share: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether the account's own figure lies inside the interval; None if one is missing."""
        found, own = self.saved_share, self.counterfactual_share
        return None if found is None or own is None else found.low <= own <= found.high

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values; dollars become floats."""
        return {
            "requests_held_out": self.held_out.requests,
            "requests_with_strategies": self.treated.requests,
            "cost_per_1000_held_out": self.held_out.per_1000,
            "cost_per_1000_with_strategies": self.treated.per_1000,
            "confidence": self.confidence,
            "saved_share": None if self.saved_share is None else asdict(self.saved_share),
            "saved_per_1000": None if self.saved_per_1000 is None else asdict(self.saved_per_1000),
            "counterfactual_share": self.counterfactual_share,
            "agrees": self.agrees,
        }

    def table(self) -> list[tuple[str, str]]:
        """Return a label and a value for each figure, in display order."""
        found, own = self.saved_share, self.counterfactual_share
        measured = "not enough requests yet"
        if found is not None:
            measured = f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"
        return [
            ("Requests held out", f"{self.held_out.requests:,}"),
            ("Requests with strategies", f"{self.treated.requests:,}"),
            ("Cost per 1,000 held out", _dollars(self.held_out.per_1000)),
            ("Cost per 1,000 with strategies", _dollars(self.treated.per_1000)),
            (f"Saved, measured ({self.confidence:.0%} interval)", measured),
            ("Saved, by the account", "-" if own is None else f"{own:.1%}"),
            *([("", "the two do not agree")] if self.agrees is False else []),
        ]


def true_effect(
    buckets: Mapping[tuple[bool, int], Breakdown],
    *,
    share: float | None = None,
    confidence: float = 0.95,
) -> TrueEffect:
    """Compare the groups of a `Summary.by_bucket`: totals by (held out, bucket).

    Calls without a price are in neither group's cost, and are not counted as requests. With the
    `share` of the `HoldoutGroup`, which must not have changed meanwhile, the cost of a user or run
    is compared instead of that of a request: both groups are taken to have as many requests a user.

    Raises:
        ConfigurationError: the confidence or the share is not between 0 and 1.
    """
    number("confidence", confidence, above=0, below=1)
    if share is not None:
        number("share", share, above=0, below=1)
    groups = {
        out: [each for (is_out, _), each in sorted(buckets.items()) if is_out == out]
        for out in (True, False)
    }
    held_out, treated = ([_Bucket.of(each) for each in groups[out]] for out in (True, False))
    totals = [_total(groups[out]) for out in (True, False)]
    if share is not None:
        requests = totals[0].requests + totals[1].requests
        held_out, treated = (
            _even(held_out, requests * share),
            _even(treated, requests * (1 - share)),
        )
    logs = _difference(held_out, treated, math.log, confidence)
    dollars = _difference(held_out, treated, lambda cost: 1000 * cost, confidence)
    baseline, cost = totals[1].baseline, totals[1].cost
    return TrueEffect(
        held_out=totals[0],
        treated=totals[1],
        confidence=confidence,
        saved_share=None
        if logs is None
        else Interval(
            value=1 - math.exp(-logs.value),
            low=1 - math.exp(-logs.low),
            high=1 - math.exp(-logs.high),
        ),
        saved_per_1000=dollars,
        counterfactual_share=float(1 - cost / baseline) if baseline else None,
    )


@dataclass(frozen=True, slots=True)
class _Bucket:
    requests: float
    cost: float

    @classmethod
    def of(cls, part: Breakdown) -> _Bucket:
        return cls(part.requests - part.unpriced, float(part.cost))


def _even(group: list[_Bucket], requests: float) -> list[_Bucket]:
    """Spread a group's requests evenly, as its users are; few buckets stay few."""
    if sum(each.requests > 0 for each in group) < _FEWEST:
        return group
    costs = [each.cost for each in group] + [0.0] * (BUCKETS - len(group))
    return [_Bucket(requests / len(costs), cost) for cost in costs]


def _dollars(amount: float | None) -> str:
    return dollars(None if amount is None else Decimal(str(amount)))


def _total(parts: Sequence[Breakdown]) -> GroupCost:
    cost = sum((part.cost for part in parts), Decimal(0))
    return GroupCost(
        requests=sum(part.requests - part.unpriced for part in parts),
        cost=cost,
        baseline=cost + sum((part.saved for part in parts), Decimal(0)),
    )


def _difference(
    held_out: Iterable[_Bucket],
    treated: Iterable[_Bucket],
    scale: Callable[[float], float],
    confidence: float,
) -> Interval | None:
    """Return `scale` of the held-out group's cost of a request minus that of the other."""
    first, second = (_jackknife(list(group), scale) for group in (held_out, treated))
    if first is None or second is None:
        return None
    value = first.value - second.value
    spread = math.sqrt(first.variance + second.variance)
    freedom = min(first.buckets, second.buckets) - 1
    width = spread * _student_t(0.5 + confidence / 2, freedom)
    return Interval(value=value, low=value - width, high=value + width)


@dataclass(frozen=True, slots=True)
class _Estimate:
    value: float
    variance: float
    buckets: int


def _jackknife(group: Sequence[_Bucket], scale: Callable[[float], float]) -> _Estimate | None:
    """Return the cost of a request on a scale, and its variance; None for too little data."""
    used = [each for each in group if each.requests > 0]
    requests, cost = sum(b.requests for b in used), sum(b.cost for b in used)
    if len(used) < _FEWEST or any(cost - each.cost <= 0 for each in used):
        return None
    without = [scale((cost - b.cost) / (requests - b.requests)) for b in used]
    mean, count = fmean(without), len(used)
    variance = (count - 1) / count * sum((each - mean) ** 2 for each in without)
    return _Estimate(scale(cost / requests), variance, count)


def _student_t(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t, to three digits for 4 degrees of freedom and more.

    An expansion around the normal quantile: Abramowitz and Stegun 1964, 26.7.5.
    """
    x = NormalDist().inv_cdf(probability)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92_160,
    )
    total: float = x + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
    return total
