"""Routers fitted on labels: activation, predictions, files, the learned policy."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import StrategyWithdrawn, subscribe
from llm_optimizers.evidence.labels import Label, write_labels
from llm_optimizers.routing import Router, RoutingContext
from llm_optimizers.routing.learning.artefact import RouterArtefact, read_artefact
from llm_optimizers.routing.learning.calibration import calibrate, evaluate
from llm_optimizers.routing.learning.explanation import explain
from llm_optimizers.routing.learning.features import SHAPE_NAMES, Featurizer
from llm_optimizers.routing.policies.learned import LearnedPolicy

HARD = ["integral", "tensor", "proof", "lemma", "eigenvalue"]
EASY = ["weather", "lunch", "holiday", "music", "garden"]
FILLER = [f"word{n}" for n in range(200)]


def make_labels(count: int, *, seed: int = 0, signal: float = 0.9, third: bool = False):
    """Make requests whose words say, with probability `signal`, whether the small model fails."""
    rng = random.Random(seed)
    labels = []
    for number in range(count):
        hard = rng.random() < 0.5
        looks_hard = hard if rng.random() < signal else not hard
        words = rng.choices(HARD if looks_hard else EASY, k=2)
        words += rng.choices(FILLER, k=rng.randint(3, 30))
        rng.shuffle(words)
        scores = {"small": 0.0 if hard else 1.0, "large": float(rng.random() < 0.97)}
        if third:
            scores["middle"] = float(rng.random() < (0.6 if hard else 1.0))
        labels.append(Label(prompt=f"{number} " + " ".join(words), scores=scores))
    return labels


@pytest.fixture(scope="module")
def calibration():
    return calibrate(make_labels(600), strong="large", tolerance=0.05)


@pytest.fixture(scope="module")
def artefact(calibration):
    return RouterArtefact.of(calibration, created="2026-01-01")


def test_a_router_that_gains_is_activated(calibration):
    report = calibration.reports["small"]
    assert report.passed
    assert report.apgr.low > 0.6
    assert report.over_random.low > 0
    assert report.over_length.low > 0
    assert 0.2 < report.cheap_share < 0.6
    assert report.loss.high <= 0.05
    assert report.labels_needed is None


def test_the_loss_stays_within_the_tolerance_on_new_requests(calibration):
    unseen = make_labels(2000, seed=99)
    threshold = calibration.reports["small"].threshold
    lost = [
        label.scores["large"] - label.scores["small"]
        for label in unseen
        if calibration.model.predict(label.prompt)["small"] <= threshold
    ]
    assert sum(lost) / len(unseen) <= 0.05


def test_a_router_fitted_on_noise_is_not_activated_and_says_why():
    report = calibrate(make_labels(320, signal=0.5), strong="large", tolerance=0.05).reports[
        "small"
    ]
    assert not report.passed
    assert any("chance" in reason for reason in report.reasons)


def test_a_router_that_ranks_only_by_length_is_not_activated():
    rng = random.Random(3)
    labels = []
    for number in range(500):
        size = rng.randint(5, 60)
        hard = rng.random() < size / 65
        prompt = f"{number} " + " ".join(rng.choices(FILLER, k=size))
        labels.append(Label(prompt=prompt, scores={"small": 1.0 - hard, "large": 1.0}))
    report = calibrate(labels, strong="large", tolerance=0.05).reports["small"]
    assert report.over_random.low > 0
    assert not report.passed
    assert any("prompt length" in reason for reason in report.reasons)


def test_a_strong_model_that_is_no_better_is_reported():
    rng = random.Random(4)
    labels = [
        Label(
            prompt=f"{n} {' '.join(rng.choices(FILLER, k=8))}",
            scores={"small": float(rng.random() < 0.9), "large": float(rng.random() < 0.6)},
        )
        for n in range(320)
    ]
    report = calibrate(labels, strong="large", tolerance=0.05).reports["small"]
    assert report.reasons == (
        "large is no better than small on these labels: serve with small alone",
    )


def test_each_cheap_model_has_a_report_and_they_share_the_tolerance():
    found = calibrate(make_labels(320, third=True), strong="large", tolerance=0.1)
    assert set(found.reports) == {"small", "middle"}
    assert found.reports["small"].tolerance == 0.05


def test_a_router_does_not_pass_on_another_kind_of_traffic(calibration):
    rng = random.Random(5)
    other_traffic = [
        Label(
            prompt=f"{n} {' '.join(rng.choices(['ship', 'sail', 'port', 'crew'], k=9))}",
            scores={"small": float(rng.random() < 0.5), "large": 1.0},
        )
        for n in range(500)
    ]
    reports = evaluate(calibration.model, other_traffic, strong="large", tolerance=0.05)
    assert not reports["small"].passed
    same = evaluate(calibration.model, make_labels(600, seed=8), strong="large", tolerance=0.05)
    assert same["small"].passed


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (make_labels(120), "label 180 more requests"),
        (make_labels(200) * 4, "repeat a prompt"),
        ([Label(prompt=str(n), scores={"small": 0, "large": 1}) for n in range(400)], "one class"),
        (
            [Label(prompt=str(n), scores={"large": 1}) for n in range(400)],
            "no model other than large",
        ),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(labels, words):
    with pytest.raises(ConfigurationError, match=words):
        calibrate(labels, strong="large")


def test_a_router_file_predicts_like_the_fitted_model(artefact, calibration, tmp_path: Path):
    path = tmp_path / "router.json"
    artefact.save(path)
    model = read_artefact(path).gain_model()
    for label in make_labels(50, seed=7):
        before, after = calibration.model.predict(label.prompt), model.predict(label.prompt)
        assert after["small"] == pytest.approx(before["small"], abs=5e-3)
    assert read_artefact(path).digest == artefact.digest


def test_a_pickled_policy_needs_no_file(prices, ask, artefact, tmp_path: Path):
    path = tmp_path / "router.json"
    artefact.save(path)
    router = policy_router(prices, path)
    sent = pickle.dumps(router)
    path.unlink()
    again = pickle.loads(sent)
    for text in ("say hello", "prove it step by step"):
        assert again.decide(ask(text)).choice == router.decide(ask(text)).choice


def test_fitting_is_deterministic(artefact):
    again = calibrate(make_labels(600), strong="large", tolerance=0.05)
    assert RouterArtefact.of(again, created="2026-01-01").digest == artefact.digest


SERVING = """
import sys

sys.modules.update(dict.fromkeys(["sklearn", "scipy", "threadpoolctl"]))  # importing them fails

from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.routing import LearnedPolicy, Router, calibrate_cascade
from llm_optimizers.routing.cascade.break_even import CascadeLabel
from llm_optimizers.routing.cascade.checks import Agreement
from llm_optimizers.routing.learning.calibration import evaluate
from llm_optimizers.types import ChatRequest, Message

policy = LearnedPolicy(sys.argv[1])
request = ChatRequest(messages=(Message(role="user", content="lunch holiday in the garden"),))
assert Router(["small", "large"], policy=policy).decide(request).model == "small"
evaluate(policy.artefact.gain_model(), read_labels(sys.argv[2]), strong="large", tolerance=0.05)
labels = [CascadeLabel(checks={"agreement": n % 2}, cheap=n % 2, strong=1) for n in range(400)]
calibrate_cascade(labels, [Agreement()], price_ratio=0.1, tolerance=0.05)
"""


def test_serving_needs_no_scikit_learn(artefact, tmp_path: Path):
    artefact.save(tmp_path / "router.json")
    write_labels(tmp_path / "labels.jsonl", make_labels(300, seed=3))
    arguments = [sys.executable, "-c", SERVING, "router.json", "labels.jsonl"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def policy_router(prices, artefact, **settings):
    return Router(["small", "large"], prices=prices, policy=LearnedPolicy(artefact), **settings)


def test_the_policy_chooses_the_strong_model_only_for_predicted_gains(prices, ask, artefact):
    router = policy_router(prices, artefact)
    easy = router.decide(ask("lunch holiday in the garden"))
    hard = router.decide(ask("a proof of the eigenvalue lemma"))
    assert (easy.model, hard.model) == ("small", "large")
    assert easy.choice.scores["small"] <= easy.choice.threshold
    assert easy.choice.version == artefact.digest


def test_the_policy_reads_the_users_last_message(prices, ask, artefact):
    router = policy_router(prices, artefact)
    talk = ask("lunch holiday in the garden", "proof lemma tensor integral")
    assert router.decide(talk).model == "small"


@pytest.mark.parametrize(
    ("tags", "served"),
    [
        pytest.param(["quiz"], {"quiz": "small", "chat": "large", "": "large"}, id="all tagged"),
        pytest.param(["quiz", ""], {"quiz": "small", "chat": "large", "": "small"}, id="some"),
        pytest.param([""], {"quiz": "large", "chat": "large", "": "small"}, id="none tagged"),
    ],
)
def test_a_task_without_labels_goes_to_the_strong_model(prices, ask, tmp_path, tags, served):
    labels = [
        replace(label, task=tags[number % len(tags)])
        for number, label in enumerate(make_labels(600))
    ]
    calibration = calibrate(labels, strong="large", tolerance=0.05)
    path = tmp_path / "router.json"
    RouterArtefact.of(calibration, created="2026-01-01").save(path)
    router = policy_router(prices, read_artefact(path))
    easy = ask("lunch holiday in the garden")
    decisions = {task: router.decide(easy, RoutingContext(task=task)) for task in served}
    assert {task: decision.model for task, decision in decisions.items()} == served
    reasons = {task: decision.reason for task, decision in decisions.items()}
    assert reasons["chat"] == "no labels of the task 'chat': label some and refit"
    if served[""] == "large":
        assert reasons[""] == "no labels without a task: label some and refit"


def test_a_router_that_did_not_pass_uses_the_strong_model(prices, ask, caplog):
    declined = calibrate(make_labels(320, signal=0.5), strong="large", tolerance=0.05)
    artefact = RouterArtefact.of(declined, created="2026-01-01")
    heard: list[StrategyWithdrawn] = []
    with subscribe(heard.append, StrategyWithdrawn):
        router = policy_router(prices, artefact)
    assert [each.strategy for each in heard] == ["routing"]
    assert heard[0].reason in caplog.text
    assert "not active" in caplog.text
    decision = router.decide(ask("lunch holiday"))
    assert decision.model == "large"
    assert decision.reason.startswith("not active: small:")


def test_a_file_fitted_for_other_models_is_refused_with_the_command(prices, artefact):
    with pytest.raises(
        ConfigurationError, match=r"no small; refit with: llm-optimizers router fit"
    ):
        Router(["tiny", "large"], prices=prices, policy=LearnedPolicy(artefact))


def test_where_the_strong_model_cannot_serve_the_policy_abstains(prices, ask, artefact):
    from llm_optimizers.routing import UserTier

    router = policy_router(prices, artefact, tiers={"free": UserTier(ceiling="small")})
    decision = router.decide(ask("a proof"), RoutingContext(tier="free"))
    assert decision.model == "small"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2, this release reads version 1; refit with"),
        ({"format": "other"}, "not a router file"),
        ({"bits": 99}, "damaged at bits"),
        ({"arrays": {}}, "missing or damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(artefact, tmp_path: Path, change, words):
    path = tmp_path / "router.json"
    artefact.save(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, **change}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        LearnedPolicy(path)


def test_a_file_keeps_the_field_names_of_its_version(artefact, tmp_path: Path):
    path = tmp_path / "router.json"
    artefact.save(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["reports"]["small"]["lacking"] = 17
    path.write_text(json.dumps(raw), encoding="utf-8")
    assert read_artefact(path).reports["small"].labels_needed == 17


def test_damaged_arrays_are_refused(artefact):
    for name, packed in artefact.arrays.items():
        for broken in ("f4:AAAA", "i4:", packed[:-8], "pickle:gASV"):
            damaged = artefact.model_copy(update={"arrays": {**artefact.arrays, name: broken}})
            with pytest.raises(ConfigurationError, match="missing or damaged"):
                damaged.gain_model()


def test_a_missing_file_is_reported(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="not a router file"):
        read_artefact(tmp_path / "missing.json")


def test_a_prediction_is_explained_by_its_words(artefact):
    found = explain(artefact, "a proof about lunch")
    effects = dict(found.parts)
    assert effects["word 'proof'"] > 0 > effects["word 'lunch'"]
    assert found.model in ("small", "large")
    assert json.dumps(found.as_dict())


@given(st.text(max_size=400))
def test_any_text_has_features(text):
    found = Featurizer(bits=10).read(text)
    assert len(found.shape) == len(SHAPE_NAMES)
    assert np.isfinite(found.shape).all()
    for buckets in (found.words, found.chars):
        assert (np.diff(buckets) > 0).all()
        assert not len(buckets) or buckets[-1] < 2**10


def test_case_does_not_matter_to_words_and_order_does():
    reader = Featurizer(bits=16)
    assert (reader.read("Big Dog").words == reader.read("big dog").words).all()
    assert set(reader.read("big dog").words) != set(reader.read("dog big").words)


def test_a_task_tag_is_learned():
    rng = random.Random(1)
    labels = [
        Label(
            prompt=f"{n} {' '.join(rng.choices(FILLER, k=8))}",
            scores={"small": float(n % 2), "large": 1.0},
            task="hard" if n % 2 == 0 else "easy",
        )
        for n in range(320)
    ]
    found = calibrate(labels, strong="large", tolerance=0.05)
    assert found.reports["small"].passed
    hard, easy = (found.model.predict("word1", task=tag)["small"] for tag in ("hard", "easy"))
    assert hard > easy + 0.2
