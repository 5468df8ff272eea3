"""Routing: send each request to the cheapest model that answers it well enough, and prove it.

router.py      Router: decides (deciding.py, filters.py) and records (decision.py)
specs.py       models in order of strength, and the bounds of each kind of user
request.py     the routing context, and what a request requires of a model
policy.py      the Policy protocol: its input, its choice, and the candidates
routed_call.py RoutedCall: one request from its decision to its last chunk
plan.py        executes a decision: fallbacks, deadline, escalation
calling.py     how a framework calls the models, and how deadlines are kept
health.py      cooldowns of models that failed
experiments.py A/B tests of policies, and their results

policies/      which model should serve: simple rules, keywords, learned, cascade
cascade/       checks of a cheap answer, the verifier, and the cascade's break-even
learning/      fits a router on labels, and decides whether it may be used

Start with `Router`, which decides over `ModelSpec`s with a policy; without one every request goes
to the safe model. Names that need numpy are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_optimizers.lazy import lazy_names
from llm_optimizers.routing.decision import Attempt, Decision, DecisionRecord
from llm_optimizers.routing.health import Health
from llm_optimizers.routing.policies.keyword import KeywordPolicy
from llm_optimizers.routing.policies.simple import (
    Always,
    ByTask,
    FastEnough,
    FirstOf,
    ForTier,
    Weighted,
)
from llm_optimizers.routing.policy import Candidate, Choice, Policy, PolicyInput
from llm_optimizers.routing.request import Previous, RoutingContext
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.specs import ModelSpec, UserTier

if TYPE_CHECKING:
    from llm_optimizers.routing.cascade.break_even import CascadeLabel, calibrate_cascade
    from llm_optimizers.routing.experiments import Experiment
    from llm_optimizers.routing.learning.calibration import Calibration, calibrate
    from llm_optimizers.routing.policies.cascade import CascadePolicy
    from llm_optimizers.routing.policies.learned import LearnedPolicy

__all__ = [
    "Always",
    "Attempt",
    "ByTask",
    "Calibration",
    "Candidate",
    "CascadeLabel",
    "CascadePolicy",
    "Choice",
    "Decision",
    "DecisionRecord",
    "Experiment",
    "FastEnough",
    "FirstOf",
    "ForTier",
    "Health",
    "KeywordPolicy",
    "LearnedPolicy",
    "ModelSpec",
    "Policy",
    "PolicyInput",
    "Previous",
    "Router",
    "RoutingContext",
    "UserTier",
    "Weighted",
    "calibrate",
    "calibrate_cascade",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Calibration": "learning.calibration",
        "CascadePolicy": "policies.cascade",
        "Experiment": "experiments",
        "LearnedPolicy": "policies.learned",
        "CascadeLabel": "cascade.break_even",
        "calibrate": "learning.calibration",
        "calibrate_cascade": "cascade.break_even",
    },
    renamed={"Situation": "PolicyInput"},
)
