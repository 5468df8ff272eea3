"""`llm-optimizers demo` and `replay`: send a log through a real chain and show the savings."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llm_optimizers.cli.output import AsJSON, exit_on_error
from llm_optimizers.costs import Ledger
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import LoggedAnswers
from llm_optimizers.replay.app import FRAMEWORKS, Endpoint, Strategies
from llm_optimizers.replay.figures import Replay, as_dict
from llm_optimizers.replay.log import Log, read_log
from llm_optimizers.replay.run import replay
from llm_optimizers.replay.server import recorded_server
from llm_optimizers.replay.shipped import CHEAP, day_log, week_before
from llm_optimizers.replay.table import print_replay
from llm_optimizers.routing.learning.artefact import RouterArtefact

__all__ = ["demo", "replay_log"]

_FEW = 2_000


class Strategy(StrEnum):
    """The four strategies, by their names on the command line."""

    cache = "cache"
    routing = "routing"
    prompts = "prompts"
    batching = "batching"


_SHOWN_BAD_LINES = 5

_Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Call a real provider (costs money); needs OPENAI_API_KEY or --base-url."
    ),
]
_BaseURL = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible server to call instead; implies --live.")
]
_Model = Annotated[str | None, typer.Option(help="The model to call instead of the log's.")]
_Framework = Annotated[
    str, typer.Option(help=f"The framework of the chain: {', '.join(FRAMEWORKS)}.")
]
_LedgerFile = Annotated[
    Path | None,
    typer.Option(help="Keep the ledger in this file; show it with `llm-optimizers report`."),
]


def demo(
    framework: _Framework = "langchain",
    only: Annotated[
        list[Strategy] | None, typer.Option(help="Switch on only this strategy; may be repeated.")
    ] = None,
    live: _Live = False,
    base_url: _BaseURL = None,
    model: _Model = None,
    ledger: _LedgerFile = None,
    as_json: AsJSON = False,
) -> None:
    """Replay a day of requests and see what each strategy saves.

    One Monday of a support product, 436 requests, ships with the package. They go through a real
    chain and the real SDK, over HTTP, to a server on this machine that answers from the log:
    once without, once with the strategies. It needs no API key and no network.
    """
    endpoint = _endpoint(live=live, base_url=base_url, model=model)
    wanted = set(only or Strategy)
    console = Console(stderr=True)
    router = None
    if Strategy.routing in wanted:
        with exit_on_error(), console.status("calibrating the router on the week before …"):
            router = _calibrated(framework)
    strategies = Strategies(
        cache=Strategy.cache in wanted,
        prompts=Strategy.prompts in wanted,
        router=router,
        later=Strategy.batching in wanted,
    )
    _run(
        day_log(),
        framework,
        endpoint,
        strategies,
        ledger=ledger,
        as_json=as_json,
        assumed_tokens=0,
    )


def _calibrated(framework: str) -> RouterArtefact:
    """Return the router of the week before, or name every extra of the demo in one command."""
    try:
        return week_before()
    except ImportError as error:
        extras = f"cli,fit,{framework}"
        raise ImportError(f"the demo needs: pip install 'llm-optimizers[{extras}]'") from error


def replay_log(
    log: Annotated[Path, typer.Argument(help="One OpenAI chat request per line (.jsonl or .gz).")],
    framework: _Framework = "langchain",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N requests.")] = None,
    live: _Live = False,
    base_url: _BaseURL = None,
    model: _Model = None,
    assumed_tokens: Annotated[
        int, typer.Option(min=1, help="Assumed length, in tokens, of answers missing from the log.")
    ] = 150,
    ledger: _LedgerFile = None,
    as_json: AsJSON = False,
) -> None:
    """Replay your own log in the same way as the demo.

    A line is the body of a chat completion request: {"model": …, "messages": […]}. It may also
    have "response" (a text or an OpenAI completion), "tenant", "time", and "answer_class", which
    is needed to count wrong hits. Malformed lines are skipped and listed by number.
    """
    with exit_on_error():
        requests = read_log(log, limit)
    endpoint = _endpoint(live=live, base_url=base_url, model=model)
    _run(
        requests,
        framework,
        endpoint,
        Strategies(cache=True),
        ledger=ledger,
        as_json=as_json,
        assumed_tokens=assumed_tokens,
    )


def _run(
    log: Log,
    framework: str,
    endpoint: Endpoint | None,
    strategies: Strategies,
    *,
    ledger: Path | None,
    as_json: bool,
    assumed_tokens: int,
) -> None:
    console = Console(stderr=as_json)
    _show_left_out(log, console)
    answers = None
    with exit_on_error():
        if endpoint is not None:
            result = _passes(log, framework, endpoint, strategies, ledger, console, compare=False)
        else:
            answers = LoggedAnswers(
                log.requests,
                TokenCounter(),
                cheap_models=frozenset({CHEAP}),
                assumed_tokens=assumed_tokens,
            )
            with recorded_server(answers) as url:
                recorded = Endpoint(base_url=url, api_key="recorded", recorded=True)
                few = len(log.requests) <= _FEW
                result = _passes(log, framework, recorded, strategies, ledger, console, compare=few)
    estimated = answers is not None and answers.estimated
    if as_json:
        more = {"tokens_estimated": estimated, "skipped_lines": len(log.bad_lines)}
        typer.echo(json.dumps({**as_dict(result), **more}, indent=2))
    else:
        print_replay(console, result, recorded=endpoint is None, estimated=estimated)
    if result.interrupted:
        raise typer.Exit(130)
    if result.requests == sum(result.errors.values()):
        raise typer.Exit(1)


def _show_left_out(log: Log, console: Console) -> None:
    """Print which lines were skipped and which fields are not sent."""
    for bad in log.bad_lines[:_SHOWN_BAD_LINES]:
        console.print(f"line {bad.number} skipped: {bad.reason}", style="yellow", markup=False)
    if len(log.bad_lines) > _SHOWN_BAD_LINES:
        console.print(f"… {len(log.bad_lines):,} lines skipped in all", style="yellow")
    if log.unknown_fields:
        names = ", ".join(sorted(log.unknown_fields))
        console.print(
            f"not sent, because the API has no such fields: {names}", style="yellow", markup=False
        )


def _passes(
    log: Log,
    framework: str,
    endpoint: Endpoint,
    strategies: Strategies,
    ledger: Path | None,
    console: Console,
    *,
    compare: bool,
) -> Replay:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Ledger(ledger) as account,
        Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars,
    ):
        tasks: dict[str, object] = {}

        def progress(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=len(log.requests))
            bars.update(tasks[name], completed=done)  # type: ignore[arg-type]  # rich's id type

        return replay(
            log.requests,
            framework,
            strategies,
            endpoint,
            ledger=account,
            baseline_pass=compare,
            progress=progress,
        )


def _endpoint(*, live: bool, base_url: str | None, model: str | None) -> Endpoint | None:
    """Return the real provider if one was requested, None to answer from the log."""
    if not live and base_url is None:
        if model is not None:
            raise typer.BadParameter("--model needs --live or --base-url")
        return None
    key = os.environ.get("OPENAI_API_KEY")
    if key is None and base_url is None:
        raise typer.BadParameter("--live needs OPENAI_API_KEY in the environment, or --base-url")
    return Endpoint(base_url=base_url, api_key=key or "none", model=model)
