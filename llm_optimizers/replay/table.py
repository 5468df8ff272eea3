"""Print the figures of a replay as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from llm_optimizers.costs import Summary
from llm_optimizers.costs.summary import dollars
from llm_optimizers.replay.figures import TIERS, Replay, as_dict, percent
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.shown import shown

__all__ = ["print_replay"]


def print_replay(console: Console, replay: Replay, *, recorded: bool, estimated: bool) -> None:
    """Print the table and remarks on what in it is recorded, real or unknown."""
    figures = as_dict(replay)
    table = Table(title="The same requests, without and with", show_edge=False)
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with", justify="right")
    before, account = replay.without, replay.account
    table.add_row("requests", *_pair(before, lambda s: f"{s.requests:,}", f"{account.requests:,}"))
    table.add_row("calls to the model", *_pair(before, _calls, _calls(account)))
    for tier in TIERS:
        if figures["hits"][tier] or tier in ("exact", "semantic"):
            table.add_row(f"  {tier} hits", "", f"{figures['hits'][tier]:,}")
    table.add_row("  hit rate", "", f"{figures['hit_rate_pct']:.1f} %")
    wrong = "not known" if replay.wrong_hits is None else f"{replay.wrong_hits:,}"
    table.add_row("  wrong hits", "", wrong)
    for name, count in replay.models.items():
        table.add_row(f"  answered by {shown(name)}", "", f"{count:,}")
    if replay.router is not None:
        table.add_row("  escalated to a stronger model", "", f"{replay.escalated:,}")
    if replay.later:
        table.add_row("  in a provider batch", "", f"{replay.later:,}")
    if replay.judged:
        kept = f"{figures['quality_kept_pct']:.1f} %"
        table.add_row(
            "right answers", *_pair(before, lambda _: f"{replay.judged:,}", f"{replay.right:,}")
        )
        table.add_row("  quality kept", "", kept)
    table.add_row("tokens billed", *_pair(before, _tokens, _tokens(account)))
    table.add_row("cost", dollars(replay.baseline), dollars(account.cost))
    for name, saving in account.by_strategy.items():
        table.add_row(f"  saved by {shown(name)}", "", dollars(saving.amount))
    table.add_row("saved", "", f"{dollars(replay.baseline - account.cost)}", style="bold")
    table.add_row("", "", f"{figures['saved_pct']:.1f} %", style="bold")
    if replay.overhead_ms is not None:
        table.add_row("overhead per call (median)", "", f"{replay.overhead_ms:.2f} ms")
    console.print(table)
    for line in _remarks(replay, figures, recorded=recorded, estimated=estimated):
        console.print(line, style="dim", highlight=False, markup=False, emoji=False)


def _remarks(
    replay: Replay, figures: Mapping[str, Any], *, recorded: bool, estimated: bool
) -> list[str]:
    remarks = []
    if recorded:
        counted = "partly estimated" if estimated else "counted by tiktoken"
        remarks.append(
            f"Answers were recorded in the log, not generated; tokens are {counted} and "
            "prices are today's list prices. Provider-side prompt caching is not simulated."
        )
    if replay.router is not None:
        remarks.append(_calibration(replay, replay.router))
    if replay.unjudged:
        remarks.append(
            f"{replay.unjudged:,} requests went to a model whose answers the log does not have. "
            "Those of the log's model stood in for them and are not counted as right. To judge "
            "them, add `cheap_response` and `cheap_correct` to the lines."
        )
    if replay.unanswered:
        remarks.append(
            f"{replay.unanswered:,} requests have no answer in the log: a placeholder of assumed "
            "length was used, so their output cost is an assumption."
        )
    if replay.without is None:
        remarks.append("The cost without strategies is the ledger's baseline, not a measured pass.")
    if figures["unpriced"]:
        names = ", ".join(
            shown(name) for name, part in replay.account.by_model.items() if part.unpriced
        )
        remarks.append(
            f"{figures['unpriced']:,} calls have no known price ({names}) and are not included in "
            "any cost."
        )
    if replay.errors:
        kinds = ", ".join(f"{count} × {shown(name)}" for name, count in replay.errors.items())
        remarks.append(f"Failed: {kinds}. First error: {shown(replay.first_error)}")
    if replay.gave_up:
        remarks.append("No request was answered, so the rest were not sent.")
    if replay.interrupted:
        remarks.append(
            f"Interrupted in the pass {replay.pass_name!r}: these are its figures so far."
        )
    return remarks


def _calibration(replay: Replay, router: RouterArtefact) -> str:
    """Say what the router was allowed to lose and what it lost."""
    fitted = f"The router was calibrated on {router.labels:,} labelled requests"
    if not router.active:
        reasons = "; ".join(shown(reason) for r in router.reports.values() for reason in r.reasons)
        return f"{fitted} and was not used: {reasons}."
    allowed = f"{fitted}, to lose at most {100 * router.tolerance:g} % of the right answers"
    if not replay.judged:
        return f"{allowed}."
    lost = 100 - percent(replay.right, replay.judged)
    return f"{allowed}; {lost:.1f} % were lost on this log."


def _pair(before: Summary | None, shown: Any, account: str) -> tuple[str, str]:
    return ("" if before is None else shown(before), account)


def _calls(summary: Summary) -> str:
    return f"{summary.requests - summary.hits:,}"


def _tokens(summary: Summary) -> str:
    return f"{summary.usage.total_tokens:,}"
