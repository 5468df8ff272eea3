"""`llm-optimizers queue submit|status|collect|cancel`: a file of requests at half price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llm_optimizers.batching import BatchResult, BatchStatus, ProviderBatch
from llm_optimizers.cli.output import AsJSON, exit_on_error
from llm_optimizers.costs import Ledger

__all__ = ["cancel", "collect", "status", "submit"]

FileArgument = Annotated[
    Path, typer.Argument(help="Requests, one JSON object a line.", metavar="FILE.jsonl")
]
JournalOption = Annotated[
    Path | None,
    typer.Option(help="What is known of the batch; keep it. FILE.jsonl.batch.db if not given."),
]
ProviderOption = Annotated[
    str, typer.Option(help="openai or anthropic; keys from the environment.")
]
BaseURLOption = Annotated[str | None, typer.Option(help="A server that speaks OpenAI's API.")]
LedgerOption = Annotated[Path | None, typer.Option(help="Where to account for the answers.")]


def submit(
    file: FileArgument,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    as_json: AsJSON = False,
) -> None:
    """Check a file and send its requests; safe to repeat."""
    with _batch(file, journal, provider, base_url, None) as batch:
        _show(batch.status(batch.submit(file, id=_id_of(file))), as_json=as_json)


def status(
    file: FileArgument,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    ledger: LedgerOption = None,
    as_json: AsJSON = False,
) -> None:
    """Say where a file's batch stands, sending and fetching what can be by now."""
    with _batch(file, journal, provider, base_url, ledger) as batch:
        _show(batch.status(_job(batch, file)), as_json=as_json)


def collect(
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option(help="The results; FILE.results.jsonl if not given.")
    ] = None,
    journal: JournalOption = None,
    provider: ProviderOption = "openai",
    base_url: BaseURLOption = None,
    ledger: LedgerOption = None,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 30.0,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None,
    full: Annotated[bool, typer.Option("--full", help="With the whole answers.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Wait for a file's batch and write its results, in the order of the requests.

    Exits with 1 if some requests were not answered, with 2 if the time ran out before the end.
    """
    target = out or file.with_suffix(".results.jsonl")
    with _batch(file, journal, provider, base_url, ledger, poll) as batch:
        job = _job(batch, file)
        try:
            with _bar() as progress:
                batch.collect(job, timeout=timeout, progress=progress)
        except TimeoutError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None
        with target.open("w", encoding="utf-8") as lines:
            for result in batch.results(job):
                lines.write(json.dumps(_line(result, full=full), ensure_ascii=False) + "\n")
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
    """Stop a file's batch; `collect` still gives what was done, and that is billed."""
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
) -> Iterator[ProviderBatch]:
    with exit_on_error(), ExitStack() as stack:
        account = None if ledger is None else stack.enter_context(Ledger(ledger))
        client = _client(provider, base_url)
        if hasattr(client, "close"):
            stack.callback(client.close)
        path = journal or file.with_name(f"{file.name}.batch.db")
        batch = ProviderBatch(client, path=path, ledger=account, poll_s=poll)
        yield stack.enter_context(closing(batch))


def _client(provider: str, base_url: str | None) -> Any:
    if provider == "anthropic":
        from llm_optimizers.batching import AnthropicBatches

        return AnthropicBatches()
    if provider != "openai":
        raise typer.BadParameter(f"{provider!r} is neither openai nor anthropic")
    from openai import OpenAI, OpenAIError

    try:
        return OpenAI(base_url=base_url)
    except OpenAIError as error:
        raise typer.BadParameter(f"{error} (OPENAI_API_KEY)") from None


def _id_of(file: Path) -> str:
    """The same requests are the same batch."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from None
    return f"{file.stem[:24]}-{hashlib.sha256(content).hexdigest()[:16]}"


def _job(batch: ProviderBatch, file: Path) -> str:
    """The batch that was submitted last."""
    jobs = batch.jobs()
    if not jobs:
        typer.echo(f"{file} was not submitted; run: llm-optimizers queue submit {file}", err=True)
        raise typer.Exit(1)
    return jobs[0]


@contextmanager
def _bar() -> Iterator[Callable[[BatchStatus], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
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
        typer.echo(json.dumps({**figures, "shards": shards}))
        return
    for name, value in figures.items():
        typer.echo(f"{name:<10} {value}")
    for shard in shards:
        typer.echo(f"  shard {shard['number']}: {shard['requests']} requests, {shard['state']}")
