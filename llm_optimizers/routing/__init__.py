"""Routing: send each request to the cheapest model that answers it well enough, and prove it.

    specs.py, tiers.py   what is known of models, and of kinds of users
    needs.py, candidates.py  hard filters: who can take a request, and what it would cost
    router.py            Router: decides (deciding.py) and records (decision.py)
    policies/            who should: simple rules, keywords, learned, cascade
    serving.py, shells.py  carrying a decision out: fallbacks, deadline, escalation
    checks.py, verifying.py, worth.py  a cascade's checks, their verdict, whether it pays
    traffic.py, labels.py  from traffic to labels
    calibration.py, gate.py  from labels to a router that may act, or to the reason it may not
    features.py, gains.py, topics.py, trees.py, linear.py  the learned scorer
    artefact.py, explaining.py  its file, and why it predicts what it does
    experiments.py, comparison.py, drift.py  policies side by side, and changed traffic

Start with `Router`, which decides over `ModelSpec`s with a policy; without one everything goes to
the safe model. What needs numpy is imported when it is first named.
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
from llm_optimizers.routing.request import Previous, RoutingContext
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.situation import Candidate, Choice, Policy, Situation
from llm_optimizers.routing.specs import ModelSpec, UserTier

if TYPE_CHECKING:
    from llm_optimizers.routing.experiments.experiment import Experiment
    from llm_optimizers.routing.learning.calibration import Calibration, calibrate
    from llm_optimizers.routing.policies.cascade import CascadePolicy
    from llm_optimizers.routing.policies.learned import LearnedPolicy

__all__ = [
    "Always",
    "Attempt",
    "ByTask",
    "Calibration",
    "Candidate",
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
    "Previous",
    "Router",
    "RoutingContext",
    "Situation",
    "UserTier",
    "Weighted",
    "calibrate",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Calibration": "learning.calibration",
        "CascadePolicy": "policies.cascade",
        "Experiment": "experiments.experiment",
        "LearnedPolicy": "policies.learned",
        "calibrate": "learning.calibration",
    },
)
