"""The demo's apps of both frameworks: the same requests, the same answers, the same money."""

from __future__ import annotations

import asyncio

import pytest

from llm_optimizers.costs import Ledger
from llm_optimizers.evidence.labels import Label
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import LoggedAnswers
from llm_optimizers.replay.app import FRAMEWORKS, Endpoint, Strategies, open_app
from llm_optimizers.replay.server import recorded_server
from llm_optimizers.replay.shipped import CHEAP, STRONG, day_log
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.learning.calibration import calibrate

pytestmark = pytest.mark.loopback

REQUESTS = day_log().requests[:80]


def account(framework: str, strategies: Strategies) -> tuple[list[str], dict[str, float]]:
    answers = LoggedAnswers(REQUESTS, TokenCounter())
    with recorded_server(answers) as url, Ledger() as ledger:
        endpoint = Endpoint(base_url=url, api_key="recorded", recorded=True)
        app = open_app(framework, strategies, endpoint, ledger)
        replies = [app.ask(request) for request in REQUESTS]
        app.close()
        summary = ledger.summary()
    savings = {name: float(saving.amount) for name, saving in summary.by_strategy.items()}
    money = {"cost": float(summary.cost), "baseline": float(summary.baseline_cost), **savings}
    return [f"{reply.tier}: {reply.text}" for reply in replies], money


@pytest.mark.parametrize(
    "strategies", [Strategies(), Strategies(cache=True, prompts=True)], ids=["bare", "on"]
)
def test_both_frameworks_give_the_same_figures(strategies: Strategies) -> None:
    asyncio.set_event_loop(None)
    stories = [account(framework, strategies) for framework in FRAMEWORKS]
    assert len(stories) == 2
    assert stories[0][0] == stories[1][0]
    assert stories[0][1] == pytest.approx(stories[1][1], rel=0.01)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_stacked_strategies_save_against_what_the_bare_app_costs(framework: str) -> None:
    asyncio.set_event_loop(None)
    _, bare = account(framework, Strategies())
    _, stacked = account(framework, Strategies(cache=True, prompts=True, router=cheap_for_all()))
    assert stacked["routing"] > 0
    assert stacked["cache.exact"] > 0
    # Answers of the cheap model may be longer or shorter than the other's.
    assert stacked["baseline"] == pytest.approx(bare["cost"], rel=0.02)


def cheap_for_all() -> RouterArtefact:
    """A router that was proven on labels in which the cheap model fails where a word says so."""
    labels = [
        Label(
            prompt=f"{'reconcile' if number % 3 == 0 else 'look up'} case {number} {number * 7}",
            scores={CHEAP: float(number % 3 != 0), STRONG: 1.0},
            task="analyst" if number % 3 == 0 else "support-assistant",
        )
        for number in range(360)
    ]
    calibration = calibrate(labels, strong=STRONG, weak=[CHEAP], tolerance=0.05)
    assert calibration.active
    return RouterArtefact.of(calibration, created="today")
