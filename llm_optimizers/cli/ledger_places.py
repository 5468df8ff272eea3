"""A ledger named on the command line: a file or the URL of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llm_optimizers.cli.output import console
from llm_optimizers.cli.reading import copy_to_read, existing_file
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.ledger.opening import store_at
from llm_optimizers.costs.ledger.store import LedgerStore

__all__ = [
    "FORMATS",
    "Place",
    "Since",
    "Until",
    "account_to_read",
    "is_url",
    "ledger_to_change",
    "ledger_to_read",
    "progress_bar",
    "same_place",
]

_KIND = "cost ledger"
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Place = Annotated[
    str,
    typer.Argument(
        metavar="LEDGER", help="The ledger's file, or the URL of its PostgreSQL database."
    ),
]
Since = Annotated[
    datetime | None, typer.Option(formats=FORMATS, help="Only calls from this time on, UTC.")
]
Until = Annotated[
    datetime | None, typer.Option(formats=FORMATS, help="Only calls before this time, UTC.")
]
_WAIT_S = 2.0  # for another process that writes


def is_url(place: str) -> bool:
    """Return whether a place is a URL, not a file."""
    return "://" in place


@contextmanager
def ledger_to_read(place: str) -> Iterator[LedgerStore]:
    """Open a ledger that exists; nothing of it is changed: of a file, a copy is read.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with _unchanged(place) as where, closing(store_at(*where, wait=_WAIT_S, create=False)) as store:
        store.open()
        yield store


@contextmanager
def account_to_read(place: str) -> Iterator[Ledger]:
    """Open a ledger that exists as a `Ledger`; see `ledger_to_read`.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    with _unchanged(place) as (path, url):
        if url is not None:  # where there is no ledger, `Ledger` would make one
            with closing(store_at(None, url, wait=_WAIT_S, create=False)) as store:
                store.open()
        with Ledger(path, url=url) as account:
            yield account


@contextmanager
def _unchanged(place: str) -> Iterator[tuple[Path | None, str | None]]:
    """Yield the path of a copy of a file, or the URL of a server."""
    if is_url(place):
        yield None, place
        return
    with copy_to_read(Path(place), _KIND) as copy:
        yield copy, None


@contextmanager
def ledger_to_change(place: str, *, create: bool = False) -> Iterator[LedgerStore]:
    """Open a ledger to change it; only with `create` may it be new.

    Raises:
        StoreError: there is none, or it cannot be used.
    """
    url = place if is_url(place) else None
    if url is None and not create:
        existing_file(Path(place), _KIND)
    path = Path(place) if url is None else None
    with closing(store_at(path, url, wait=_WAIT_S, create=create)) as store:
        store.open()
        yield store


def same_place(one: str, other: str) -> bool:
    """Return whether two places are the same ledger, as far as their names tell."""
    if is_url(one) or is_url(other):
        return one == other
    first, second = Path(one), Path(other)
    try:
        return first.samefile(second)
    except OSError:
        return first.absolute() == second.absolute()


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yields what sets how much is done."""
    screen = console(err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bars:
        task = bars.add_task(what, total=total)
        yield lambda done: bars.update(task, completed=done)
