"""The demo's apps of both frameworks: the same requests, the same answers, the same money."""

from __future__ import annotations

import asyncio

import pytest

from llm_optimizers.cli.replaying.app import FRAMEWORKS, Endpoint, Strategies, open_trial
from llm_optimizers.cli.replaying.log import day_log
from llm_optimizers.cli.replaying.server import AnswerSheet, serving
from llm_optimizers.costs import Ledger
from llm_optimizers.prompts import TokenCounter

pytestmark = pytest.mark.loopback

REQUESTS = day_log().requests[:80]


def account(framework: str, strategies: Strategies) -> tuple[list[str], dict[str, float]]:
    sheet = AnswerSheet(REQUESTS, TokenCounter())
    with serving(sheet) as url, Ledger() as ledger:
        endpoint = Endpoint(base_url=url, api_key="recorded", recorded=True)
        trial = open_trial(framework, strategies, endpoint, ledger)
        replies = [trial.ask(request) for request in REQUESTS]
        trial.close()
        summary = ledger.summary()
    told = {name: float(saving.amount) for name, saving in summary.by_strategy.items()}
    money = {"cost": float(summary.cost), "baseline": float(summary.baseline_cost), **told}
    return [f"{reply.tier}: {reply.text}" for reply in replies], money


@pytest.mark.parametrize(
    "strategies", [Strategies(), Strategies(cache=True, prompts=True)], ids=["bare", "on"]
)
def test_both_frameworks_tell_the_same_story(strategies: Strategies) -> None:
    asyncio.set_event_loop(None)
    stories = [account(framework, strategies) for framework in FRAMEWORKS]
    assert len(stories) == 2
    assert stories[0][0] == stories[1][0]
    assert stories[0][1] == pytest.approx(stories[1][1], rel=0.01)
