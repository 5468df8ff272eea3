"""Routing: send each request to the cheapest model that answers it well enough, and prove it.

Start with `Router`, which decides over `ModelSpec`s with a policy; without one everything goes to
the safe model. `policies` holds the choices, `UserTier` the bounds for kinds of users.
"""

from __future__ import annotations

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
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.situation import (
    Candidate,
    Choice,
    Policy,
    Previous,
    RoutingContext,
    Situation,
)
from llm_optimizers.routing.specs import ModelSpec
from llm_optimizers.routing.tiers import UserTier

__all__ = [
    "Always",
    "Attempt",
    "ByTask",
    "Candidate",
    "Choice",
    "Decision",
    "DecisionRecord",
    "FastEnough",
    "FirstOf",
    "ForTier",
    "Health",
    "KeywordPolicy",
    "ModelSpec",
    "Policy",
    "Previous",
    "Router",
    "RoutingContext",
    "Situation",
    "UserTier",
    "Weighted",
]
