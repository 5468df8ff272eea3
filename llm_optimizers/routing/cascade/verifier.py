"""Combines checks into one result: accept a cheap answer, or call the strong model.

Gates run first, since they cost nothing; then further samples and a judge. A fitted verifier
combines the scores by logistic regression; one that was not fitted uses the lowest score.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from llm_optimizers.arguments import (
    function,
    instance,
    keep,
    number,
    optional,
    scores,
    sequence,
    text,
    with_methods,
)
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import WarningLog
from llm_optimizers.routing.cascade.checks import Check, ModelAnswer
from llm_optimizers.types import ChatRequest, Message

__all__ = ["CheckResult", "Judge", "Verifier", "checked_check"]


JUDGE_INSTRUCTIONS = (
    "You check an assistant's answer. Judge whether it answers the request correctly and "
    "completely. Reply with one number from 0 (wrong or unusable) to 10 (right and complete) and "
    "nothing else."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A model of the router that grades answers.

    `read` turns its reply into a grade from 0 to 1, None if there is none in it.
    """

    model: str
    instructions: str = JUDGE_INSTRUCTIONS
    read: Callable[[str], float | None] = field(default=lambda text: _grade(text))

    def __post_init__(self) -> None:
        text("model", self.model)
        text("instructions", self.instructions)
        function("read", self.read)

    def request(self, request: ChatRequest, answer: ModelAnswer) -> ChatRequest:
        """Return the judge's request: the conversation's last question and the answer."""
        question = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
        text = f"<request>\n{question}\n</request>\n<answer>\n{answer.text}\n</answer>"
        return ChatRequest(
            messages=(
                Message(role="system", content=self.instructions),
                Message(role="user", content=text),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Whether an answer is accepted, with its probability of being right and its scores."""

    accepted: bool
    probability: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Checks and their weights.

    Without `weights` the lowest score is the probability. With them it is the logistic function
    of `bias` plus the weighted scores; a check that does not apply scores 0.5. An answer is
    accepted from `threshold` on.
    """

    checks: tuple[Check, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    bias: float = 0.0
    threshold: float = 0.5
    judge: Judge | None = None
    warnings: WarningLog = field(default_factory=WarningLog, repr=False, compare=False)

    def __post_init__(self) -> None:
        keep(self, "checks", sequence("checks", self.checks, object))
        for at, check in enumerate(self.checks):
            checked_check(f"checks[{at}]", check)
        keep(self, "weights", scores("weights", self.weights))
        keep(self, "bias", number("bias", self.bias))
        keep(self, "threshold", number("threshold", self.threshold))
        optional(instance, "judge", self.judge, Judge)
        names = [check.name for check in self.checks]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"two checks have the same name: {', '.join(sorted(names))}")
        known = {*names, "judge"} if self.judge else set(names)
        if set(self.weights) - known:
            raise ConfigurationError(
                f"weights for checks that do not exist: {sorted(set(self.weights) - known)}"
            )

    def gates(self, request: ChatRequest, answer: ModelAnswer) -> dict[str, float]:
        """Return the scores of the gates for one answer."""
        return self._scores([c for c in self.checks if c.gate], request, [answer])

    def verify(
        self, request: ChatRequest, answers: Sequence[ModelAnswer], *, grade: float | None = None
    ) -> CheckResult:
        """Check the first answer, given the further ones and the judge's grade."""
        scores = self._scores(self.checks, request, answers)
        if grade is not None:
            scores["judge"] = grade
        elif self.judge is not None:
            return CheckResult(accepted=False, probability=0.0, scores=scores)
        gated = any(c.gate and scores.get(c.name) == 0.0 for c in self.checks)
        probability = 0.0 if gated else self.probability(scores)
        return CheckResult(
            accepted=probability >= self.threshold, probability=probability, scores=scores
        )

    def probability(self, scores: Mapping[str, float]) -> float:
        """Return the probability that an answer with these scores is right, without the gates."""
        if not self.weights:
            return min(scores.values(), default=0.0)
        total = sum(weight * scores.get(name, 0.5) for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-max(min(self.bias + total, 60.0), -60.0)))

    def _scores(
        self, checks: Sequence[Check], request: ChatRequest, answers: Sequence[ModelAnswer]
    ) -> dict[str, float]:
        """Return scores by check; a check that raises gets 0, so that the strong model answers."""
        found: dict[str, float] = {}
        for check in checks:
            try:
                score = check.score(request, answers)
            except Exception as error:  # noqa: BLE001 - fail closed, whatever a check raises
                name = type(error).__name__
                text = f"check {check.name} failed ({name}); not trusted"
                self.warnings.warn_once(__name__, text)
                score = 0.0
            if score is not None:
                found[check.name] = score
        return found


def checked_check(name: str, check: object) -> Check:
    """Return a check, if it is one.

    Raises:
        ConfigurationError: it is not; `name` is the argument's.
    """
    give = "a check, such as NotEmpty() or Agreement()"
    checked: Check = with_methods(name, check, "score", give=give)
    return checked


_GRADE = re.compile(r"-?\d+(?:\.\d+)?")


def _grade(text: str) -> float | None:
    """Return the reply's first number, divided by 10 ("8", "8/10"); None if not from 0 to 10."""
    match = _GRADE.search(text)
    grade = float(match.group()) / 10 if match else math.inf
    return grade if 0 <= grade <= 1 else None
