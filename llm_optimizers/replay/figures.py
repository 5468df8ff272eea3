"""What one pass through a log recorded, and the figures of a replay computed from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median
from typing import Any

from llm_optimizers.costs import Ledger, Summary
from llm_optimizers.replay.app import AppReply
from llm_optimizers.replay.judging import judge
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.router import DECISION_NOTE

__all__ = ["TIERS", "Pass", "Replay", "as_dict", "collect_figures", "percent"]

TIERS = ("exact", "normalised", "semantic", "shared")
"""The cache tiers, in lookup order."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """One pass through the log, without or with strategies; filled while requests are answered."""

    name: str
    ledger: Ledger
    seconds: dict[str, float] = field(default_factory=dict)
    replies: dict[str, AppReply] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    first_error: str = ""
    # The ledger may be a file that holds earlier calls.
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    interrupted: bool = False
    gave_up: bool = False

    @property
    def ended_early(self) -> bool:
        """Whether some requests were not sent."""
        return self.interrupted or self.gave_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The figures of a replay.

    `right` of `judged` answers agree with the log; `unjudged` ones came from a model whose answer
    the log does not have. `wrong` lists the ids of wrong hits, None if
    the log has no answer classes. `account` summarises the last pass that was started, named
    `pass_name`; `without` the pass without strategies, None unless both passes were completed.
    `overhead_ms` is the median extra time of a call compared with the same call in the pass
    without strategies, over calls that reached the model in both; None if there was no such pass.
    `gave_up` means that all of the first requests failed, so the rest were not sent.
    """

    requests: int
    hits: Mapping[str, int]
    wrong: Sequence[str] | None
    judged: int
    right: int
    unjudged: int
    models: Mapping[str, int]
    escalated: int
    router: RouterArtefact | None
    later: int
    errors: Mapping[str, int]
    first_error: str
    without: Summary | None
    account: Summary
    overhead_ms: float | None
    unanswered: int
    pass_name: str
    interrupted: bool
    gave_up: bool

    @property
    def wrong_hits(self) -> int | None:
        """Number of wrong hits, None if unknown."""
        return None if self.wrong is None else len(self.wrong)

    @property
    def baseline(self) -> Decimal:
        """Cost without strategies: measured in that pass, else the account's baseline."""
        return self.account.baseline_cost if self.without is None else self.without.cost


def collect_figures(
    requests: Sequence[LoggedRequest],
    run: Pass,
    before: Pass | None,
    *,
    recorded: bool,
    router: RouterArtefact | None,
) -> Replay:
    """Return the figures of the last pass, with the pass without strategies if both completed."""
    replies = run.replies
    judgement = judge(requests, replies, recorded=recorded)
    premium = requests[0].request.model
    compared = before is not None and not run.ended_early
    return Replay(
        requests=len(replies) + run.errors.total(),
        hits=Counter(reply.tier for reply in replies.values() if reply.tier is not None),
        wrong=judgement.wrong,
        judged=judgement.judged,
        right=judgement.right,
        unjudged=judgement.unknown,
        models=Counter(reply.model for reply in replies.values() if reply.model),
        escalated=_escalated(run.ledger),
        router=router,
        later=sum(1 for reply in replies.values() if reply.later),
        errors=dict(run.errors),
        first_error=run.first_error,
        without=before.ledger.summary(premium_model=premium) if before and compared else None,
        account=run.ledger.summary(premium_model=premium, since=run.started),
        overhead_ms=None if before is None or before is run else _overhead_ms(run, before),
        unanswered=sum(1 for r in requests if recorded and r.response is None),
        pass_name=run.name,
        interrupted=run.interrupted,
        gave_up=run.gave_up,
    )


def _escalated(ledger: Ledger) -> int:
    """Count decisions answered by another model than the one chosen first."""
    return sum(
        1
        for note in ledger.notes(DECISION_NOTE)
        if note.payload.get("served_by") not in (None, note.payload.get("model"))
    )


def _overhead_ms(run: Pass, before: Pass) -> float | None:
    # The first call of a pass also opens connections and loads files.
    first = next(iter(before.seconds), None)
    extra = [
        seconds - before.seconds[name]
        for name, seconds in run.seconds.items()
        if name in before.seconds and name != first and run.replies[name].tier is None
    ]
    return 1000 * median(extra) if extra else None


def as_dict(replay: Replay) -> dict[str, Any]:
    """Return the figures ready for JSON: money in dollars, shares in percent."""
    account = replay.account
    baseline = replay.baseline
    saved = baseline - account.cost
    return {
        "requests": replay.requests,
        "hits": {tier: replay.hits.get(tier, 0) for tier in TIERS},
        "hit_rate_pct": percent(sum(replay.hits.values()), replay.requests),
        "wrong_hits": replay.wrong_hits,
        "wrong_hit_ids": list(replay.wrong or ()),
        "right_answers": replay.right,
        "judged_answers": replay.judged,
        "unjudged_answers": replay.unjudged,
        "quality_kept_pct": percent(replay.right, replay.judged) if replay.judged else None,
        "routed": dict(replay.models),
        "escalated": replay.escalated,
        "router": None if replay.router is None else _router(replay.router),
        "batched": replay.later,
        "tokens": account.usage.total_tokens,
        "baseline_tokens": None if replay.without is None else replay.without.usage.total_tokens,
        "cost": float(account.cost),
        "baseline_cost": float(baseline),
        "saved": float(saved),
        "saved_pct": percent(saved, baseline),
        "saved_by": {name: float(s.amount) for name, s in account.by_strategy.items()},
        "account_baseline_cost": float(account.baseline_cost),
        "overhead_ms": None if replay.overhead_ms is None else round(replay.overhead_ms, 3),
        "unpriced": account.unpriced,
        "errors": dict(replay.errors),
        "without_recorded_answer": replay.unanswered,
        "interrupted": replay.interrupted,
        "gave_up": replay.gave_up,
    }


def percent(part: Decimal | int, whole: Decimal | int) -> float:
    """Return a share in percent, to two decimals; 0 if `whole` is 0."""
    return round(float(100 * part / whole), 2) if whole else 0.0


def _router(router: RouterArtefact) -> dict[str, Any]:
    return {
        "labels": router.labels,
        "tolerance_pct": 100 * router.tolerance,
        "active": list(router.active),
        "why_not": {w: list(r.reasons) for w, r in router.reports.items() if not r.passed},
    }
