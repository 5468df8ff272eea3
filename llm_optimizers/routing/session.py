"""Carrying a decision out: one plan for calls, fallbacks and escalation, whoever performs it.

The plan decides; a shell calls models, waits and watches the clock. A failed model rests, its
siblings are asked and then stronger models; a bad request or key is told at once. When a cascade
was chosen the cheap answer is checked, and the strong model asked if it does not pass.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from llm_optimizers.effects import Effect, Plan
from llm_optimizers.failures import Failure, read_failure
from llm_optimizers.routing.cascade.checks import Answer
from llm_optimizers.routing.cascade.verifier import Judge, Verdict
from llm_optimizers.routing.decision import Attempt, Decision, DecisionRecord, Outcome
from llm_optimizers.routing.health import Health
from llm_optimizers.routing.situation import Escalation
from llm_optimizers.routing.telling import Once
from llm_optimizers.types import ChatRequest, Clock

__all__ = ["CallModel", "Course", "Pause", "Role", "Trail", "serve"]

_log = logging.getLogger(__name__)

Role: TypeAlias = Literal["answer", "draft", "sample", "judge", "escalation"]
"""Why a model is called: `draft` is a cheap answer that may yet be thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel(Effect[Any]):
    """Ask a model and give back its reply, whatever the shell's replies are.

    `request` is None where the request is to be passed on as it came. `call_id` is a UUID under
    which the call is to be recorded, so that the decision's record can name it. A reply that
    takes longer than `timeout_s` is to be given up with a TimeoutError.
    """

    model: str
    role: Role
    call_id: str
    request: ChatRequest | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Effect[None]):
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What holds for one request from its first call to its last.

    `until` is when the caller's patience ends (seconds since the epoch), None for never.
    `patience_s` bounds a wait for a `Retry-After` once every model has failed. `first_call_id` is
    the caller's own id for the first call.
    """

    decision: Decision
    request: ChatRequest
    trail: Trail
    health: Health
    clock: Clock
    once: Once
    read: Callable[[Any], Answer] | None = None
    until: float | None = None
    patience_s: float = 10.0
    first_call_id: str | None = None

    def left(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self.until is None else self.until - self.clock()

    def next_call_id(self) -> str:
        """The same for the same decision and number of calls, so that plans can be replayed."""
        number = len(self.trail.attempts)
        if number == 0 and self.first_call_id is not None:
            return self.first_call_id
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.decision.id}/{number}"))


def serve(course: Course) -> Plan[Any]:
    """Answer a request as decided.

    Raises:
        TimeoutError: the deadline passed before any model answered.
        The last model's error when all failed, or the first that nothing else could mend.
    """
    decision, escalation = course.decision, course.decision.escalation
    drafted: Role = "answer" if escalation is None else "draft"
    order = (decision.model, *decision.fallbacks)
    model, reply = yield from _first_of(course, order, drafted)
    if escalation is None or course.read is None or model != decision.model:
        return reply
    verdict = yield from _verify(course, escalation, reply)
    course.trail.checks.update({**verdict.scores, "probability": verdict.probability})
    if verdict.accepted:
        return reply
    course.trail.correct(model, "escalated")
    try:
        _, better = yield from _first_of(course, _upwards(course, escalation.to), "escalation")
    except Exception as error:
        if not course.read(reply).text.strip():
            raise
        _log.warning("escalation failed (%s); the unverified answer is given", type(error).__name__)
        course.trail.correct(model, "served")
        return reply
    return better


def _upwards(course: Course, to: str) -> tuple[str, ...]:
    """The strong model, then those that are no weaker."""
    strong = course.decision.candidate(to)
    others = (course.decision.candidate(name) for name in course.decision.fallbacks)
    peers = [c.model for c in others if c and strong and c.rung >= strong.rung and c.model != to]
    return (to, *peers)


def _first_of(course: Course, order: Sequence[str], role: Role) -> Plan[tuple[str, Any]]:
    """The first model of the order that answers; waits once for a `Retry-After` if none does."""
    failures: dict[str, Failure] = {}
    last: Exception | None = None
    for model in order:
        _check_time(course, last)
        try:
            reply = yield from _call(course, model, role, failures)
        except Exception as error:
            if not failures[model].retryable:
                raise
            last = error
        else:
            return model, reply
    soonest = _soonest(failures)
    assert last is not None, "an order names at least one model"
    if soonest is None or soonest[1] > min(course.patience_s, course.left() or course.patience_s):
        raise last
    model, seconds = soonest
    yield from Pause(seconds=seconds)
    _check_time(course, last)
    return model, (yield from _call(course, model, role, failures))


def _call(
    course: Course,
    model: str,
    role: Role,
    failures: dict[str, Failure],
    *,
    noted: Outcome = "served",
    request: ChatRequest | None = None,
) -> Plan[Any]:
    """One call, noted in the trail and in the model's health."""
    started = course.clock()
    call_id = course.next_call_id()

    def note(outcome: Outcome, error: str = "") -> None:
        course.trail.add(
            Attempt(model=model, outcome=outcome, at=started, error=error, call_id=call_id)
        )

    try:
        reply = yield from CallModel(
            model=model, role=role, call_id=call_id, request=request, timeout_s=course.left()
        )
    except Exception as error:
        now = course.clock()
        failure = failures[model] = read_failure(error, now=now)
        note("failed", failure.name)
        if failure.retryable:
            course.health.failed(model, now=now, retry_after_s=failure.retry_after_s)
        raise
    except BaseException as error:
        note("abandoned", type(error).__name__)
        raise
    note(noted)
    course.health.served(model)
    return reply


def _verify(course: Course, escalation: Escalation, reply: Any) -> Plan[Verdict]:
    """Check a draft: gates first, then further samples, then a judge, each only if needed."""
    assert course.read is not None, "cascades are only chosen where answers can be read"
    verifier = escalation.verifier
    answers = [course.read(reply)]
    gates = verifier.gates(course.request, answers[0])
    if 0.0 in gates.values():
        return Verdict(accepted=False, probability=0.0, scores=gates)
    for name in escalation.samples:
        try:
            sample = yield from _call(course, name, "sample", {}, noted="sampled")
        except Exception:  # noqa: BLE001 - without a second opinion the strong model decides
            return Verdict(accepted=False, probability=0.0, scores=gates)
        answers.append(course.read(sample))
    judged = None
    if verifier.judge is not None:
        judged = yield from _judge(course, verifier.judge, answers[0])
    return verifier.verdict(course.request, answers, judged=judged)


def _judge(course: Course, judge: Judge, answer: Answer) -> Plan[float | None]:
    """The judge's grade, or None when the judge fails: then nobody vouches for the draft."""
    assert course.read is not None, "cascades are only chosen where answers can be read"
    request = judge.request(course.request, answer)
    try:
        reply = yield from _call(course, judge.model, "judge", {}, noted="sampled", request=request)
        grade = judge.read(course.read(reply).text)
    except Exception as error:  # noqa: BLE001 - fail closed: the strong model serves
        name = type(error).__name__
        course.once.warn(_log, f"the judge failed ({name}); the strong model serves")
        return None
    if grade is None:
        course.once.warn(_log, "the judge's reply could not be read; the strong model serves")
    return grade


def _check_time(course: Course, last: Exception | None) -> None:
    left = course.left()
    if left is not None and left <= 0:
        tried = ", ".join(f"{a.model} ({a.error})" for a in course.trail.attempts) or "none"
        raise TimeoutError(
            f"no model answered within the deadline; tried: {tried}. Give it more time, or the "
            "models shorter timeouts and fewer retries of their own"
        ) from last


def _soonest(failures: Mapping[str, Failure]) -> tuple[str, float] | None:
    """The model that asked for the shortest wait, if any did."""
    waits = [(m, f.retry_after_s) for m, f in failures.items() if f.retry_after_s is not None]
    return min(waits, key=lambda wait: wait[1], default=None)


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
