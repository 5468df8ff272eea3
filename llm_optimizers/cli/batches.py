"""`llm-optimizers queue submit|status|collect|cancel`: a file of requests as provider batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llm_optimizers.batching import BatchResult, BatchStatus, ProviderBatch
from llm_optimizers.cli.output import AsJSON, console, exit_on_error, print_json, say
from llm_optimizers.connections.paths import file_path, replacing
from llm_optimizers.costs import Ledger
from llm_optimizers.shown import shown
from llm_optimizers.text.json_lines import json_line

__all__ = ["cancel", "collect", "status", "submit"]

FileArgument = Annotated[
    Path, typer.Argument(help="Requests, one JSON object per line.", metavar="FILE.jsonl")
]
JournalOption = Annotated[
    Path | None,
    typer.Option(help="The batch's state; keep this file. Default: FILE.jsonl.batch.db."),
]
ProviderOption = Annotated[
    str, typer.Option(help="openai or anthropic; API keys are read from the environment.")
]
BaseURLOption = Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")]
LedgerOption = Annotated[
    Path | None, typer.Option(help="Record the cost of the answers in this ledger.")
]


def submit(
    file: FileArgument,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    as_json: AsJSON = False,
) -> None:
    """Check a file and submit its requests; running it twice submits them once.

    Example: `llm-optimizers queue submit monday.jsonl`
    """
    with _batch(file, journal, provider, base_url, None, new=True) as batch:
        _show(batch.status(batch.submit(file, id=_id_of(file))), as_json=as_json)


def status(
    file: FileArgument,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    ledger: LedgerOption = None,
    as_json: AsJSON = False,
) -> None:
    """Show the state of a file's batch; submits and fetches whatever is due.

    Example: `llm-optimizers queue status monday.jsonl --ledger costs.sqlite`
    """
    with _batch(file, journal, provider, base_url, ledger) as batch:
        _show(batch.status(_job(batch, file)), as_json=as_json)


def collect(
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the results. Default: FILE.results.jsonl.")
    ] = None,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    ledger: LedgerOption = None,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between polls.")] = 30.0,
    timeout: Annotated[float | None, typer.Option(help="Longest time to wait, in seconds.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Write the whole response of each answer.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Wait for a file's batch and write its results, in the order of the requests.

    Exits with 1 if some requests were not answered, with 2 if the timeout was reached.

    Example: `llm-optimizers queue collect monday.jsonl --ledger costs.sqlite`
    """
    target = out or file.with_suffix(".results.jsonl")
    with _batch(file, journal, provider, base_url, ledger, poll) as batch:
        job = _job(batch, file)
        try:
            with _bar() as progress:
                batch.collect(job, timeout=timeout, progress=progress)
        except TimeoutError as error:
            say(str(error), err=True)
            raise typer.Exit(2) from None
        with replacing(file_path("out", target)) as lines:
            for result in batch.results(job):
                lines.write(json_line(_line(result, full=full)))
        ended = batch.status(job)
        _show(ended, as_json=as_json, extra={"results": str(target)})
        raise typer.Exit(0 if ended.answered == ended.total else 1)


def cancel(
    file: FileArgument,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    as_json: AsJSON = False,
) -> None:
    """Cancel a file's batch; `collect` still returns finished answers, which are billed.

    Example: `llm-optimizers queue cancel monday.jsonl`
    """
    with _batch(file, journal, provider, base_url, None) as batch:
        _show(batch.cancel(_job(batch, file)), as_json=as_json)


@contextmanager
def _batch(
    file: Path,
    journal: Path | None,
    provider: str,
    base_url: str | None,
    ledger: Path | None,
    poll: float = 30.0,
    *,
    new: bool = False,
) -> Iterator[ProviderBatch]:
    path = journal or file.with_name(f"{file.name}.batch.db")
    if not new and not path.exists():
        _refuse_unsubmitted(file)
    with exit_on_error(), ExitStack() as stack:
        account = None if ledger is None else stack.enter_context(Ledger(ledger))
        client = _client(provider, base_url)
        if hasattr(client, "close"):
            stack.callback(client.close)
        batch = ProviderBatch(client, path=path, ledger=account, poll_s=poll)
        yield stack.enter_context(closing(batch))


def _client(provider: str, base_url: str | None) -> Any:
    if provider == "anthropic":
        from llm_optimizers.batching import AnthropicBatches

        return AnthropicBatches()
    if provider != "openai":
        raise typer.BadParameter(f"unknown provider {provider!r}; use openai or anthropic")
    from openai import OpenAI, OpenAIError

    try:
        return OpenAI(base_url=base_url)
    except OpenAIError as error:
        raise typer.BadParameter(f"{error} (set OPENAI_API_KEY)") from None


def _id_of(file: Path) -> str:
    """Return the batch id: the same for the same requests."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from None
    return f"{file.stem[:24]}-{hashlib.sha256(content).hexdigest()[:16]}"


def _job(batch: ProviderBatch, file: Path) -> str:
    """Return the batch that was submitted last."""
    jobs = batch.jobs()
    if not jobs:
        _refuse_unsubmitted(file)
    return jobs[0]


def _refuse_unsubmitted(file: Path) -> NoReturn:
    name = shown(file)
    say(f"{name} was not submitted; run: llm-optimizers queue submit {name}", err=True)
    raise typer.Exit(1)


@contextmanager
def _bar() -> Iterator[Callable[[BatchStatus], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console(err=True)) as progress:
        task = progress.add_task("collecting", total=None)

        def update(status: BatchStatus) -> None:
            progress.update(task, total=status.total, completed=status.total - status.pending)

        yield update


def _line(result: BatchResult, *, full: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": result.id,
        "state": result.state,
        "text": result.text,
        "usage": result.usage.as_dict(),
        "cost": None if result.cost is None else str(result.cost),
        "error": result.error,
    }
    return {**line, "body": result.body} if full else line


def _show(status: BatchStatus, *, as_json: bool, extra: dict[str, str] | None = None) -> None:
    figures: dict[str, Any] = {
        "batch": status.id,
        "requests": status.total,
        "answered": status.answered,
        "failed": status.failed,
        "cancelled": status.cancelled,
        "pending": status.pending,
        **(extra or {}),
    }
    shards = [
        {"number": s.number, "id": s.remote_id, "state": s.state, "requests": s.requests}
        for s in status.shards
    ]
    if as_json:
        print_json({**figures, "shards": shards})
        return
    for name, value in figures.items():
        say(f"{name:<10} {shown(value)}")
    for shard in shards:
        say(f"  shard {shard['number']}: {shard['requests']} requests, {shown(shard['state'])}")
