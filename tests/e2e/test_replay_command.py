"""`llm-optimizers replay` with every strategy: the demo's figures, on a log of one's own."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_optimizers.cli.app import app
from llm_optimizers.replay.shipped import week_before

pytestmark = pytest.mark.loopback

DATA = files("llm_optimizers.replay") / "data"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def figures(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("router") / "router.json"
    week_before().save(path)
    return path


def shortened(path: Path, *, without: tuple[str, ...] = (), lines: int = 120) -> Path:
    """Write the first lines of the shipped day, without some of their fields."""
    with (DATA / "day.jsonl").open() as day:
        rows = [json.loads(next(day)) for _ in range(lines)]
    kept = [{name: row[name] for name in row if name not in without} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return path


@pytest.mark.slow
def test_the_demo_can_be_repeated_on_its_own_log() -> None:
    demo = figures(run("demo", "--json"))
    with as_file(DATA / "day.jsonl") as day, as_file(DATA / "week_before.jsonl") as labels:
        options = ("--labels", labels, "--context-tokens", 400, "--batch")
        again = figures(run("replay", day, *options, "--json"))
    assert {**again, "overhead_ms": 0} == {**demo, "overhead_ms": 0}


def test_each_option_switches_its_strategy_on(tmp_path: Path, router: Path) -> None:
    log = shortened(tmp_path / "log.jsonl")
    plain = figures(run("replay", log, "--json"))
    assert plain["batched"] == 0
    assert plain["router"] is None
    assert any(tier.startswith("cache") for tier in plain["saved_by"])
    everything = figures(
        run("replay", log, "--router", router, "--context-tokens", 100, "--batch", "--json")
    )
    assert everything["batched"] > 0
    assert everything["routed"]["gpt-4o-mini"] > 0
    assert {"routing", "prompts", "batching"} <= everything["saved_by"].keys()
    assert everything["cost"] < plain["cost"]
    only = figures(run("replay", log, "--only", "routing", "--router", router, "--json"))
    assert only["saved_by"].keys() == {"routing"}


def test_an_option_that_only_switches_off_is_named(tmp_path: Path) -> None:
    log = shortened(tmp_path / "log.jsonl", lines=10)
    result = run("replay", log, "--only", "cache", "--batch", "--context-tokens", 50, "--json")
    figures(result)
    assert "--batch has no effect without --only batching" in result.stderr
    assert "--context-tokens has no effect without --only prompts" in result.stderr


def test_answers_that_the_log_lacks_are_not_counted_as_right(tmp_path: Path, router: Path) -> None:
    """What the cheap model would have answered cannot be known from the strong one's answers."""
    options = ("--only", "routing", "--router", router)
    whole = figures(run("replay", shortened(tmp_path / "a.jsonl"), *options, "--json"))
    assert whole["unjudged_answers"] == 0
    log = shortened(tmp_path / "b.jsonl", without=("cheap_response", "cheap_correct"))
    found = figures(run("replay", log, *options, "--json"))
    assert found["unjudged_answers"] == found["routed"]["gpt-4o-mini"] > 0
    assert found["judged_answers"] == found["requests"] - found["unjudged_answers"]
    table = " ".join(run("replay", log, *options).output.split())
    assert "whose answers the log does not have" in table


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "routing"), "needs --router FILE or --labels FILE"),
        (("--batch", "--base-url", "http://127.0.0.1:9/v1"), "a real batch may take a day"),
        (("--router", "no-such-file.json"), "no-such-file.json"),
        (("--labels", "no-such-file.jsonl"), "no-such-file.jsonl"),
        (("--context-tokens", "0"), "context-tokens"),
    ],
)
def test_options_that_cannot_work_are_refused(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = run("replay", shortened(tmp_path / "log.jsonl", lines=3), *options)
    assert result.exit_code != 0
    assert said in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_a_router_for_other_models_than_the_logs_is_refused(tmp_path: Path, router: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"model": "claude-x", "prompt": "Hi", "response": "Hello"}))
    result = run("replay", log, "--router", router)
    assert result.exit_code == 1
    assert "the log asks for claude-x, but the router is for gpt-4o" in result.output
    both = run("replay", log, "--router", router, "--labels", log)
    assert both.exit_code == 2
    assert "not both" in both.output
