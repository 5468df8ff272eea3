"""`llm-optimizers replay`: send a log through a real chain and show what each strategy saves."""

from __future__ import annotations

import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llm_optimizers.cli.output import AsJSON, console, exit_on_error, print_json, say
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import LoggedAnswers
from llm_optimizers.replay.app import FRAMEWORKS, Endpoint, Strategies
from llm_optimizers.replay.figures import Replay, as_dict
from llm_optimizers.replay.log import Log, read_log
from llm_optimizers.replay.run import replay
from llm_optimizers.replay.server import recorded_server
from llm_optimizers.replay.table import print_replay
from llm_optimizers.routing.learning.artefact import RouterArtefact, read_artefact
from llm_optimizers.routing.learning.calibration import calibrate
from llm_optimizers.shown import shown

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "BaseURL",
    "FrameworkName",
    "LedgerFile",
    "Live",
    "ModelName",
    "OnlyStrategies",
    "Strategy",
    "endpoint_of",
    "replay_log",
    "run_replay",
]

_FEW = 2_000
_SHOWN_BAD_LINES = 5


class Strategy(StrEnum):
    """The four strategies, by their names on the command line."""

    cache = "cache"
    routing = "routing"
    prompts = "prompts"
    batching = "batching"


Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Call a real provider (costs money); needs OPENAI_API_KEY or --base-url."
    ),
]
BaseURL = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible server to call instead; implies --live.")
]
ModelName = Annotated[str | None, typer.Option(help="The model to call instead of the log's.")]
FrameworkName = Annotated[
    str, typer.Option(help=f"The framework of the chain: {', '.join(FRAMEWORKS)}.")
]
LedgerFile = Annotated[
    Path | None,
    typer.Option(help="Keep the ledger in this file; show it with `llm-optimizers report`."),
]
OnlyStrategies = Annotated[
    list[Strategy] | None, typer.Option(help="Switch on only this strategy; may be repeated.")
]


def replay_log(
    log: Annotated[Path, typer.Argument(help="One OpenAI chat request per line (.jsonl or .gz).")],
    framework: FrameworkName = "langchain",
    only: OnlyStrategies = None,
    router: Annotated[
        Path | None,
        typer.Option(
            help="Route with this file of `llm-optimizers router fit`.", exists=True, dir_okay=False
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Route with a router calibrated on these labels, before the replay.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, help="With --labels: mean quality that routing may lose."),
    ] = 0.02,
    context_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of retrieved documents to keep in each message."),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option("--batch", help='Send requests with "background": true as a provider batch.'),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N requests.")] = None,
    live: Live = False,
    base_url: BaseURL = None,
    model: ModelName = None,
    assumed_tokens: Annotated[
        int, typer.Option(min=1, help="Assumed length, in tokens, of answers missing from the log.")
    ] = 150,
    ledger: LedgerFile = None,
    as_json: AsJSON = False,
) -> None:
    """Replay your own log in the same way as the demo.

    The cache and lossless shortening of prompts are on; routing with --router or --labels, cutting
    of retrieved documents with --context-tokens, and batches with --batch.

    A line is the body of a chat completion request: {"model": …, "messages": […]}. It may also
    have "response" (a text or an OpenAI completion), "tenant", "time", "feature" (the task of the
    labels), "background", "cheap_response" with "cheap_correct", and "answer_class", which is
    needed to count wrong hits. Malformed lines are skipped and listed by number.

    Example: `llm-optimizers replay monday.jsonl --labels labels.jsonl --context-tokens 400 --batch`
    """
    endpoint = endpoint_of(live=live, base_url=base_url, model=model)
    given = {
        "--router": (Strategy.routing, router is not None),
        "--labels": (Strategy.routing, labels is not None),
        "--batch": (Strategy.batching, batch),
        "--context-tokens": (Strategy.prompts, context_tokens is not None),
    }
    wanted = _wanted(only, {option: of for option, (of, is_given) in given.items() if is_given})
    if Strategy.batching in wanted and endpoint is not None:
        raise typer.BadParameter(
            "--batch needs the recorded answers: a real batch may take a day; use batch_later"
        )
    with exit_on_error():
        requests = read_log(log, limit)
        fitted = None
        if Strategy.routing in wanted:
            with console(err=True).status("preparing the router …"):
                fitted = _router(requests, router, labels, tolerance, model)
    strategies = Strategies(
        cache=Strategy.cache in wanted,
        prompts=Strategy.prompts in wanted,
        context_tokens=context_tokens,
        router=fitted,
        later=Strategy.batching in wanted,
    )
    run_replay(
        requests,
        framework,
        endpoint,
        strategies,
        ledger=ledger,
        as_json=as_json,
        assumed_tokens=assumed_tokens,
    )


def _wanted(only: list[Strategy] | None, given: dict[str, Strategy]) -> set[Strategy]:
    """Return the strategies to switch on; --only with one of them needs what it works with.

    `given` are the options of a strategy, of which --only may have no use.
    """
    wanted = set(only) if only else {Strategy.cache, Strategy.prompts, *given.values()}
    if Strategy.routing in wanted and Strategy.routing not in given.values():
        raise typer.BadParameter("--only routing needs --router FILE or --labels FILE")
    for option, strategy in given.items():
        if strategy not in wanted:
            say(f"{option} has no effect without --only {strategy.value}", err=True)
    return wanted


def _router(
    log: Log, router: Path | None, labels: Path | None, tolerance: float, model: str | None
) -> RouterArtefact:
    """Read the router file, or calibrate a router on the labels.

    Raises:
        ConfigurationError: it is for other models than the log's.
    """
    if router is not None and labels is not None:
        raise typer.BadParameter("give --router or --labels, not both")
    called = Counter([model] if model is not None else [r.request.model for r in log.requests])
    if router is not None:
        fitted = read_artefact(router)
        known = {fitted.strong}
    else:
        assert labels is not None
        given = list(read_labels(labels))
        known = {name for label in given for name in label.scores}
    strong = next((name for name, _ in called.most_common() if name in known), None)
    if strong is None:
        raise ConfigurationError(
            f"the log asks for {_listed(called)}, but the router is for {_listed(known)}: "
            "one model must be the same"
        )
    if router is not None:
        return fitted
    return RouterArtefact.of(calibrate(given, strong=strong, tolerance=tolerance), created="")


def _listed(names: Counter[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "no model"


def run_replay(
    log: Log,
    framework: str,
    endpoint: Endpoint | None,
    strategies: Strategies,
    *,
    ledger: Path | None,
    as_json: bool,
    assumed_tokens: int,
) -> None:
    """Replay a log and print its figures; exits with an error if no request was answered."""
    screen = console(err=as_json)
    _show_left_out(log, screen)
    answers = None
    with exit_on_error():
        if endpoint is not None:
            result = _passes(log, framework, endpoint, strategies, ledger, screen, compare=False)
        else:
            answers = LoggedAnswers(
                log.requests,
                TokenCounter(),
                cheap_models=frozenset(strategies.router.means if strategies.router else ()),
                assumed_tokens=assumed_tokens,
            )
            with recorded_server(answers) as url:
                recorded = Endpoint(base_url=url, api_key="recorded", recorded=True)
                few = len(log.requests) <= _FEW
                result = _passes(log, framework, recorded, strategies, ledger, screen, compare=few)
    estimated = answers is not None and answers.estimated
    if as_json:
        more = {"tokens_estimated": estimated, "skipped_lines": len(log.bad_lines)}
        print_json({**as_dict(result), **more}, indent=2)
    else:
        print_replay(screen, result, recorded=endpoint is None, estimated=estimated)
    if result.interrupted:
        raise typer.Exit(130)
    if result.requests == sum(result.errors.values()):
        raise typer.Exit(1)


def _show_left_out(log: Log, screen: Console) -> None:
    """Print which lines were skipped and which fields are not sent."""
    for bad in log.bad_lines[:_SHOWN_BAD_LINES]:
        screen.print(f"line {bad.number} skipped: {shown(bad.reason)}", style="yellow")
    if len(log.bad_lines) > _SHOWN_BAD_LINES:
        screen.print(f"… {len(log.bad_lines):,} lines skipped in all", style="yellow")
    if log.unknown_fields:
        names = shown(", ".join(sorted(log.unknown_fields)))
        screen.print(f"not sent, because the API has no such fields: {names}", style="yellow")


def _passes(
    log: Log,
    framework: str,
    endpoint: Endpoint,
    strategies: Strategies,
    ledger: Path | None,
    screen: Console,
    *,
    compare: bool,
) -> Replay:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Ledger(ledger) as account,
        Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as bars,
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


def endpoint_of(*, live: bool, base_url: str | None, model: str | None) -> Endpoint | None:
    """Return the real provider if one was requested, None to answer from the log."""
    if not live and base_url is None:
        if model is not None:
            raise typer.BadParameter("--model needs --live or --base-url")
        return None
    key = os.environ.get("OPENAI_API_KEY")
    if key is None and base_url is None:
        raise typer.BadParameter("--live needs OPENAI_API_KEY in the environment, or --base-url")
    return Endpoint(base_url=base_url, api_key=key or "none", model=model)
