"""Output that all subcommands share: safe text, tables, JSON, and errors as one line.

Names, tags, prompts and errors come from outside. Everything is printed through `say`, `console`
or `print_json`, none of which lets a control character through to the terminal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from llm_optimizers.errors import LLMOptimizersError
from llm_optimizers.shown import shown, shown_lines, without_controls

__all__ = ["AsJSON", "cell", "console", "exit_on_error", "print_json", "say"]

AsJSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_CELL = 120  # characters; a longer name is cut


class _SafeConsole(Console):
    """A console that escapes control characters in whatever is printed, wherever it came from."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, but with the text of each segment made safe."""
        for segment in super().render(renderable, options):
            yield (
                segment
                if segment.control
                else segment._replace(text=without_controls(segment.text))
            )


def console(*, err: bool = False) -> Console:
    """Return a console that takes texts as they are: no markup, no emoji codes, no highlights."""
    return _SafeConsole(stderr=err, markup=False, emoji=False, highlight=False)


def cell(value: object) -> Text:
    """Return a value as the text of a table's cell or title, on one line and not long."""
    return Text(shown(value, most=_CELL))


def say(text: str, *, err: bool = False) -> None:
    """Print a text with its line breaks."""
    typer.echo(shown_lines(text), err=err)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON value, all in ASCII; what JSON has no number for (NaN, infinity) is null."""
    try:
        text = json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=indent, allow_nan=False)
    # The one control character that JSON leaves as it is.
    typer.echo(text.replace("\x7f", "\\u007f"))


@contextmanager
def exit_on_error(*others: type[Exception], code: int = 1) -> Iterator[None]:
    """Print the text of an expected error (ours or one of `others`) and exit with `code`."""
    expected: tuple[type[Exception], ...] = (LLMOptimizersError, ImportError, OSError, *others)
    try:
        yield
    except BrokenPipeError:
        raise
    except expected as error:
        say(str(error), err=True)
        raise typer.Exit(code) from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
