"""`llm-optimizers router`: fit a router on labels, evaluate it, and explain its decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from llm_optimizers.cli.next_steps import next_steps
from llm_optimizers.cli.output import AsJSON, cell, console, exit_on_error, print_json, say
from llm_optimizers.cli.reading import copy_to_read
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.routing.experiments import comparison_rows, experiments
from llm_optimizers.routing.learning.activation import ActivationReport
from llm_optimizers.routing.learning.artefact import RouterArtefact, read_artefact
from llm_optimizers.routing.learning.calibration import evaluate as judge
from llm_optimizers.routing.learning.calibration import problems_of
from llm_optimizers.routing.learning.declining import calibrate_or_decline
from llm_optimizers.routing.learning.explanation import explain as account_for
from llm_optimizers.shown import shown

__all__ = ["experiment_table", "router"]

router = typer.Typer(
    help="Fit a router on your own labels, evaluate it, and explain its decisions.",
    no_args_is_help=True,
)

_Labels = Annotated[
    Path,
    typer.Argument(
        help='One JSON object per line: {"prompt": "...", "scores": {"small": 0, "large": 1}}.',
        exists=True,
        dir_okay=False,
    ),
]
_Artefact = Annotated[Path, typer.Argument(help="A router file.", exists=True, dir_okay=False)]
_Confidence = Annotated[
    float, typer.Option(min=0.5, max=0.999, help="Confidence level of the intervals.")
]


@router.command()
def fit(
    labels: _Labels,
    strong: Annotated[
        str, typer.Option(help="The strong model, to compare the cheaper ones with.")
    ],
    out: Annotated[Path, typer.Option(help="Where to write the router file.")],
    weak: Annotated[
        list[str] | None,
        typer.Option(help="A cheaper model, repeatable. Default: all others."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, help="Mean quality that may be lost, in units of the scores."),
    ] = 0.02,
    confidence: _Confidence = 0.95,
    seed: Annotated[int, typer.Option(help="Random seed of the held-out folds.")] = 0,
    as_json: AsJSON = False,
) -> None:
    """Fit a router and run its activation test; the file is written even if it fails.

    A router that fails the test never acts: the strong model answers everything, until the file is
    fitted again on more labels. Exits with 2 if nothing could be learned from the labels.

    Example: `llm-optimizers router fit labels.jsonl --strong gpt-4o --out router.json`
    """
    if out.is_dir():
        raise typer.BadParameter(f"--out {out} is a folder; give a file, such as router.json")
    with exit_on_error(code=2):
        given = read_labels(labels)
        calibration = calibrate_or_decline(
            given,
            strong=strong,
            weak=weak or (),
            tolerance=tolerance,
            confidence=confidence,
            seed=seed,
        )
        artefact = RouterArtefact.of(calibration, created=datetime.now(UTC).date().isoformat())
        artefact.save(out)
    steps = next_steps(artefact, labels=labels, out=out)
    extra = {"file": str(out), "next": steps}
    declined = any(problems_of(given, strong=strong, weak=list(artefact.reports)).values())
    _show_reports(artefact.reports, as_json=as_json, extra=extra, measured=not declined)
    if not as_json:
        say(f"{shown(out)} is written.\n" + "\n".join(shown(step) for step in steps))
    if declined:
        why = [f"{weak}: {'; '.join(r.reasons)}" for weak, r in artefact.reports.items()]
        say(f"nothing can be learned from these labels: {shown('; '.join(why))}", err=True)
        raise typer.Exit(2)


@router.command()
def evaluate(
    artefact: _Artefact,
    labels: _Labels,
    confidence: _Confidence = 0.95,
    as_json: AsJSON = False,
) -> None:
    """Evaluate a router file on labels it was not fitted on; exits with 1 if it fails the test.

    Example: `llm-optimizers router evaluate router.json labels_of_december.jsonl`
    """
    with exit_on_error(code=2):
        kept = read_artefact(artefact)
        reports = judge(
            kept.gain_model(),
            read_labels(labels),
            strong=kept.strong,
            tolerance=kept.tolerance,
            confidence=confidence,
        )
    _show_reports(reports, as_json=as_json, extra={})
    if not any(report.passed for report in reports.values()):
        raise typer.Exit(1)


@router.command()
def explain(
    artefact: _Artefact,
    prompt: Annotated[str, typer.Argument(help="The request's text.")],
    task: Annotated[str, typer.Option(help="The request's task tag.")] = "",
    as_json: AsJSON = False,
) -> None:
    """Show what a router predicts for a prompt, and which features move the prediction.

    Example: `llm-optimizers router explain router.json "Prove that there are infinite primes"`
    """
    with exit_on_error(code=2):
        found = account_for(read_artefact(artefact), prompt, task=task)
    if as_json:
        print_json(found.as_dict(), indent=2)
        return
    say(found.conclusion)
    table = Table(title="What moves the prediction")
    table.add_column("part of the request")
    table.add_column("gain of the strong model", justify="right")
    for part, amount in found.parts:
        table.add_row(cell(part), f"{amount:+.4f}")
    console().print(table)


@router.command("experiments")
def show_experiments(
    ledger: Annotated[Path, typer.Argument(help="A ledger's file.", exists=True, dir_okay=False)],
    margin: Annotated[
        float, typer.Option(min=0.0, help="Accepted loss, in units of the scores.")
    ] = 0.02,
    as_json: AsJSON = False,
) -> None:
    """Compare the arms of every experiment: cost, quality, and whether it can be stopped.

    Example: `llm-optimizers router experiments costs.sqlite`
    """
    with (
        exit_on_error(code=2),
        copy_to_read(ledger, "cost ledger") as copy,
        Ledger(copy) as account,
    ):
        found = {
            name: comparison_rows(rows)
            for name, rows in experiments(account, margin=margin).items()
        }
    if as_json:
        print_json(found, indent=2)
        return
    if not found:
        say("The ledger holds no decisions of an experiment.")
    for name, rows in found.items():
        console().print(experiment_table(name, rows))


def experiment_table(name: str, rows: list[Mapping[str, object]]) -> Table:
    """Return a table with one row per arm of an experiment."""
    table = Table(title=cell(f"Experiment {name}"))
    for column in rows[0] if rows else ("arm",):
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    return table


def _show_reports(
    reports: Mapping[str, ActivationReport],
    *,
    as_json: bool,
    extra: Mapping[str, Any],
    measured: bool = True,
) -> None:
    """Show each model's report; of one where nothing was `measured`, no figures."""
    if as_json:
        rows = {weak: _as_json(report, measured) for weak, report in reports.items()}
        print_json({**extra, "models": rows}, indent=2)
        return
    for weak, report in reports.items():
        table = Table(title=cell(f"{weak} instead of {report.strong}"), show_header=False)
        for label, value in _conclusion(report) + (_figures(report) if measured else []):
            table.add_row(cell(label), cell(value))
        console().print(table)


def _as_json(report: ActivationReport, measured: bool) -> dict[str, Any]:
    fields = asdict(report)
    fields["lacking"] = fields.pop("labels_needed")
    if not measured:
        known = ("weak", "strong", "labels", "tolerance", "reasons", "lacking")
        fields = {name: value if name in known else None for name, value in fields.items()}
    return {**fields, "passed": report.passed}


def _conclusion(report: ActivationReport) -> list[tuple[str, str]]:
    """Return the result and its reasons as labels and values."""
    lines = [("May act", "yes" if report.passed else "no: the strong model answers everything")]
    lines += [("Why not", reason) for reason in report.reasons]
    if report.labels_needed is not None:
        lines.append(("More labels needed", f"about {report.labels_needed:,}"))
    return lines


def _figures(report: ActivationReport) -> list[tuple[str, str]]:
    """Return what was measured as labels and values."""
    lines = [
        ("Held-out labels", f"{report.labels:,}"),
        (f"Quality {report.strong} gains", str(report.gap)),
        ("APGR (0.5 is chance)", str(report.apgr)),
        ("APGR above chance", str(report.over_random)),
        ("APGR above prompt length", str(report.over_length)),
        ("Strong calls for 50 % of the gain", f"{report.cpt50:.1f} %"),
        ("Strong calls for 80 % of the gain", f"{report.cpt80:.1f} %"),
    ]
    if report.threshold is not None:
        lines += [
            (f"Served by {report.weak}", f"{100 * report.cheap_share:.0f} % of requests"),
            ("Quality lost, tolerated", f"{report.tolerance:.4f}"),
            ("Quality lost, measured", f"{report.loss.value:.4f}, at most {report.loss.high:.4f}"),
        ]
    return lines
