"""What was decided and why: the values that leave the router.

A Decision is taken before any money is spent; a DecisionRecord adds what came of it and goes to
the ledger. Neither holds prompt or answer text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from llm_optimizers.lazy import renamed_attributes
from llm_optimizers.routing.policy import Candidate, Choice, Escalation
from llm_optimizers.routing.request import Requirements

__all__ = [
    "DECISION_NOTE",
    "DRIFT_NOTE",
    "FEEDBACK_NOTE",
    "Attempt",
    "Decision",
    "DecisionRecord",
    "Outcome",
]

DECISION_NOTE = "routing.decision"
"""The kind under which decision records lie in the ledger."""
FEEDBACK_NOTE = "routing.feedback"
"""The kind under which the worth of served answers lies there."""
DRIFT_NOTE = "routing.drift"
"""The kind of an alarm that requests have changed."""

Outcome: TypeAlias = Literal["served", "failed", "escalated", "sampled", "abandoned"]


@renamed_attributes(needs="requirements")
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a request goes and why.

    `baseline` is the model that would have served it without a router: the counterfactual all
    savings are counted against. `fallbacks` are tried in order when `model` fails. `escalation` is
    the cascade to run, if the choice stood and is one.
    """

    id: str
    time: float
    model: str
    baseline: str
    reason: str
    choice: Choice
    candidates: tuple[Candidate, ...]
    fallbacks: tuple[str, ...]
    requirements: Requirements
    escalation: Escalation | None = None
    user: str = ""
    session: str = ""
    tier: str = ""
    task: str = ""

    def candidate(self, model: str) -> Candidate | None:
        """The entry of one model, None if the router has no such model."""
        return next((c for c in self.candidates if c.model == model), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call made for a decision.

    `error` is a class name; `at` seconds since the epoch; `call_id` the id under which the call
    itself lies in the ledger.
    """

    model: str
    outcome: Outcome
    at: float
    error: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision and the calls it led to, ready for the ledger."""

    decision: Decision
    attempts: tuple[Attempt, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)

    @property
    def served_by(self) -> str | None:
        """The model whose answer was given, None when every one failed."""
        return next((a.model for a in self.attempts if a.outcome == "served"), None)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON-like values; dollars are strings, so that no digit is lost."""
        decision, choice = self.decision, self.decision.choice
        return {
            "decision_id": decision.id,
            "time": decision.time,
            "model": decision.model,
            "served_by": self.served_by,
            "baseline": decision.baseline,
            "reason": decision.reason,
            "policy": choice.policy,
            "policy_version": choice.version,
            "scores": dict(choice.scores),
            "threshold": choice.threshold,
            "propensity": choice.propensity,
            "experiment": choice.experiment,
            "arm": choice.arm,
            "control": choice.control,
            "user": decision.user,
            "session": decision.session,
            "tier": decision.tier,
            "task": decision.task,
            "input_tokens": decision.requirements.input_tokens,
            "needs": sorted(decision.requirements.capabilities),
            "candidates": [_candidate(candidate) for candidate in decision.candidates],
            "attempts": [
                {
                    "model": a.model,
                    "outcome": a.outcome,
                    "at": a.at,
                    "error": a.error,
                    "call_id": a.call_id,
                }
                for a in self.attempts
            ],
            "checks": dict(self.checks),
        }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "model": candidate.model,
        "expected_cost": _dollars(candidate.expected_cost),
        "rejected": candidate.rejected,
    }


def _dollars(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
