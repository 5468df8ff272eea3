"""`llm-optimizers demo`: replay the day of requests that ships with the package."""

from __future__ import annotations

import typer

from llm_optimizers.cli.output import AsJSON, console, exit_on_error
from llm_optimizers.cli.replay import (
    BaseURL,
    FrameworkName,
    LedgerFile,
    Live,
    ModelName,
    OnlyStrategies,
    Strategy,
    endpoint_of,
    run_replay,
)
from llm_optimizers.replay.app import Strategies
from llm_optimizers.replay.shipped import day_log, week_before
from llm_optimizers.routing.learning.artefact import RouterArtefact

__all__ = ["demo"]

_CONTEXT_TOKENS = 400
"""Token budget for retrieved documents."""


def demo(
    framework: FrameworkName = "langchain",
    only: OnlyStrategies = None,
    live: Live = False,
    base_url: BaseURL = None,
    model: ModelName = None,
    ledger: LedgerFile = None,
    as_json: AsJSON = False,
) -> None:
    """Replay a day of requests and see what each strategy saves.

    One Monday of a support product, 436 requests, ships with the package. They go through a real
    chain and the real SDK, over HTTP, to a server on this machine that answers from the log:
    once without, once with the strategies. It needs no API key and no network. A real provider
    (--live) gets no batches, since they may take a day.

    Example: `llm-optimizers demo --only cache --ledger demo.sqlite`
    """
    endpoint = endpoint_of(live=live, base_url=base_url, model=model)
    wanted = set(only or Strategy)
    if endpoint is not None:
        wanted.discard(Strategy.batching)
        if not wanted:
            raise typer.BadParameter("--only batching needs the recorded answers: no --live")
    router = None
    if Strategy.routing in wanted:
        with (
            exit_on_error(),
            console(err=True).status("calibrating the router on the week before …"),
        ):
            router = _calibrated(framework)
    strategies = Strategies(
        cache=Strategy.cache in wanted,
        prompts=Strategy.prompts in wanted,
        context_tokens=_CONTEXT_TOKENS,
        router=router,
        later=Strategy.batching in wanted,
    )
    run_replay(
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
