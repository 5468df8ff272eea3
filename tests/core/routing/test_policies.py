"""The policies that need no data, and how they combine."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing import (
    Always,
    ByTask,
    FastEnough,
    FirstOf,
    ForTier,
    KeywordPolicy,
    ModelSpec,
    Router,
    RoutingContext,
    Weighted,
)
from llm_optimizers.routing.policies.cascade import CascadePolicy

MODELS = ["small", "middle", "large"]


def served(prices, policy, request, models=MODELS, **context):
    router = Router(models, prices=prices, policy=policy, rng=random.Random(0))
    return router.decide(request, RoutingContext(**context))


def test_models_are_drawn_by_weight_and_the_probability_recorded(prices, ask):
    router = Router(
        MODELS, prices=prices, policy=Weighted({"small": 3, "large": 1}), rng=random.Random(7)
    )
    decisions = [router.decide(ask()) for _ in range(2000)]
    counts = Counter(d.model for d in decisions)
    assert set(counts) == {"small", "large"}
    assert 0.71 < counts["small"] / 2000 < 0.79
    assert {d.choice.propensity for d in decisions} == {0.75, 0.25}


def test_weights_are_shared_among_the_models_that_can_serve(prices, ask):
    models = [ModelSpec("small", capabilities=set()), ModelSpec("middle"), ModelSpec("large")]
    policy = Weighted({"small": 8, "middle": 1, "large": 1})
    decision = served(prices, policy, ask(tools=[{}]), models)
    assert decision.choice.propensity == 0.5
    only_small = served(prices, Weighted({"small": 1}), ask(tools=[{}]), models)
    assert only_small.model == "large"
    assert only_small.reason == "every policy abstained"


@pytest.mark.parametrize("weights", [{}, {"small": 0.0}, {"small": -1.0, "large": 2.0}])
def test_invalid_weights_are_refused(weights):
    with pytest.raises(ConfigurationError):
        Weighted(weights)


def test_the_cheapest_model_within_the_latency_limit_is_chosen(prices, ask):
    models = [
        ModelSpec("small", latency_s=4.0),
        ModelSpec("middle", latency_s=1.0),
        ModelSpec("large", latency_s=0.5),
    ]
    assert served(prices, FastEnough(limit_s=2), ask(), models).model == "middle"
    assert served(prices, FastEnough(limit_s=9), ask(), models).model == "small"
    assert served(prices, FastEnough(limit_s=0.1), ask(), models).model == "large"
    unknown = served(prices, FastEnough(limit_s=2), ask())
    assert unknown.reason == "every policy abstained"
    with pytest.raises(ConfigurationError):
        FastEnough(limit_s=0)


def test_a_user_tier_gets_its_model_and_others_the_next_policy(prices, ask):
    policy = FirstOf([ForTier({"free": "small"}), Always("middle")])
    assert served(prices, policy, ask(), tier="free").model == "small"
    assert served(prices, policy, ask(), tier="pro").model == "middle"


def test_a_task_gets_its_policy(prices, ask):
    policy = ByTask({"extract": Always("small")})
    assert served(prices, policy, ask(), task="extract").model == "small"
    assert served(prices, policy, ask(), task="other").model == "large"


def test_keywords_count_whole_words_and_length(prices, ask):
    policy = KeywordPolicy(weak="small", strong="large")
    assert served(prices, policy, ask("What is the capital of Peru?")).model == "small"
    hard = served(prices, policy, ask("Prove it step by step."))
    assert hard.model == "large"
    assert "complexity 2.0" in hard.reason
    assert policy.points("improved approval")["complexity"] == 0
    assert served(prices, policy, ask("word " * 250)).model == "large"


def test_keywords_are_counted_in_the_users_last_message(prices, ask):
    policy = KeywordPolicy(weak="small", strong="large")
    talk = ask("Hello", "prove prove prove", "Thanks")
    assert served(prices, policy, talk).model == "small"


def test_custom_keyword_lists(prices, ask):
    policy = KeywordPolicy(weak="small", strong="large", intents={"law": ["tort"]}, threshold=1)
    assert served(prices, policy, ask("What is a tort?")).model == "large"
    with pytest.raises(ConfigurationError):
        KeywordPolicy(weak="small", strong="large", words_per_point=0)


def test_a_cascade_does_not_draft_into_a_conversation_at_the_provider(prices, ask):
    policy = CascadePolicy(cheap="small", strong="large")
    request = ask("Hi")
    moving = replace(request, params={**request.params, "conversation": "conv_1"})
    fixed = replace(request, params={**request.params, "previous_response_id": "resp_1"})
    assert served(prices, policy, moving).escalation is None
    assert served(prices, policy, moving).model == "large"
    assert served(prices, policy, fixed).escalation is not None
