"""`llm-optimizers ledger export`: a ledger's calls as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer

from llm_optimizers.cli.ledger_places import (
    Place,
    Since,
    Until,
    ledger_to_read,
    progress_bar,
)
from llm_optimizers.cli.output import AsJSON, exit_on_error, print_json, say
from llm_optimizers.connections.paths import file_path, replacing
from llm_optimizers.costs.ledger.exporting import COLUMNS, as_cells, as_fields, exported
from llm_optimizers.costs.ledger.fields import micros
from llm_optimizers.costs.ledger.rollups import ALWAYS
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.shown import shown

__all__ = ["export"]

Format = Literal["csv", "jsonl"]
_STDOUT = "-"
_JSON_ENDS = (".jsonl", ".ndjson", ".json")


def export(
    place: Place,
    out: Annotated[str, typer.Option(help="The file to write; - for standard output.")] = _STDOUT,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="csv or jsonl; by default as the file's name ends, or csv."),
    ] = None,
    since: Since = None,
    until: Until = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Only calls with this tag, as name=value; may be repeated."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Write the calls of a ledger as CSV or JSON lines; the ledger stays as it is.

    Amounts are exact dollars as text. A CSV cell that a spreadsheet would take for a formula starts
    with an apostrophe; JSON lines have every text as it is. The file appears when it is complete.

    Example: `llm-optimizers ledger export costs.sqlite --out u17.csv --tag user=u17`
    """
    tags = _tags(tag or [])
    if as_json and out == _STDOUT:
        raise typer.BadParameter("--json prints the counts; give --out FILE for the calls")
    found = form or ("jsonl" if out.lower().endswith(_JSON_ENDS) else "csv")
    written = damaged = 0
    with exit_on_error(), ledger_to_read(place) as store, _opened(out) as file:
        total = store.counts().calls
        write = _writer(file, found)
        bar = nullcontext(lambda _: None) if out == _STDOUT else progress_bar("exporting", total)
        with bar as progress:
            for record, is_damaged in exported(
                store,
                since=-ALWAYS if since is None else micros(since),
                until=ALWAYS if until is None else micros(until),
                tags=tags,
                progress=progress,
            ):
                write(record)
                written += 1
                damaged += is_damaged
    if as_json:
        print_json({"calls": written, "damaged": damaged, "out": out, "format": found})
    elif out != _STDOUT:
        more = f"; {damaged:,} of damaged rows, as far as they can be read" if damaged else ""
        say(f"{written:,} calls written to {shown(out)}{more}")


def _tags(given: list[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--tag is {shown(each)!r}; give it as name=value")
        if found.setdefault(name, value) != value:
            raise typer.BadParameter(f"--tag gives {shown(name)} two values; no call has both")
    return found


@contextmanager
def _opened(out: str) -> Iterator[TextIO]:
    if out == _STDOUT:
        yield sys.stdout
        return
    with replacing(file_path("out", Path(out))) as file:
        yield file


def _writer(file: TextIO, form: Format) -> Callable[[CallRecord], object]:
    """Return what writes one call."""
    if form == "jsonl":
        return lambda record: print(json.dumps(as_fields(record)), file=file)
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    return lambda record: table.writerow(as_cells(record))
