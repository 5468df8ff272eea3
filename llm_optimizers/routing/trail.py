"""What happened while a decision was carried out: every call with its outcome, and the checks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llm_optimizers.routing.decision import Attempt, Decision, DecisionRecord, Outcome

__all__ = ["Trail"]


@dataclass(slots=True)
class Trail:
    """What happened on the way; kept outside the plan so that it survives a failure."""

    attempts: list[Attempt] = field(default_factory=list)
    checks: dict[str, float] = field(default_factory=dict)

    def add(self, attempt: Attempt) -> None:
        """Note one call."""
        self.attempts.append(attempt)

    def correct(self, model: str, outcome: Outcome) -> None:
        """Change the outcome of a model's last call, once it is known what came of it."""
        for number in reversed(range(len(self.attempts))):
            if self.attempts[number].model == model:
                self.attempts[number] = replace(self.attempts[number], outcome=outcome)
                return

    def record(self, decision: Decision) -> DecisionRecord:
        """The decision with what came of it."""
        return DecisionRecord(
            decision=decision, attempts=tuple(self.attempts), checks=dict(self.checks)
        )
