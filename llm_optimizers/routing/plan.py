"""Executes a decision: one plan for calls, fallbacks and escalation, sync and async alike.

The plan decides; `RoutedCall` (`routed_call.py`) calls models, waits and keeps the deadline. A
failed model cools down, models of its tier are called next and then stronger ones; a bad request
or key is raised at once. For a cascade the cheap answer is checked, and the strong model called
if it does not pass.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_optimizers.costs.context import CONTEXTS_BY_CALL, CallContext, Drafts, Role
from llm_optimizers.effects import Effect, Plan, RunFunction
from llm_optimizers.events import Notice, SampleBought, VerdictGiven, emit
from llm_optimizers.failures import Failure, WarningLog, read_failure
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.cascade.verifier import CheckResult, Judge
from llm_optimizers.routing.decision import Attempt, Decision, Outcome
from llm_optimizers.routing.health import Health
from llm_optimizers.routing.policy import Escalation
from llm_optimizers.types import ChatRequest, Clock

__all__ = ["AttemptLog", "CallModel", "Pause", "RoutedRequest", "serve"]

_CHECKING: tuple[Role, ...] = ("sample", "judge")
"""Roles of calls that only help to check an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel(Effect[Any]):
    """Call a model and return its reply, of whatever type the framework's replies are.

    `request` is None where the user's request is sent unchanged. The call is recorded under
    `context.id` (a UUID), so that the decision's record can name it. A call that takes longer
    than `timeout_s` raises TimeoutError.
    """

    model: str
    context: CallContext
    request: ChatRequest | None = None
    timeout_s: float | None = None

    @property
    def role(self) -> Role:
        """Why the model is called."""
        return self.context.role

    @property
    def call_id(self) -> str:
        """The id of the call's record in the ledger."""
        return self.context.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Effect[None]):
    """Wait for `seconds`."""

    seconds: float


@dataclass(slots=True)
class AttemptLog:
    """The calls made for a decision; kept outside the plan so that it survives a failure.

    `contexts` keeps the calls' contexts alive until the request is finished.
    """

    attempts: list[Attempt] = field(default_factory=list)
    contexts: list[CallContext] = field(default_factory=list)
    checks: dict[str, float] = field(default_factory=dict)

    def correct(self, call_id: str, outcome: Outcome, error: str = "") -> None:
        """Change the recorded outcome of a call."""
        self.attempts = [
            replace(each, outcome=outcome, error=error or each.error)
            if each.call_id == call_id
            else each
            for each in self.attempts
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequest:
    """One request's decision, state and settings, from its first call to its last.

    `call_context` is recorded with every call, such as the model it would go to without a router;
    `drafts` holds back the records of answers that may yet be discarded: a cascade's, or those
    that come after the deadline. `read` gives a cascade's checks the text of a reply; without it
    a draft is served unchecked. `deadline` is in seconds since the epoch, None for none.
    `longest_wait_s` limits the wait for a `Retry-After` once every model has failed.
    `first_call_id` is the caller's id for the first call.
    """

    decision: Decision
    request: ChatRequest
    call_context: CallContext
    drafts: Drafts | None
    health: Health
    clock: Clock
    warnings: WarningLog
    log: AttemptLog = field(default_factory=AttemptLog)
    read: Callable[[Any], ModelAnswer] | None = None
    deadline: float | None = None
    longest_wait_s: float = 10.0
    first_call_id: str | None = None

    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline, None without one."""
        return None if self.deadline is None else self.deadline - self.clock()

    def next_context(self, role: Role) -> CallContext:
        """Return the call context of the next call.

        Its id depends on the decision and the number of calls only, so that plans can be
        replayed. Inside another router's call an answer keeps the role that call has there, and
        every call made for a sample or a judge's grade counts as one.
        """
        number = len(self.log.contexts)
        named = self.first_call_id if number == 0 else None
        call_id = named or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.decision.id}/{number}"))
        first = self.log.contexts[0].run if self.log.contexts else call_id
        context = replace(self.call_context, id=call_id, run=self.call_context.run or first)
        if context.role in _CHECKING:
            pass
        elif role in _CHECKING:
            context = replace(context, role=role, drafts=None)
        else:
            context = replace(context, role=context.role if role == "answer" else role)
            if self.drafts is not None:
                context = replace(context, drafts=self.drafts, draft_id=call_id)
        CONTEXTS_BY_CALL[call_id] = context
        self.log.contexts.append(context)
        return context


def serve(routed: RoutedRequest) -> Plan[Any]:
    """Answer a request as decided.

    Raises:
        TimeoutError: the deadline passed before any model answered.
        The last model's error when all failed, or the first one that is not retryable.
    """
    decision, escalation = routed.decision, routed.decision.escalation
    role: Role = "answer" if escalation is None else "draft"
    order = (decision.model, *decision.fallbacks)
    model, reply = yield from _first_of(routed, order, role)
    drafted = routed.log.contexts[-1].id
    if escalation is None or routed.read is None or model != decision.model:
        return reply
    result = yield from _verify(routed, escalation, reply)
    routed.log.checks.update({**result.scores, "probability": result.probability})
    if result.accepted:
        return reply
    routed.log.correct(drafted, "escalated")
    try:
        order = _strong_models(routed, escalation.to)
        _, better = yield from _first_of(routed, order, "escalation")
    except Exception as error:
        if not routed.read(reply).text.strip():
            raise
        name = type(error).__name__
        message = f"escalation failed ({name}); the unverified answer is served"
        emit(Notice(component=__name__, message=message))
        routed.log.correct(drafted, "served")
        return reply
    return better


def _strong_models(routed: RoutedRequest, to: str) -> tuple[str, ...]:
    """Return the strong model, then the fallbacks that are no weaker."""
    strong = routed.decision.candidate(to)
    others = (routed.decision.candidate(name) for name in routed.decision.fallbacks)
    peers = [c.model for c in others if c and strong and c.rank >= strong.rank and c.model != to]
    return (to, *peers)


def _first_of(routed: RoutedRequest, order: Sequence[str], role: Role) -> Plan[tuple[str, Any]]:
    """Return the first model that answers, and its reply.

    If none does, waits once for the shortest `Retry-After` and calls that model again.
    """
    failures: dict[str, Failure] = {}
    last: Exception | None = None
    try:
        for model in order:
            _check_deadline(routed, last)
            try:
                reply = yield from _call(routed, model, role, failures)
            except Exception as error:
                if not failures[model].retryable:
                    raise
                last = error
            else:
                return model, reply
        soonest = _soonest(failures)
        assert last is not None, "an order names at least one model"
        left = routed.seconds_left()
        longest = routed.longest_wait_s if left is None else min(routed.longest_wait_s, left)
        if soonest is None or soonest[1] > longest:
            raise last
        model, seconds = soonest
        yield Pause(seconds=seconds)
        _check_deadline(routed, last)
        return model, (yield from _call(routed, model, role, failures))
    finally:
        del last  # The error's traceback would keep this frame alive in a reference cycle.


def _call(
    routed: RoutedRequest,
    model: str,
    role: Role,
    failures: dict[str, Failure],
    *,
    outcome: Outcome = "served",
    request: ChatRequest | None = None,
) -> Plan[Any]:
    """Call a model, and note the attempt in the log and in the model's health."""
    started = routed.clock()
    context = routed.next_context(role)

    def note(outcome: Outcome, error: str = "") -> None:
        routed.log.attempts.append(
            Attempt(model=model, outcome=outcome, at=started, error=error, call_id=context.id)
        )

    try:
        reply = yield CallModel(
            model=model, context=context, request=request, timeout_s=routed.seconds_left()
        )
    except Exception as error:
        now = routed.clock()
        failure = failures[model] = read_failure(error, now=now)
        note("failed", failure.name)
        if failure.retryable:
            routed.health.failed(model, now=now, retry_after_s=failure.retry_after_s)
        raise
    except BaseException as error:
        note("abandoned", type(error).__name__)
        raise
    note(outcome)
    routed.health.served(model)
    return reply


def _verify(routed: RoutedRequest, escalation: Escalation, reply: Any) -> Plan[CheckResult]:
    """Check a draft: gates first, then further samples, then a judge, each only if needed."""
    # A call that fails here rejects the draft: the strong model then answers.
    assert routed.read is not None, "cascades are only chosen where answers can be read"
    verifier = escalation.verifier
    answers = [routed.read(reply)]
    # A user's check may take long: it runs outside the event loop.
    gates = yield from RunFunction(lambda: verifier.gates(routed.request, answers[0]))
    # No answer at all is never accepted, whatever the verifier's own checks say of it.
    if 0.0 in gates.values() or answers[0].is_empty:
        return CheckResult(accepted=False, probability=0.0, scores=gates)
    for name in escalation.samples:
        try:
            sample = yield from _call(routed, name, "sample", {}, outcome="sampled")
        except Exception:  # noqa: BLE001 - fail closed: the strong model answers
            return CheckResult(accepted=False, probability=0.0, scores=gates)
        emit(SampleBought(component=__name__, id=routed.log.contexts[-1].id, model=name))
        answers.append(routed.read(sample))
    grade = None
    if verifier.judge is not None:
        grade = yield from _judge(routed, verifier.judge, answers[0])
    result = yield from RunFunction(lambda: verifier.verify(routed.request, answers, grade=grade))
    if verifier.judge is not None and grade is not None:
        emit(
            VerdictGiven(
                component=__name__,
                model=routed.decision.model,
                judge=verifier.judge.model,
                score=grade,
                accepted=result.accepted,
            )
        )
    return result


def _judge(routed: RoutedRequest, judge: Judge, answer: ModelAnswer) -> Plan[float | None]:
    """Return the judge's grade, None if it fails: the draft is then rejected."""
    assert routed.read is not None, "cascades are only chosen where answers can be read"
    request = judge.request(routed.request, answer)
    try:
        reply = yield from _call(
            routed, judge.model, "judge", {}, outcome="sampled", request=request
        )
        grade = judge.read(routed.read(reply).text)
    except Exception as error:  # noqa: BLE001 - fail closed: the strong model answers
        name = type(error).__name__
        routed.warnings.warn_once(__name__, f"the judge failed ({name}); the strong model answers")
        return None
    if grade is None:
        routed.warnings.warn_once(
            __name__, "the judge's reply could not be read; the strong model answers"
        )
    return grade


def _check_deadline(routed: RoutedRequest, last: Exception | None) -> None:
    left = routed.seconds_left()
    if left is not None and left <= 0:
        tried = ", ".join(f"{a.model} ({a.error})" for a in routed.log.attempts) or "none"
        raise TimeoutError(
            f"no model answered within the deadline; tried: {tried}. Allow more time, or give the "
            "models shorter timeouts and fewer retries"
        ) from last


def _soonest(failures: Mapping[str, Failure]) -> tuple[str, float] | None:
    """Return the model with the shortest `Retry-After`, in seconds; None if none sent one."""
    waits = [(m, f.retry_after_s) for m, f in failures.items() if f.retry_after_s is not None]
    return min(waits, key=lambda wait: wait[1], default=None)
