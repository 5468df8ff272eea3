"""How the command ends: with one line for an error, quietly for a closed pipe, 130 for Ctrl-C."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from llm_optimizers.cli.output import say
from llm_optimizers.errors import LLMOptimizersError
from llm_optimizers.shown import shown, shown_lines

__all__ = ["INTERRUPTED", "Commands"]

INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended: 128 and the number of the signal."""
_PIPE_CLOSED = 1


class Commands(TyperGroup):
    """The subcommands; every error of theirs is shown without control characters."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a subcommand and, in standalone mode, exit the process with its code."""
        _write_what_fits()
        run = partial(
            super().main,
            args=args,
            prog_name=prog_name,
            complete_var=complete_var,
            standalone_mode=False,
            windows_expand_args=windows_expand_args,
            **extra,
        )
        if not standalone_mode:
            return run()
        try:
            found = run()
            sys.stdout.flush()
        except (typer.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _end_quietly()
        except Exception as error:  # noqa: BLE001 - shown, with its place if it is not expected
            sys.exit(_show(error))
        sys.exit(found if isinstance(found, int) else 0)


def _write_what_fits() -> None:
    """Let a terminal that lacks a character (LANG=C) show it as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end_quietly() -> NoReturn:
    """Exit without a message: the reader of our output (`| head`) has seen enough."""
    with suppress(OSError, ValueError):
        # What is left in the buffer cannot be written when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(_PIPE_CLOSED)


def _show(error: Exception) -> int:
    """Print an error and return the exit code."""
    message = getattr(error, "format_message", None)  # of typer's own errors
    if message is None:
        known = isinstance(error, LLMOptimizersError | OSError)
        say(shown(error) if known else shown_lines(traceback.format_exc()), err=True)
        return 1
    if type(error).__name__ != "NoArgsIsHelpError":  # it has printed the help already
        context = getattr(error, "ctx", None)
        more = f" (see {context.command_path} --help)" if context is not None else ""
        say(f"{shown(message(), most=1_000)}{more}", err=True)
    return int(getattr(error, "exit_code", 2))
