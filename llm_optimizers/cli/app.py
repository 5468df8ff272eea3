"""The root of the command: registers every subcommand, each defined in its own file."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from llm_optimizers.cli.audit_prompts import audit_prompts
from llm_optimizers.cli.demo import demo
from llm_optimizers.cli.examples import examples
from llm_optimizers.cli.ledger import ledger
from llm_optimizers.cli.prices import prices
from llm_optimizers.cli.queue import queue
from llm_optimizers.cli.replay import replay_log
from llm_optimizers.cli.report import report
from llm_optimizers.cli.router import router
from llm_optimizers.cli.running import Commands

__all__ = ["app"]

app = typer.Typer(
    name="llm-optimizers",
    cls=Commands,
    help="See what your LLM calls cost, and how much caching, routing, shorter prompts and "
    "batching save.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"llm-optimizers {version('llm-optimizers')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """See what your LLM calls cost and how much of it could be saved."""


app.command()(demo)
app.command("replay")(replay_log)
app.command()(prices)
app.command()(report)
app.command("audit-prompts")(audit_prompts)
app.command()(examples)
app.add_typer(ledger, name="ledger")
app.add_typer(router, name="router")
app.add_typer(queue, name="queue")
