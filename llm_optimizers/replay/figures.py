"""A replay's figures as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from llm_optimizers.costs import Summary
from llm_optimizers.costs.summary import dollars
from llm_optimizers.replay.run import Replay
from llm_optimizers.routing.learning.artefact import RouterArtefact

__all__ = ["as_dict", "print_replay"]

TIERS = ("exact", "normalised", "semantic", "shared")


def as_dict(replay: Replay) -> dict[str, Any]:
    """The figures, JSON-ready; dollars as numbers, shares in percent."""
    account = replay.account
    baseline = _baseline(replay)
    saved = baseline - account.cost
    return {
        "requests": replay.requests,
        "hits": {tier: replay.hits.get(tier, 0) for tier in TIERS},
        "hit_rate_pct": _percent(sum(replay.hits.values()), replay.requests),
        "wrong_hits": replay.wrong_hits,
        "wrong_hit_ids": list(replay.wrong or ()),
        "right_answers": replay.right,
        "judged_answers": replay.judged,
        "quality_kept_pct": _percent(replay.right, replay.judged) if replay.judged else None,
        "routed": dict(replay.models),
        "escalated": replay.escalated,
        "router": None if replay.router is None else _router(replay.router),
        "batched": replay.later,
        "tokens": account.usage.total_tokens,
        "baseline_tokens": None if replay.bare is None else replay.bare.usage.total_tokens,
        "cost": float(account.cost),
        "baseline_cost": float(baseline),
        "saved": float(saved),
        "saved_pct": _percent(saved, baseline),
        "saved_by": {name: float(s.amount) for name, s in account.by_strategy.items()},
        "account_baseline_cost": float(account.baseline_cost),
        "overhead_ms": None if replay.overhead_ms is None else round(replay.overhead_ms, 3),
        "unpriced": account.unpriced,
        "errors": dict(replay.errors),
        "without_recorded_answer": replay.unanswered,
        "interrupted": replay.interrupted,
        "gave_up": replay.gave_up,
    }


def print_replay(console: Console, replay: Replay, *, recorded: bool, estimated: bool) -> None:
    """Print the table, and plainly what in it is recorded, real or unknown."""
    figures = as_dict(replay)
    table = Table(title="The same requests, without and with", show_edge=False)
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with", justify="right")
    bare, account = replay.bare, replay.account
    table.add_row("requests", *_pair(bare, lambda s: f"{s.requests:,}", f"{account.requests:,}"))
    table.add_row("calls to the model", *_pair(bare, _calls, _calls(account)))
    for tier in TIERS:
        if figures["hits"][tier] or tier in ("exact", "semantic"):
            table.add_row(f"  {tier} hits", "", f"{figures['hits'][tier]:,}")
    table.add_row("  hit rate", "", f"{figures['hit_rate_pct']:.1f} %")
    wrong = "not known" if replay.wrong_hits is None else f"{replay.wrong_hits:,}"
    table.add_row("  wrong hits", "", wrong)
    for name, count in replay.models.items():
        table.add_row(f"  answered by {name}", "", f"{count:,}")
    if replay.router is not None:
        table.add_row("  escalated to a stronger model", "", f"{replay.escalated:,}")
    if replay.later:
        table.add_row("  in a provider batch", "", f"{replay.later:,}")
    if replay.judged:
        kept = f"{figures['quality_kept_pct']:.1f} %"
        table.add_row(
            "right answers", *_pair(bare, lambda _: f"{replay.judged:,}", f"{replay.right:,}")
        )
        table.add_row("  quality kept", "", kept)
    table.add_row("tokens billed", *_pair(bare, _tokens, _tokens(account)))
    table.add_row("cost", dollars(_baseline(replay)), dollars(account.cost))
    for name, saving in account.by_strategy.items():
        table.add_row(f"  saved by {name}", "", dollars(saving.amount))
    table.add_row("saved", "", f"{dollars(_baseline(replay) - account.cost)}", style="bold")
    table.add_row("", "", f"{figures['saved_pct']:.1f} %", style="bold")
    if replay.overhead_ms is not None:
        table.add_row("overhead a call (median)", "", f"{replay.overhead_ms:.2f} ms")
    console.print(table)
    for line in _remarks(replay, figures, recorded=recorded, estimated=estimated):
        console.print(line, style="dim", highlight=False)


def _remarks(
    replay: Replay, figures: Mapping[str, Any], *, recorded: bool, estimated: bool
) -> list[str]:
    remarks = []
    if recorded:
        counted = "partly estimated" if estimated else "counted by tiktoken"
        remarks.append(
            f"Answers were recorded in the log, not generated; tokens are {counted} and "
            "prices are today's real list prices. No provider-side prompt caching is assumed."
        )
    if replay.router is not None:
        remarks.append(_calibration(replay, replay.router))
    if replay.unanswered:
        remarks.append(
            f"{replay.unanswered:,} requests have no answer in the log: a placeholder of assumed "
            "length stood in, so that their output cost is an assumption."
        )
    if replay.bare is None:
        remarks.append("The cost without is each call's counterfactual in the account.")
    if figures["unpriced"]:
        names = ", ".join(name for name, part in replay.account.by_model.items() if part.unpriced)
        remarks.append(
            f"{figures['unpriced']:,} calls have no known price ({names}) and are in no figure "
            "of cost."
        )
    if replay.errors:
        kinds = ", ".join(f"{count} × {name}" for name, count in replay.errors.items())
        remarks.append(f"Failed: {kinds}. The first: {replay.first_error[:300]}")
    if replay.gave_up:
        remarks.append("No request was answered, so that the others were not sent.")
    if replay.interrupted:
        remarks.append(
            f"Interrupted in the pass {replay.pass_name}: these are its figures up to then."
        )
    return remarks


def _router(router: RouterArtefact) -> dict[str, Any]:
    return {
        "labels": router.labels,
        "tolerance_pct": 100 * router.tolerance,
        "active": list(router.active),
        "why_not": {w: list(r.reasons) for w, r in router.reports.items() if not r.passed},
    }


def _calibration(replay: Replay, router: RouterArtefact) -> str:
    """What the router was allowed, and what came of it."""
    told = f"The router was calibrated on {router.labels:,} labelled requests of the week before"
    if not router.active:
        reasons = "; ".join(reason for r in router.reports.values() for reason in r.reasons)
        return f"{told} and did not act: {reasons}."
    allowed = f"{told}, to lose at most {100 * router.tolerance:g} % of the right answers"
    if not replay.judged:
        return f"{allowed}."
    lost = 100 - _percent(replay.right, replay.judged)
    return f"{allowed}; {lost:.1f} % were lost on this log."


def _baseline(replay: Replay) -> Decimal:
    """What the requests cost bare: measured in the bare pass, else the account's counterfactual."""
    return replay.account.baseline_cost if replay.bare is None else replay.bare.cost


def _pair(bare: Summary | None, shown: Any, account: str) -> tuple[str, str]:
    return ("" if bare is None else shown(bare), account)


def _calls(summary: Summary) -> str:
    return f"{summary.requests - summary.hits:,}"


def _tokens(summary: Summary) -> str:
    return f"{summary.usage.total_tokens:,}"


def _percent(part: Decimal | int, whole: Decimal | int) -> float:
    return round(float(100 * part / whole), 2) if whole else 0.0
