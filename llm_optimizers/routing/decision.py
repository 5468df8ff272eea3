"""The router's decisions and their records.

A Decision is made before any money is spent; a DecisionRecord adds the calls that followed and is
written to the ledger. Neither holds prompt or answer text.
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
"""The kind of decision records in the ledger."""
FEEDBACK_NOTE = "routing.feedback"
"""The kind of users' scores of served answers."""
DRIFT_NOTE = "routing.drift"
"""The kind of alarms that requests have changed."""

Outcome: TypeAlias = Literal["served", "failed", "escalated", "sampled", "abandoned"]


@renamed_attributes(needs="requirements")
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which model serves a request and why.

    `baseline` is the model that would have served it without a router: savings are counted
    against it. `fallbacks` are tried in order when `model` fails. `escalation` is the cascade to
    run, None if the policy chose none or the router changed its choice.
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
        """Return the candidate of one model, None if the router has no such model."""
        return next((c for c in self.candidates if c.model == model), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call made for a decision.

    `error` is the error's class name; `at` is in seconds since the epoch; `call_id` is the id of
    the call's own record in the ledger.
    """

    model: str
    outcome: Outcome
    at: float
    error: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision and the calls made for it, ready for the ledger."""

    decision: Decision
    attempts: tuple[Attempt, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)

    @property
    def served_by(self) -> str | None:
        """The model whose answer was served, None if all failed."""
        return next((a.model for a in self.attempts if a.outcome == "served"), None)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; dollars are strings, so that no digit is lost."""
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
