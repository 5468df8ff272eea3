"""Asks a group of questions in one call, retries unanswered ones separately, and splits the bill.

`CombinedAsk` is the `call` of a `Coalescer`. Every billed token is assigned to exactly one
question, including retries, and each answer says what a separate call would have used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from llm_optimizers.arguments import function, optional
from llm_optimizers.batching.coalescing.dispatch import RetryAlone
from llm_optimizers.batching.combining.prompts import combine, split_answers
from llm_optimizers.batching.combining.shares import added, question_share, split_cost, split_usage
from llm_optimizers.costs import ServiceTier, Usage
from llm_optimizers.costs.answers import NOT_SHARED, CallShare, Reported, ServedAnswer
from llm_optimizers.costs.records import Status
from llm_optimizers.types import ChatRequest

__all__ = [
    "AskModel",
    "BilledAnswer",
    "CombinedAsk",
    "Question",
    "QuestionOutcome",
    "SharedAnswer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledAnswer:
    """A model's answer to one call, with its billed usage; `raw` is the framework's object.

    `model` and `tier` are those that the provider reports, and `cost` what it says it billed, in
    dollars, None if it does not say. `inner_share` describes the strategies applied inside the
    called model; its `alone` is None if the call used what was billed.
    """

    text: str
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    tier: ServiceTier = "standard"
    cost: Decimal | None = None
    inner_share: CallShare = NOT_SHARED
    raw: Any = None

    @classmethod
    def of(
        cls,
        text: str,
        *,
        reported: Reported,
        inner_share: CallShare,
        served: ServedAnswer | None,
        raw: object,
    ) -> BilledAnswer:
        """Build an answer from what the provider reported; a cache hit (`served`) bills nothing.

        The usage is the adapter's own count (`estimated`) if the provider reported none.
        """
        inner_share = replace(
            inner_share,
            counted=inner_share.counted or reported.estimated,
            suspicious=inner_share.suspicious or reported.suspicious,
        )
        if served is not None:
            inner_share = replace(inner_share, alone=served.usage, served=served.tier)
            return cls(text=text, model=reported.model, inner_share=inner_share, raw=raw)
        usage = reported.usage or Usage()
        return cls(
            text=text,
            usage=usage,
            model=reported.model,
            tier=reported.tier,
            cost=reported.cost,
            inner_share=inner_share,
            raw=raw,
        )

    @property
    def share(self) -> CallShare:
        """The share of a question that has the call to itself."""
        alone = self.usage if self.inner_share.alone is None else self.inner_share.alone
        return replace(self.inner_share, alone=alone)

    def counted(self, count: Callable[[], Usage | None]) -> BilledAnswer:
        """Return the answer with the usage that `count` returns, if its provider reported none."""
        known = self.share.alone not in (None, Usage())
        usage = None if known else count()
        if usage is None:
            return self
        share = replace(self.inner_share, counted=True)
        if share.served:
            return replace(self, inner_share=replace(share, alone=usage))
        return replace(self, usage=usage, inner_share=share)


AskModel: TypeAlias = Callable[[ChatRequest], BilledAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A caller's request.

    `spent` is its share of the combined call `missed_by`, which left it unanswered, `spent_cost`
    its share of what was billed for that, and `spent_requests` how often it paid a fee for a
    request. `caller` is any object of the adapter that identifies the caller; `QuestionOutcome`
    returns it.
    """

    request: ChatRequest
    spent: Usage = field(default_factory=Usage)
    spent_cost: Decimal | None = None
    spent_requests: int = 0
    missed_by: BilledAnswer | None = None
    caller: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAnswer:
    """The answer to one caller's question.

    `usage` is everything billed for it, and `cost` the dollars that the provider says it billed,
    None if it does not say all of them. `share` says what a separate call would have used,
    estimated from the combined call if others shared it. `asked_with` is the number of questions
    in the call that answered it, and `raw` the framework's object of that call.
    """

    text: str
    usage: Usage
    share: CallShare
    asked_with: int
    cost: Decimal | None = None
    model: str = ""
    tier: ServiceTier = "standard"
    raw: Any = None

    @property
    def alone(self) -> Usage:
        """The usage of a separate call."""
        return self.share.alone or Usage()

    @property
    def unshared(self) -> bool:
        """Whether one separate call without strategies gave the answer; then `raw` is complete."""
        # As its own record is then.
        share = replace(self.share, counted=False, suspicious=False)
        return self.asked_with == 1 and share == CallShare(alone=self.usage, estimated=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionOutcome:
    """How a question ended: with an answer, or with an error.

    `usage` is what was billed, and `cost` the dollars of it, if the provider says them.

    `model` and `tier` are those of the billed call. `status` and `error` are what the caller saw:
    a caller that left early has `abandoned` or a TimeoutError, even if an answer came later.
    `started` and `latency_s` (seconds) are None if no caller waited.
    """

    request: ChatRequest
    usage: Usage
    answered: SharedAnswer | None = None
    error: BaseException | None = None
    caller: Any = None
    model: str = ""
    tier: ServiceTier = "standard"
    cost: Decimal | None = None
    status: Status = "ok"
    started: datetime | None = None
    latency_s: float | None = None

    @property
    def share(self) -> CallShare:
        """The caller's share of the call, for its record."""
        return NOT_SHARED if self.answered is None else self.answered.share


class CombinedAsk:
    """Answers groups of questions of one `combination_key`.

    Args:
        ask: calls the model once, synchronously, from any thread.
        observe: called with the outcome of every question.
        measure: returns the size of a text, by which the bill is split; characters by default.
    """

    def __init__(
        self,
        ask: AskModel,
        *,
        observe: Callable[[QuestionOutcome], None] | None = None,
        measure: Callable[[str], int] = len,
    ) -> None:
        self._ask = function("ask", ask)
        self._observe = optional(function, "observe", observe)
        self._measure = function("measure", measure)

    def __call__(
        self, questions: Sequence[Question]
    ) -> list[SharedAnswer | Exception | RetryAlone[Question]]:
        """Answer a group; a question left unanswered becomes a `RetryAlone`."""
        if len(questions) == 1:
            return [self._ask_alone(questions[0])]
        request, ids = combine([question.request for question in questions])
        reply = self._ask(request)
        found = split_answers(reply.text, ids)
        answers = [found.get(id_, "") for id_ in ids]
        shares = self._shares(questions, reply.usage, answers)
        costs = split_cost(reply.cost, shares)
        outcomes: list[SharedAnswer | Exception | RetryAlone[Question]] = []
        # The first question pays the fee for the request.
        requests = [reply.share.requests] + [0] * (len(questions) - 1)
        for question, answer, usage, cost, paid in zip(
            questions, answers, shares, costs, requests, strict=True
        ):
            if not answer:
                retried = replace(
                    question,
                    spent=question.spent + usage,
                    spent_cost=cost,
                    spent_requests=paid,
                    missed_by=reply,
                )
                outcomes.append(RetryAlone(item=retried))
                continue
            answered = SharedAnswer(
                text=answer,
                usage=usage,
                share=question_share(
                    replace(reply.share, requests=paid),
                    request=question.request,
                    answer=answer,
                    combined=request,
                    reply=reply.text,
                    measure=self._measure,
                ),
                asked_with=len(questions),
                cost=cost,
                model=reply.model,
                tier=reply.tier,
                raw=reply.raw,
            )
            self._report(question, answered)
            outcomes.append(answered)
        return outcomes

    def _ask_alone(self, question: Question) -> SharedAnswer | Exception:
        try:
            reply = self._ask(question.request)
        except Exception as error:  # noqa: BLE001 - it is raised to the caller
            self._report(question, error)
            return error
        retried = question.missed_by is not None
        cost = added(question.spent_cost, reply.cost) if retried else reply.cost
        answered = SharedAnswer(
            text=reply.text,
            usage=question.spent + reply.usage,
            cost=cost,
            share=replace(reply.share, requests=question.spent_requests + reply.share.requests),
            asked_with=1,
            model=reply.model,
            tier=reply.tier,
            raw=reply.raw,
        )
        self._report(question, answered)
        return answered

    def _shares(
        self, questions: Sequence[Question], billed: Usage, answers: Sequence[str]
    ) -> list[Usage]:
        """Split the bill: input by each question's size, output by each answer's."""
        shared = sum(self._measure(m.text) for m in questions[0].request.messages[:-1])
        asked = [self._measure(q.request.messages[-1].text) for q in questions]
        return split_usage(
            billed,
            input_weights=[shared + len(questions) * size for size in asked],
            output_weights=[1 + self._measure(answer) for answer in answers],
        )

    def _report(self, question: Question, end: SharedAnswer | Exception) -> None:
        if self._observe is None:
            return
        answered, error = (end, None) if isinstance(end, SharedAnswer) else (None, end)
        billed = answered or question.missed_by or BilledAnswer(text="")
        self._observe(
            QuestionOutcome(
                request=question.request,
                usage=question.spent if answered is None else answered.usage,
                answered=answered,
                error=error,
                caller=question.caller,
                model=billed.model,
                tier=billed.tier,
                cost=question.spent_cost if answered is None else answered.cost,
                status="ok" if error is None else "error",
            )
        )
