"""What a policy sees when it chooses, and what it answers.

Kept apart from the router so that a policy is a small class with one verb, tested by handing it
a Situation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from llm_optimizers.lazy import renamed_attributes
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.routing.request import Requirements, RoutingContext
from llm_optimizers.routing.specs import ModelTiers
from llm_optimizers.types import ChatRequest

__all__ = [
    "Candidate",
    "Choice",
    "Escalation",
    "Policy",
    "PolicyInput",
    "cheapest",
    "check_policies",
]


@renamed_attributes(rung="rank")
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model as seen by one request.

    `expected_cost` is in dollars, None when no price is known; it counts what the provider's
    prompt cache still holds for the previous model. `rejected` says why the model fell, None
    while it is in the running.
    """

    model: str
    rank: int
    expected_cost: Decimal | None = None
    latency_s: float | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """A cascade's second half: whom to ask when the first answer does not pass.

    `samples` are further cheap models asked for a second opinion before the verdict, which is
    the `verifier`'s.
    """

    to: str
    verifier: Verifier
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A policy's answer.

    `propensity` is the probability with which this model was drawn. Of an experiment it says the
    arm, and which arm is the control.
    """

    model: str
    policy: str
    reason: str
    version: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    propensity: float = 1.0
    experiment: str = ""
    arm: str = ""
    control: str = ""
    escalation: Escalation | None = None


@renamed_attributes(needs="requirements")
@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInput:
    """A request and the models that may serve it, weakest first.

    `now` is in seconds since the epoch; `draw` gives a number that is uniform in [0, 1).
    """

    request: ChatRequest
    context: RoutingContext
    requirements: Requirements
    candidates: tuple[Candidate, ...]
    safe: str
    now: float
    draw: Callable[[], float]

    @property
    def question(self) -> str:
        """The last thing the user wrote: the same text through all steps of a tool loop."""
        for message in reversed(self.request.messages):
            if message.role == "user":
                return message.text
        return self.request.messages[-1].text if self.request.messages else ""

    def has(self, model: str) -> bool:
        """Whether a model is in the running."""
        return any(candidate.model == model for candidate in self.candidates)


class Policy(Protocol):
    """Chooses among the candidates, or abstains with None so that the next policy is asked."""

    def choose(self, policy_input: PolicyInput, /) -> Choice | None:
        """Return a choice among the input's candidates, or None to abstain."""
        ...


def check_policies(policies: Iterable[Policy], model_tiers: ModelTiers) -> None:
    """Let every policy that has a `check` make sure that the router suits it.

    Raises:
        ConfigurationError: a policy names a model the router does not have.
    """
    for policy in policies:
        check = getattr(policy, "check", None)
        if check is not None:
            check(model_tiers)


def cheapest(candidates: tuple[Candidate, ...]) -> Candidate:
    """The least expected cost; unpriced models come last, ties go to the weaker model."""

    def key(candidate: Candidate) -> tuple[bool, Decimal, int]:
        cost = candidate.expected_cost
        return (cost is None, cost or Decimal(0), candidate.rank)

    return min(candidates, key=key)
