"""Output that all subcommands share: the `--json` option, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from llm_optimizers.errors import LLMOptimizersError

__all__ = ["AsJSON", "exit_on_error"]

AsJSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@contextmanager
def exit_on_error(*others: type[Exception], code: int = 1) -> Iterator[None]:
    """Print an expected error (ours or one of `others`) as one line and exit with `code`."""
    expected: tuple[type[Exception], ...] = (LLMOptimizersError, ImportError, *others)
    try:
        yield
    except expected as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(code) from None
