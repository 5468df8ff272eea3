"""`llm-optimizers report`: show what the calls in a ledger cost and what was saved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from llm_optimizers.cli.ledger_places import Place, Since, Until, account_to_read, is_url
from llm_optimizers.cli.output import AsJSON, cell, console, exit_on_error, print_json
from llm_optimizers.cli.prices import Contract, prices_of
from llm_optimizers.cli.router import experiment_table
from llm_optimizers.costs import Summary
from llm_optimizers.costs.summary import Breakdown, dollars
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.true_effect import true_effect
from llm_optimizers.routing.experiments import comparison_rows, experiments
from llm_optimizers.shown import shown

__all__ = ["report"]

_SHOWN = 10
_READ_BY_PEOPLE = 1_000  # rows; more JSON is written on one line, in a third of the time


def report(
    ledger: Place,
    since: Since = None,
    until: Until = None,
    premium: Annotated[
        str | None, typer.Option(help="The expensive model whose share of requests to show.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Only this breakdown: model, or a tag such as user.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Only the calls of this run, such as an agent's.")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many rows of a breakdown to show; by default {_SHOWN}."),
    ] = None,
    contract: Contract = None,
    held_out: Annotated[
        float | None,
        typer.Option(help="The share of users in your HoldoutGroup: compare users, not requests."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Show what the calls in a ledger cost, and what each strategy saved; changes nothing in it.

    With `--prices`, the hours that your contract pays for are shown too: they are a fixed cost of
    the period, and in no call's cost.

    Example: `llm-optimizers report costs.sqlite --since 2026-11-01 --premium gpt-4o`
    """
    fixed: dict[str, Decimal] = {}
    if not is_url(ledger) and not os.access(ledger, os.R_OK):
        raise typer.BadParameter(f"there is no ledger at {ledger} that this user may read")
    with exit_on_error():
        if run is not None and (since is not None or until is not None):
            raise ConfigurationError("--run shows all of a run: leave --since and --until out")
        with account_to_read(ledger) as account:
            if run is None:
                summary = account.summary(premium_model=premium, since=since, until=until)
                arms = {name: comparison_rows(rows) for name, rows in experiments(account).items()}
                fixed = _fixed_costs(contract, summary, since, until)
            else:
                summary, arms = account.by_run(run, premium_model=premium), {}
        summary = _cut(summary, by, top if as_json else None)
        buckets = summary.by_bucket
        effect = true_effect(buckets, share=held_out) if buckets or held_out is not None else None
    if as_json:
        extra: dict[str, Any] = {"experiments": arms} if arms else {}
        if effect is not None:
            extra["true_effect"] = effect.as_dict()
        if contract is not None:
            extra["fixed_costs"] = {model: float(dollars) for model, dollars in fixed.items()}
        many = sum(map(len, summary.by_tag.values())) > _READ_BY_PEOPLE
        indent = None if many else 2
        print_json({**summary.as_dict(), **extra}, indent=indent)
        return
    screen = console()
    for table in _tables(summary, top or _SHOWN):
        screen.print(table)
    if effect is not None:
        screen.print(_figures("Against the calls that were held out", effect.table()))
    if fixed:
        screen.print(_fixed_table(fixed))
    for name, rows in arms.items():
        screen.print(experiment_table(name, rows))


def _cut(summary: Summary, by: str | None, top: int | None) -> Summary:
    """Leave out the breakdowns that are not asked for."""
    models, tags = summary.by_model, summary.by_tag
    if by is not None:
        known = ["model", *tags]
        if by not in known and summary.requests:
            raise ConfigurationError(
                f"there is no breakdown by {shown(by)}; --by is one of {shown(', '.join(known))}"
                + (", and --run ID shows one run" if by == "run" else "")
            )
        models = models if by == "model" else {}
        tags = {by: tags[by]} if by in tags else {}
    if top is not None:
        models = dict(_ranked(models)[:top])
        tags = {tag: dict(_ranked(parts)[:top]) for tag, parts in tags.items()}
    return replace(summary, by_model=models, by_tag=tags)


def _ranked(parts: Mapping[str, Breakdown]) -> list[tuple[str, Breakdown]]:
    """Return the parts, the most expensive first."""
    return sorted(parts.items(), key=lambda item: (-item[1].cost, -item[1].requests, item[0]))


def _tables(summary: Summary, top: int) -> list[Table]:
    figures = _figures(_period(summary), summary.table())
    tables = [figures, _breakdown("model", summary.by_model, top)]
    tables += [_breakdown(tag, parts, top) for tag, parts in summary.by_tag.items()]
    return [table for table in tables if table.row_count]


def _figures(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, value in rows:
        table.add_row(cell(label), value)
    return table


def _fixed_costs(
    contract: Path | None, summary: Summary, since: datetime | None, until: datetime | None
) -> dict[str, Decimal]:
    """Return a contract's hours in the period, which ends with its calls where no time is given."""
    start, end = since or summary.first, until or summary.last
    if contract is None or start is None or end is None:
        return {}
    return prices_of(contract).fixed_costs(start, end)


def _fixed_table(fixed: Mapping[str, Decimal]) -> Table:
    table = Table(title="Paid by the hour in this period")
    table.add_column("model")
    table.add_column("cost", justify="right")
    for model, amount in sorted(fixed.items()):
        table.add_row(cell(model), dollars(amount))
    return table


def _period(summary: Summary) -> str:
    if summary.first is None or summary.last is None:
        return "No calls"
    return f"{summary.first:%Y-%m-%d %H:%M} to {summary.last:%Y-%m-%d %H:%M} UTC"


def _breakdown(heading: str, parts: Mapping[str, Breakdown], top: int) -> Table:
    """List the most expensive parts; the rest are one row, so a tag per user stays readable."""
    table = Table(title=cell(f"By {heading}"))
    table.add_column(cell(heading))
    for column in ("requests", "hits", "tokens", "cost", "saved", "unpriced"):
        table.add_column(column, justify="right")
    ranked = _ranked(parts)
    for name, part in ranked[:top]:
        table.add_row(cell(name), *_cells(part))
    others = [part for _, part in ranked[top:]]
    if others:
        table.add_row(f"{len(others):,} others", *_cells(Breakdown.of(others)))
    return table


def _cells(part: Breakdown) -> tuple[str, ...]:
    return (
        f"{part.requests:,}",
        f"{part.hits:,}",
        f"{part.tokens:,}",
        _cost(part),
        dollars(part.saved),
        f"{part.unpriced:,}",
    )


def _cost(part: Breakdown) -> str:
    """Return the cost; says "over" or "unknown" if some calls have no known price."""
    if not part.unpriced:
        return dollars(part.cost)
    return f"over {dollars(part.cost)}" if part.cost else "unknown"
