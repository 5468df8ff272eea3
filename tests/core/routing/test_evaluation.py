"""Evaluation of routers: metrics, activation, cascades' break-even, experiments, drift."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import Ledger, Usage, price_call
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.drift import DriftAlarm, quantile_edges
from llm_optimizers.routing import Always, DecisionRecord, Router, RoutingContext
from llm_optimizers.routing.cascade.break_even import CascadeLabel, calibrate_cascade, required_auc
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty
from llm_optimizers.routing.experiments import Experiment, Observation, compare_arms, observations
from llm_optimizers.routing.learning.activation import assess_activation
from llm_optimizers.routing.learning.metrics import apgr, apgr_resampled, auc, cpt, recovery_curve
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.policies.cascade import CascadePolicy
from llm_optimizers.routing.routed_call import RoutedCall
from support.callers import TEXT_READER, FunctionCaller

GAINS = [1.0, 0.0, 1.0, 0.0]


def test_a_perfect_ranking_recovers_the_gap_first():
    perfect = [4, 1, 3, 2]
    assert recovery_curve(perfect, GAINS).tolist() == [0, 0.5, 1, 1, 1]
    assert apgr(perfect, GAINS) == pytest.approx(0.75)
    assert cpt(perfect, GAINS, share=0.5) == 25.0
    assert cpt([1, 4, 2, 3], GAINS, share=0.8) == 100.0


@given(st.integers(0, 10_000))
def test_a_ranking_and_its_opposite_share_the_area(seed):
    rng = np.random.default_rng(seed)
    gains = rng.integers(-1, 2, 30) + 0.5
    if gains.sum() <= 0:
        return
    scores = rng.permutation(30)
    assert apgr(scores, gains) + apgr(-scores, gains) == pytest.approx(1.0)


def test_resamples_are_centred_on_the_estimate():
    rng = np.random.default_rng(0)
    gains = (rng.random(800) < 0.4).astype(float)
    scores = gains + rng.normal(size=800)
    values = apgr_resampled(scores, gains, seed=1)
    assert values.mean() == pytest.approx(apgr(scores, gains), abs=0.01)
    assert 0.005 < values.std() < 0.03


def test_auc_counts_ties_half():
    assert auc([1, 1, 1, 1], [True, False, True, False]) == 0.5
    assert auc([3, 1, 4, 2], [True, False, True, False]) == 1.0
    assert auc([1, 1, 2], [False, True, True]) == 0.75
    assert auc([1, 2], [True, True]) == 0.5


def test_random_scores_are_hardly_ever_activated():
    passed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gains = rng.choice([-1.0, 0.0, 1.0], size=400, p=[0.05, 0.7, 0.25])
        report = assess_activation(
            rng.random(400), gains, rng.random(400), weak="w", strong="s", tolerance=0.05
        )
        passed += report.passed
    assert passed <= 1


def test_a_promising_router_is_given_the_number_of_labels_needed():
    reports = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gains = rng.choice([-1.0, 0.0, 1.0], size=320, p=[0.1, 0.6, 0.3])
        scores = 0.25 * gains + rng.normal(size=320)
        reports.append(
            assess_activation(scores, gains, rng.random(320), weak="w", strong="s", tolerance=0.5)
        )
    promising = [r for r in reports if not r.passed and r.labels_needed is not None]
    assert len(promising) > 5
    assert all(10 < r.labels_needed < 100_000 for r in promising)
    assert all(r.labels_needed is None for r in reports if r.passed)


def cascade_labels(count: int, *, skill: float, right: float = 0.7) -> list[CascadeLabel]:
    rng = random.Random(1)
    labels = []
    for _ in range(count):
        good = rng.random() < right
        agree = float(rng.random() < (skill if good else 1 - skill))
        labels.append(
            CascadeLabel(
                checks={"agreement": agree, "not_empty": 1.0},
                cheap=float(good),
                strong=float(good or rng.random() < 0.9),
            )
        )
    return labels


def test_a_cascade_with_a_good_verifier_passes():
    verifier, report = calibrate_cascade(
        cascade_labels(1_200, skill=0.97),
        [NotEmpty(), Agreement()],
        price_ratio=0.1,
        tolerance=0.05,
    )
    assert report.passed
    assert report.escalated < 0.4
    assert report.quality >= report.strong_quality - 0.05
    assert verifier.weights["agreement"] > 0
    assert verifier.probability({"agreement": 1.0, "not_empty": 1.0}) >= verifier.threshold
    assert verifier.probability({"agreement": 0.0, "not_empty": 1.0}) < verifier.threshold


@pytest.mark.parametrize(
    ("skill", "ratio", "words"), [(0.6, 0.2, "AUC"), (0.97, 0.95, "cost more than it saves")]
)
def test_a_cascade_that_does_not_pay_is_off_and_says_why(prices, ask, skill, ratio, words):
    _, report = calibrate_cascade(
        cascade_labels(1_200, skill=skill), [Agreement()], price_ratio=ratio, tolerance=0.05
    )
    assert not report.passed
    assert any(words in reason for reason in report.reasons)
    policy = CascadePolicy(cheap="small", strong="large", report=report)
    decision = Router(["small", "large"], prices=prices, policy=policy).decide(ask())
    assert decision.model == "large"
    assert decision.reason.startswith("off: ")


def test_a_more_expensive_cheap_model_needs_a_better_verifier():
    assert required_auc(0.06) == 0.68
    assert required_auc(0.2) == pytest.approx(0.73)
    assert required_auc(0.5) > required_auc(0.3)
    assert required_auc(0.0) == 0.68


def test_cascade_labels_that_cannot_be_learned_from_are_refused():
    with pytest.raises(ConfigurationError, match="label 200 more"):
        calibrate_cascade(cascade_labels(100, skill=0.9), [], price_ratio=0.1, tolerance=0.1)
    with pytest.raises(ConfigurationError, match="one class"):
        calibrate_cascade(
            cascade_labels(400, skill=0.9, right=1.1), [], price_ratio=0.1, tolerance=0.1
        )


def arms():
    return {"control": Always("large"), "cheap": Always("small")}


def test_a_user_stays_in_an_arm_and_shares_are_kept(prices, ask):
    experiment = Experiment("e1", arms(), shares={"control": 1, "cheap": 3})
    found = Counter(experiment.arm(f"user-{n}") for n in range(4_000))
    assert 0.72 < found["cheap"] / 4_000 < 0.78
    router = Router(["small", "large"], prices=prices, policy=experiment)
    models = {router.decide(ask(), RoutingContext(user="u7")).model for _ in range(20)}
    assert len(models) == 1
    choice = router.decide(ask(), RoutingContext(user="u7")).choice
    assert choice.experiment == "e1"
    assert choice.propensity == (0.75 if choice.arm == "cheap" else 0.25)


def test_experiments_assign_users_independently():
    one, two = Experiment("e1", arms()), Experiment("e2", arms())
    same = sum(one.arm(f"u{n}") == two.arm(f"u{n}") for n in range(2_000))
    assert 900 < same < 1_100


def test_requests_without_a_user_are_served_by_the_control(prices, ask):
    router = Router(["small", "large"], prices=prices, policy=Experiment("e1", arms()))
    decision = router.decide(ask())
    assert (decision.model, decision.choice.experiment) == ("large", "")


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "", "arms": arms()},
        {"name": "e", "arms": {"one": Always("small")}},
        {"name": "e", "arms": arms(), "shares": {"control": 1.0}},
        {"name": "e", "arms": arms(), "shares": {"control": 1.0, "cheap": 0.0}},
    ],
)
def test_invalid_experiments_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Experiment(**settings)


def seen(users: int, *, control: float, cheap: float, seed: int = 0) -> list[Observation]:
    rng = random.Random(seed)
    rows = []
    for number in range(users):
        for arm, quality in (("control", control), ("cheap", cheap)):
            score = float(rng.random() < quality)
            cost = rng.gauss(1.0 if arm == "control" else 0.2, 0.1)
            rows.append(Observation(unit=f"{arm}-{number}", arm=arm, cost=cost, quality=score))
    return rows


def test_arms_that_are_not_worse_and_worse_are_recognised():
    (same,) = compare_arms(seen(3_000, control=0.9, cheap=0.9), control="control", margin=0.05)
    assert same.conclusion == "not worse"
    assert same.cost.high < -0.7
    (worse,) = compare_arms(seen(3_000, control=0.9, cheap=0.7), control="control", margin=0.05)
    assert worse.conclusion == "worse"
    (early,) = compare_arms(seen(20, control=0.9, cheap=0.9), control="control", margin=0.05)
    assert early.conclusion == "running"


def test_repeated_looks_keep_the_error_rate():
    """An arm that loses exactly the margin is rarely called not worse, at any of many looks."""
    called_not_worse = 0
    for seed in range(40):
        rows = seen(600, control=0.9, cheap=0.8, seed=seed)
        looks = (
            compare_arms(rows[: 2 * n], control="control", margin=0.1) for n in range(50, 601, 50)
        )
        called_not_worse += any(look[0].conclusion == "not worse" for look in looks)
    assert called_not_worse <= 2


def test_users_are_counted_not_their_requests():
    rows = [
        Observation(unit=f"{arm}-{user}", arm=arm, quality=float(user % 2))
        for arm in ("control", "cheap")
        for user in range(6)
        for _ in range(500)
    ]
    (found,) = compare_arms(rows, control="control", margin=0.05)
    assert found.units == (6, 6)
    assert found.conclusion == "running"


def test_an_experiment_is_read_from_the_ledger(prices, ask):
    ledger = Ledger(prices=prices)
    policy = Experiment("e1", arms())
    router = Router(["small", "large"], policy=policy, ledger=ledger)

    def call(effect: CallModel) -> str:
        ledger.record(
            price_call(
                prices,
                id=effect.call_id,
                time=datetime.now(UTC),
                model=effect.model,
                usage=Usage(input_tokens=1_000_000),
            )
        )
        return effect.model

    for number in range(40):
        routed = RoutedCall(router, ask(), RoutingContext(user=f"u{number}"), TEXT_READER)
        routed.answer(FunctionCaller(call))
        router.feedback(routed.decision.id, 1.0)
    router.record(DecisionRecord(decision=router.decide(ask(), RoutingContext(user="silent"))))
    rows = observations(ledger, "e1")
    assert len(rows) == 41
    assert {(row.arm, row.cost) for row in rows if row.quality} == {
        ("control", 10.0),
        ("cheap", 0.1),
    }
    assert [row.cost for row in rows if row.unit == "silent"] == [None]
    (found,) = compare_arms(rows, control="control", margin=0.1)
    assert found.cost.value == pytest.approx(-9.9)
    assert observations(ledger, "other") == []


def test_a_router_reports_drift(prices, ask, caplog):
    class Scored(Always):
        def choose(self, policy_input):
            from dataclasses import replace

            return replace(super().choose(policy_input), scores={"small": 9.0})

    ledger = Ledger(prices=prices)
    alarm = DriftAlarm(quantile_edges(range(9)), window=10)
    router = Router(
        ["small", "large"], policy=Scored("small"), ledger=ledger, drift={"small": alarm}
    )
    for _ in range(10):
        router.record(DecisionRecord(decision=router.decide(ask())))
    assert "no longer look like" in caplog.text
    (note,) = ledger.notes("routing.drift")
    assert note.payload["model"] == "small"
