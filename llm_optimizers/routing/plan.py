"""Carrying a decision out: one plan for calls, fallbacks and escalation, sync and async alike.

The plan decides; the session (`session.py`) calls models, waits and watches the clock. A failed
model cools down, its siblings are asked and then stronger models; a bad request or key is raised
at once. When a cascade was chosen the cheap answer is checked, and the strong model asked if it
does not pass.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_optimizers.costs.context import CONTEXTS_BY_CALL, CallContext, Drafts, Role
from llm_optimizers.effects import Effect, Plan
from llm_optimizers.failures import Failure, WarningLog, read_failure
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.cascade.verifier import CheckResult, Judge
from llm_optimizers.routing.decision import Attempt, Decision, Outcome
from llm_optimizers.routing.health import Health
from llm_optimizers.routing.policy import Escalation
from llm_optimizers.types import ChatRequest, Clock

__all__ = ["AttemptLog", "CallModel", "Pause", "RoutedRequest", "serve"]

_log = logging.getLogger(__name__)
_OPINIONS: tuple[Role, ...] = ("sample", "judge")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel(Effect[Any]):
    """Ask a model and give back its reply, whatever the framework's replies are.

    `request` is None where the request is to be passed on as it came. `context.id` is a UUID
    under which the call is to be recorded, so that the decision's record can name it. A reply
    that takes longer than `timeout_s` is to be given up with a TimeoutError.
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
        """The call's id in the account."""
        return self.context.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Effect[None]):
    """Wait for so many seconds."""

    seconds: float


@dataclass(slots=True)
class AttemptLog:
    """The calls made for a decision; kept outside the plan so that it survives a failure.

    `contexts` keeps what the account is to know of them alive until the request is finished.
    """

    attempts: list[Attempt] = field(default_factory=list)
    contexts: list[CallContext] = field(default_factory=list)
    checks: dict[str, float] = field(default_factory=dict)

    def correct(self, call_id: str, outcome: Outcome, error: str = "") -> None:
        """Change the outcome of a call, once it is known what came of it."""
        self.attempts = [
            replace(each, outcome=outcome, error=error or each.error)
            if each.call_id == call_id
            else each
            for each in self.attempts
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequest:
    """What holds for one request from its first call to its last.

    `account` is what the account knows of the whole request, such as the model it would go to
    without a router; `drafts` holds the records of answers that may yet be thrown away, a
    cascade's or those that come after the deadline. `read` lets a cascade look into a reply;
    without it a draft stands unchecked. `until` is the deadline
    (seconds since the epoch), None for none. `longest_wait_s` bounds a wait for a `Retry-After`
    once every model has failed. `first_call_id` is the caller's own id for the first call.
    """

    decision: Decision
    request: ChatRequest
    account: CallContext
    drafts: Drafts | None
    health: Health
    clock: Clock
    warnings: WarningLog
    log: AttemptLog = field(default_factory=AttemptLog)
    read: Callable[[Any], ModelAnswer] | None = None
    until: float | None = None
    longest_wait_s: float = 10.0
    first_call_id: str | None = None

    def left(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self.until is None else self.until - self.clock()

    def next_context(self, role: Role) -> CallContext:
        """What the account is to know of the next call.

        Its id is the same for the same decision and number of calls, so that plans can be
        replayed. An answer to a router around this one has the role it has there, and all that
        is done for its second opinions is done for those.
        """
        number = len(self.log.contexts)
        named = self.first_call_id if number == 0 else None
        call_id = named or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.decision.id}/{number}"))
        context = replace(self.account, id=call_id)
        if context.role in _OPINIONS:
            pass
        elif role in _OPINIONS:
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
        The last model's error when all failed, or the first that nothing else could mend.
    """
    decision, escalation = routed.decision, routed.decision.escalation
    role: Role = "answer" if escalation is None else "draft"
    order = (decision.model, *decision.fallbacks)
    model, reply = yield from _first_of(routed, order, role)
    drafted = routed.log.contexts[-1].id
    if escalation is None or routed.read is None or model != decision.model:
        return reply
    verdict = yield from _verify(routed, escalation, reply)
    routed.log.checks.update({**verdict.scores, "probability": verdict.probability})
    if verdict.accepted:
        return reply
    routed.log.correct(drafted, "escalated")
    try:
        _, better = yield from _first_of(routed, _upwards(routed, escalation.to), "escalation")
    except Exception as error:
        if not routed.read(reply).text.strip():
            raise
        _log.warning("escalation failed (%s); the unverified answer is given", type(error).__name__)
        routed.log.correct(drafted, "served")
        return reply
    return better


def _upwards(routed: RoutedRequest, to: str) -> tuple[str, ...]:
    """The strong model, then those that are no weaker."""
    strong = routed.decision.candidate(to)
    others = (routed.decision.candidate(name) for name in routed.decision.fallbacks)
    peers = [c.model for c in others if c and strong and c.rank >= strong.rank and c.model != to]
    return (to, *peers)


def _first_of(routed: RoutedRequest, order: Sequence[str], role: Role) -> Plan[tuple[str, Any]]:
    """The first model of the order that answers; waits once for a `Retry-After` if none does."""
    failures: dict[str, Failure] = {}
    last: Exception | None = None
    try:
        for model in order:
            _check_time(routed, last)
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
        longest = min(routed.longest_wait_s, routed.left() or routed.longest_wait_s)
        if soonest is None or soonest[1] > longest:
            raise last
        model, seconds = soonest
        yield Pause(seconds=seconds)
        _check_time(routed, last)
        return model, (yield from _call(routed, model, role, failures))
    finally:
        del last  # An error that is kept here keeps all frames alive that it passed through.


def _call(
    routed: RoutedRequest,
    model: str,
    role: Role,
    failures: dict[str, Failure],
    *,
    noted: Outcome = "served",
    request: ChatRequest | None = None,
) -> Plan[Any]:
    """One call, noted in the log and in the model's health."""
    started = routed.clock()
    context = routed.next_context(role)

    def note(outcome: Outcome, error: str = "") -> None:
        routed.log.attempts.append(
            Attempt(model=model, outcome=outcome, at=started, error=error, call_id=context.id)
        )

    try:
        reply = yield CallModel(
            model=model, context=context, request=request, timeout_s=routed.left()
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
    note(noted)
    routed.health.served(model)
    return reply


def _verify(routed: RoutedRequest, escalation: Escalation, reply: Any) -> Plan[CheckResult]:
    """Check a draft: gates first, then further samples, then a judge, each only if needed."""
    assert routed.read is not None, "cascades are only chosen where answers can be read"
    verifier = escalation.verifier
    answers = [routed.read(reply)]
    gates = verifier.gates(routed.request, answers[0])
    if 0.0 in gates.values():
        return CheckResult(accepted=False, probability=0.0, scores=gates)
    for name in escalation.samples:
        try:
            sample = yield from _call(routed, name, "sample", {}, noted="sampled")
        except Exception:  # noqa: BLE001 - without a second opinion the strong model decides
            return CheckResult(accepted=False, probability=0.0, scores=gates)
        answers.append(routed.read(sample))
    judged = None
    if verifier.judge is not None:
        judged = yield from _judge(routed, verifier.judge, answers[0])
    return verifier.verify(routed.request, answers, judged=judged)


def _judge(routed: RoutedRequest, judge: Judge, answer: ModelAnswer) -> Plan[float | None]:
    """The judge's grade, or None when the judge fails: the draft is then not trusted."""
    assert routed.read is not None, "cascades are only chosen where answers can be read"
    request = judge.request(routed.request, answer)
    try:
        reply = yield from _call(routed, judge.model, "judge", {}, noted="sampled", request=request)
        grade = judge.read(routed.read(reply).text)
    except Exception as error:  # noqa: BLE001 - fail closed: the strong model serves
        name = type(error).__name__
        routed.warnings.warn_once(_log, f"the judge failed ({name}); the strong model serves")
        return None
    if grade is None:
        routed.warnings.warn_once(
            _log, "the judge's reply could not be read; the strong model serves"
        )
    return grade


def _check_time(routed: RoutedRequest, last: Exception | None) -> None:
    left = routed.left()
    if left is not None and left <= 0:
        tried = ", ".join(f"{a.model} ({a.error})" for a in routed.log.attempts) or "none"
        raise TimeoutError(
            f"no model answered within the deadline; tried: {tried}. Give it more time, or the "
            "models shorter timeouts and fewer retries of their own"
        ) from last


def _soonest(failures: Mapping[str, Failure]) -> tuple[str, float] | None:
    """The model that asked for the shortest wait, if any did."""
    waits = [(m, f.retry_after_s) for m, f in failures.items() if f.retry_after_s is not None]
    return min(waits, key=lambda wait: wait[1], default=None)
