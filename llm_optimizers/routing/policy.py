"""The Policy protocol: its input, its choice, and the candidates it chooses from.

Kept apart from the router so that a policy is a small class with one method, tested by calling it
with a PolicyInput.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from types import NoneType
from typing import Protocol

from llm_optimizers.arguments import Kinds, fields, with_methods
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
    "checked_policy",
]


@renamed_attributes(rung="rank")
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model as a candidate for one request.

    `expected_cost` is in dollars, None if no price is known; it counts what the provider's
    prompt cache still holds for the previous model. `rank` is the model's strength, higher is
    stronger. `rejected` says why the model cannot serve, None if it can.
    """

    model: str
    rank: int
    expected_cost: Decimal | None = None
    latency_s: float | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """The second half of a cascade: the model to call when the first answer fails its checks.

    `samples` are further cheap models, called first so that the `verifier` can compare answers.
    """

    to: str
    verifier: Verifier
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model a policy chose, and why.

    `propensity` is the probability with which this model was drawn. `experiment`, `arm` and
    `control` (the control's arm) are set by an experiment.
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

    def __post_init__(self) -> None:
        fields(self, _CHOICE)


_CHOICE: Mapping[str, Kinds] = {
    **dict.fromkeys(("model", "policy", "reason", "version", "experiment", "arm", "control"), str),
    "scores": (dict, Mapping),
    "threshold": (float, Real, NoneType),
    "propensity": (float, Real),
    "escalation": (Escalation, NoneType),
}


@renamed_attributes(needs="requirements")
@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInput:
    """What a policy decides on: a request and the models that can serve it, weakest first.

    `now` is in seconds since the epoch; `draw` returns a number uniform in [0, 1).
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
        """The user's last message: the same text through all steps of a tool loop."""
        for message in reversed(self.request.messages):
            if message.role == "user":
                return message.text
        return self.request.messages[-1].text if self.request.messages else ""

    def has(self, model: str) -> bool:
        """Return whether a model is among the candidates."""
        return any(candidate.model == model for candidate in self.candidates)


class Policy(Protocol):
    """Chooses among the candidates, or abstains with None so that the next policy is asked."""

    def choose(self, policy_input: PolicyInput, /) -> Choice | None:
        """Return a choice among the input's candidates, or None to abstain."""
        ...


def checked_policy(name: str, policy: object) -> Policy:
    """Return a policy, if it is one.

    Raises:
        ConfigurationError: it is not; `name` is the argument's.
    """
    give = "a policy, such as Always('gpt-4o') or KeywordPolicy(…)"
    checked: Policy = with_methods(name, policy, "choose", give=give)
    return checked


def check_policies(policies: Iterable[Policy], model_tiers: ModelTiers) -> None:
    """Call the `check` of every policy that has one, to validate it against the router's models.

    Raises:
        ConfigurationError: a policy names a model the router does not have.
    """
    for policy in policies:
        check = getattr(policy, "check", None)
        if check is not None:
            check(model_tiers)


def cheapest(candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the candidate of least expected cost; unpriced ones last, ties to the weaker."""

    def key(candidate: Candidate) -> tuple[bool, Decimal, int]:
        cost = candidate.expected_cost
        return (cost is None, cost or Decimal(0), candidate.rank)

    return min(candidates, key=key)
