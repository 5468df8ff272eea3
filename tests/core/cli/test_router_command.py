"""`llm-optimizers router`: fit, evaluate, explain and experiments from the shell."""

from __future__ import annotations

import json
import random
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence.labels import Label, write_labels
from llm_optimizers.routing import (
    Always,
    DecisionRecord,
    LearnedPolicy,
    Router,
    RoutingContext,
)
from llm_optimizers.routing.experiments import Experiment
from llm_optimizers.routing.learning.artefact import read_artefact
from llm_optimizers.types import ChatRequest, Message

FITTING = "llm_optimizers.routing.learning.fitting"


def run(*arguments: object):
    return CliRunner().invoke(app, ["router", *map(str, arguments)])


def write(path: Path, count: int, *, seed: int, signal: float = 0.95) -> Path:
    rng = random.Random(seed)
    labels = []
    for number in range(count):
        hard = rng.random() < 0.5
        looks_hard = hard if rng.random() < signal else not hard
        words = ["lemma", "tensor"] if looks_hard else ["lunch", "music"]
        prompt = f"{number} {' '.join(words)} {'blah ' * rng.randint(1, 9)}"
        labels.append(Label(prompt=prompt, scores={"small": 1.0 - hard, "large": 1.0}))
    write_labels(path, labels)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("router")
    labels = write(folder / "labels.jsonl", 400, seed=1)
    result = run(
        "fit", labels, "--strong", "large", "--out", folder / "router.json", "--tolerance", 0.1
    )
    assert result.exit_code == 0, result.output
    assert "May act" in result.output
    return folder


def test_a_router_is_evaluated_on_new_labels(fitted):
    fresh = write(fitted / "fresh.jsonl", 400, seed=2)
    result = run("evaluate", fitted / "router.json", fresh, "--json")
    assert result.exit_code == 0
    report = json.loads(result.output)["models"]["small"]
    assert (report["passed"], report["lacking"]) == (True, None)
    noise = write(fitted / "noise.jsonl", 400, seed=3, signal=0.5)
    declined = run("evaluate", fitted / "router.json", noise)
    assert declined.exit_code == 1
    assert "the strong model answers everything" in declined.output


def test_a_decision_is_explained(fitted):
    result = run("explain", fitted / "router.json", "a tensor for lunch", "--json")
    parts = {part["part"]: part["gain"] for part in json.loads(result.output)["parts"]}
    assert parts["word 'tensor'"] > 0 > parts["word 'lunch'"]
    assert "word 'tensor'" in run("explain", fitted / "router.json", "a tensor").output


def test_useless_labels_are_reported_without_a_traceback(tmp_path: Path):
    labels = write(tmp_path / "few.jsonl", 30, seed=1)
    result = run("fit", labels, "--strong", "large", "--out", tmp_path / "router.json")
    assert result.exit_code == 2
    assert "label 270 more requests" in result.output
    assert "Traceback" not in result.output


def test_the_next_command_can_be_copied_into_a_shell(tmp_path: Path):
    labels = write(tmp_path / "my labels.jsonl", 30, seed=1)
    out = tmp_path / "it's mine.json"
    result = run("fit", labels, "--strong", "large", "--out", out, "--json")
    words = shlex.split(json.loads(result.stdout)["next"][-1].partition(": ")[2])
    assert words[:4] == ["llm-optimizers", "router", "fit", str(labels)]
    assert words[-2:] == ["--out", str(out)]


@pytest.mark.parametrize(
    ("count", "signal", "code", "missing"),
    [(30, 0.95, 2, "add about 270 labels"), (320, 0.5, 0, "more labels would not change")],
)
def test_the_file_is_written_even_if_the_router_fails_and_never_acts(
    tmp_path: Path, count: int, signal: float, code: int, missing: str
):
    labels = write(tmp_path / "labels.jsonl", count, seed=3, signal=signal)
    out = tmp_path / "router.json"
    result = run("fit", labels, "--strong", "large", "--out", out, "--json")
    assert result.exit_code == code
    printed = json.loads(result.stdout)
    assert printed["file"] == str(out)
    assert missing in " ".join(printed["next"])
    shown = printed["models"]["small"]
    assert (shown["gap"] is None) == (code == 2), "nothing was measured"
    assert ("llm-optimizers router fit" in printed["next"][-1]) == (code == 2)
    policy = LearnedPolicy(out)
    router = Router(["small", "large"], policy=policy)
    decision = router.decide(ChatRequest(messages=(Message(role="user", content="music"),)))
    assert decision.model == "large"
    assert "not active" in decision.reason
    assert run("explain", out, "music").exit_code == 0
    if code == 2:
        assert run("evaluate", out, labels).exit_code == 1


def test_labels_of_one_class_leave_a_file_that_never_acts(tmp_path: Path):
    same = [Label(prompt=f"q {n}", scores={"small": 1.0, "large": 1.0}) for n in range(320)]
    write_labels(tmp_path / "same.jsonl", same)
    out = tmp_path / "router.json"
    result = run("fit", tmp_path / "same.jsonl", "--strong", "large", "--out", out)
    assert result.exit_code == 2
    assert "one class" in " ".join(result.output.split())
    assert "more labels would not change that" in result.output
    assert read_artefact(out).active == ()


def test_a_router_that_may_act_says_the_code_that_uses_it(fitted):
    result = run(
        *("fit", fitted / "labels.jsonl", "--strong", "large", "--tolerance", 0.1),
        *("--out", fitted / "again.json"),
    )
    assert result.exit_code == 0
    assert "ChatModelRouter(models={'small': …, 'large': …}" in result.output
    assert f"RoutedLLM({{'small': …, 'large': …}}, policy=LearnedPolicy('{fitted}" in result.output


def test_a_strong_model_that_no_label_scores_is_named(tmp_path: Path):
    labels = write(tmp_path / "few.jsonl", 30, seed=1)
    result = run("fit", labels, "--strong", "lrage", "--out", tmp_path / "router.json")
    assert result.exit_code == 2
    assert "no label scores lrage; the labels score large, small" in result.output
    assert not (tmp_path / "router.json").exists()


def test_a_folder_is_no_router_file(tmp_path: Path):
    labels = write(tmp_path / "few.jsonl", 30, seed=1)
    result = run("fit", labels, "--strong", "large", "--out", tmp_path)
    assert result.exit_code == 2
    assert "is a folder" in result.output


def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.delitem(sys.modules, FITTING, raising=False)
    labels = write(tmp_path / "labels.jsonl", 320, seed=1)
    result = run("fit", labels, "--strong", "large", "--out", tmp_path / "router.json")
    assert result.exit_code == 2
    assert "pip install 'llm-optimizers[fit]'" in result.output
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 1
    assert "pip install 'llm-optimizers[cli,fit,langchain]'" in result.output


def test_an_experiment_is_shown(tmp_path: Path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        policy = Experiment("e1", {"control": Always("large"), "cheap": Always("small")})
        router = Router(["small", "large"], policy=policy, ledger=ledger)
        request = ChatRequest(messages=(Message(role="user", content="hello"),))
        for number in range(30):
            decision = router.decide(request, RoutingContext(user=f"u{number}"))
            router.record(DecisionRecord(decision=decision))
            router.feedback(decision.id, 1.0)
    result = run("experiments", path, "--json")
    (row,) = json.loads(result.output)["e1"]
    assert (row["arm"], row["control"]) == ("cheap", "control")
    assert sum(row["units"]) == 30
    assert "running" in run("experiments", path).output
    reported = CliRunner().invoke(app, ["report", str(path)])
    assert "Experiment e1" in reported.output
    with Ledger(tmp_path / "empty.db"):
        pass
    assert "no decisions" in run("experiments", tmp_path / "empty.db").output
