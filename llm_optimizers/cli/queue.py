"""`llm-optimizers queue`: provider batches, job queue workers, and dead letters."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_optimizers.batching import Job, JobQueue
from llm_optimizers.cli.batches import cancel, collect, status, submit
from llm_optimizers.cli.output import AsJSON, exit_on_error, print_json, say
from llm_optimizers.cli.reading import copy_to_read
from llm_optimizers.shown import shown

__all__ = ["queue"]

queue = typer.Typer(
    help="Send a file of requests at batch price, or run the workers of a job queue.",
    no_args_is_help=True,
)
dead = typer.Typer(
    help="List, show, replay or delete jobs that failed permanently.", no_args_is_help=True
)
queue.add_typer(dead, name="dead")
for _command in (submit, status, collect, cancel):
    queue.command()(_command)

_Path = Annotated[Path | None, typer.Option(help="The queue's SQLite file.")]
_URL = Annotated[str | None, typer.Option(help="The queue's Redis, for example redis://host:6379.")]
_Name = Annotated[str, typer.Option(help="The queue's name.")]
_IDs = Annotated[list[str] | None, typer.Argument(help="Ids of dead jobs.")]


@queue.command()
def work(
    handler: Annotated[
        str,
        typer.Argument(
            help="The function that runs a job, as package.module:function.", metavar="HANDLER"
        ),
    ],
    path: _Path = None,
    url: _URL = None,
    name: _Name = "default",
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs run at the same time.")] = 5,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Limit for all workers together.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Limit for all workers together.")
    ] = None,
    lease: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds without a heartbeat until a job is taken over."),
    ] = 30.0,
) -> None:
    """Run a queue's jobs until interrupted; running jobs are finished first.

    Example: `llm-optimizers queue work my_app.jobs:answer --path jobs.sqlite --concurrency 8`
    """
    _place(path, url, new=True)
    function = _handler(handler)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        exit_on_error(),
        JobQueue(
            function,
            name=name,
            path=path,
            url=url,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            lease=lease,
        ),
    ):
        say(f"working on queue {name!r}; press Ctrl-C to stop")
        stop.wait()


@queue.command()
def stats(
    path: _Path = None, url: _URL = None, name: _Name = "default", as_json: AsJSON = False
) -> None:
    """Show a queue: depth by priority, running and finished jobs, waiting times.

    Example: `llm-optimizers queue stats --path jobs.sqlite`
    """
    with _open_to_read(path, url, name) as jobs:
        found = jobs.stats()
    figures = {**asdict(found), "depth": found.depth}
    if as_json:
        print_json(figures)
        return
    for key, value in figures.items():
        say(f"{key:<17} {'–' if value is None else shown(value)}")


@dead.command("list")
def list_dead(
    path: _Path = None,
    url: _URL = None,
    name: _Name = "default",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list, newest first.")] = 100,
    as_json: AsJSON = False,
) -> None:
    """List dead letters, newest first, without their payloads.

    Example: `llm-optimizers queue dead list --path jobs.sqlite --limit 20`
    """
    with _open_to_read(path, url, name) as jobs:
        letters = jobs.dead.list(limit)
    if as_json:
        print_json({"dead": [_brief(letter) for letter in letters]})
        return
    for letter in letters:
        say(f"{shown(letter.id)}  {letter.attempts} attempts  {_reason(letter)}")


@dead.command()
def show(
    id: Annotated[str, typer.Argument(help="The id of a dead job.")],  # noqa: A002 - the name in the API
    path: _Path = None,
    url: _URL = None,
    name: _Name = "default",
) -> None:
    """Show one dead letter as JSON, with its payload and error.

    Example: `llm-optimizers queue dead show JOB --path jobs.sqlite`
    """
    with _open_to_read(path, url, name) as jobs:
        letter = jobs.dead.show(id)
    if letter is None:
        say(f"queue {shown(name)!r} has no dead job {shown(id)}", err=True)
        raise typer.Exit(1)
    print_json({**_brief(letter), "payload": letter.payload})


@dead.command()
def replay(ids: _IDs = None, path: _Path = None, url: _URL = None, name: _Name = "default") -> None:
    """Put dead jobs back in the queue with all their attempts; without ids, all dead jobs.

    Example: `llm-optimizers queue dead replay JOB --path jobs.sqlite`
    """
    with _open(path, url, name) as jobs:
        say(f"{jobs.dead.replay(*(ids or ()))} jobs are waiting again")


@dead.command()
def purge(
    ids: _IDs = None,
    path: _Path = None,
    url: _URL = None,
    name: _Name = "default",
    every: Annotated[bool, typer.Option("--all", help="Delete all dead jobs.")] = False,
) -> None:
    """Delete dead jobs permanently.

    Example: `llm-optimizers queue dead purge --all --path jobs.sqlite`
    """
    if not ids and not every:
        raise typer.BadParameter("name the jobs, or use --all")
    with _open(path, url, name) as jobs:
        say(f"{jobs.dead.purge(*(ids or ()))} jobs deleted")


def _place(path: Path | None, url: str | None, *, new: bool = False) -> None:
    if (path is None) == (url is None):
        raise typer.BadParameter("give either --path (an SQLite file) or --url (a Redis server)")
    if path is not None and not path.exists() and not new:
        raise typer.BadParameter(f"there is no queue at {path}")


@contextmanager
def _open(path: Path | None, url: str | None, name: str) -> Iterator[JobQueue]:
    _place(path, url)
    with exit_on_error(), JobQueue(name=name, path=path, url=url) as jobs:
        yield jobs


@contextmanager
def _open_to_read(path: Path | None, url: str | None, name: str) -> Iterator[JobQueue]:
    """Open the queue to show it; its file stays as it is."""
    _place(path, url)
    with exit_on_error(), ExitStack() as stack:
        if path is not None:
            path = stack.enter_context(copy_to_read(path, "job queue"))
        yield stack.enter_context(JobQueue(name=name, path=path, url=url))


def _handler(where: str) -> Any:
    """Import the function named on the command line; also searches the working directory."""
    module, _, name = where.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise typer.BadParameter(f"{where} cannot be imported: {error}") from None


def _reason(letter: Job) -> str:
    return f"{shown(letter.error_kind)}: {shown(letter.error)}"


def _brief(letter: Job) -> dict[str, Any]:
    return {
        "id": letter.id,
        "priority": letter.priority,
        "attempts": letter.attempts,
        "error": letter.error,
        "error_kind": letter.error_kind,
        "finished_at": letter.finished_at,
    }
