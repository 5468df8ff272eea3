"""The command's root: every subcommand is registered here and lives in its own file."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(
    name="llm-optimizers",
    help="See what your LLM calls cost, and what caching, routing, shorter prompts and "
    "batching save on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """See what your LLM calls cost and what could be saved on them."""
