"""Asking a group in one call, with what is missing asked again singly and the bill shared out.

`CombinedAsk` is the `call` of a `Coalescer`. Every token billed ends up with exactly one item,
retries included, and each item knows what it would have cost alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from llm_optimizers.batching.coalescing.dispatch import AskAlone
from llm_optimizers.batching.combining.prompts import combine, split_answers
from llm_optimizers.batching.combining.shares import share_usage, shared_by
from llm_optimizers.costs import ServiceTier, Usage
from llm_optimizers.costs.call import NOT_SHARED, Reported, ServedAnswer, Share
from llm_optimizers.costs.records import Status
from llm_optimizers.types import ChatRequest

__all__ = [
    "Answered",
    "Ask",
    "CombinedAsk",
    "Question",
    "Reply",
    "Settled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model answered to one call, and what it was billed; `raw` is its own object.

    `model` and `tier` are those that the provider says answered. `behind` is what strategies
    behind the call did to it, with `alone` None for a call that used what was billed.
    """

    text: str
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    tier: ServiceTier = "standard"
    behind: Share = NOT_SHARED
    raw: Any = None

    @classmethod
    def of(
        cls, text: str, *, said: Reported, behind: Share, served: ServedAnswer | None, raw: object
    ) -> Reply:
        """The reply with what its provider said; a `served` one, out of a cache, bills nothing."""
        if served is not None:
            kept = replace(behind, alone=served.usage, served=served.tier)
            return cls(text=text, model=said.model, behind=kept, raw=raw)
        usage = said.usage or Usage()
        return cls(text=text, usage=usage, model=said.model, tier=said.tier, behind=behind, raw=raw)

    @property
    def share(self) -> Share:
        """The whole call as the share of one question."""
        alone = self.usage if self.behind.alone is None else self.behind.alone
        return replace(self.behind, alone=alone)


Ask: TypeAlias = Callable[[ChatRequest], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A caller's request; `spent` is its share of the combined call `missed_by` that did not
    answer it.

    `caller` is whatever the adapter knows its caller by; it comes back in `Settled`.
    """

    request: ChatRequest
    spent: Usage = field(default_factory=Usage)
    missed_by: Reply | None = None
    caller: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A caller's own answer.

    `usage` is everything billed for it; `share` says what a call of its own would have used:
    estimated from the combined call where others shared it, else measured. `asked_with` is how
    many questions shared the call that answered it, whose own object is `raw`.
    """

    text: str
    usage: Usage
    share: Share
    asked_with: int
    model: str = ""
    tier: ServiceTier = "standard"
    raw: Any = None

    @property
    def alone(self) -> Usage:
        """What a call of its own would have used."""
        return self.share.alone or Usage()

    @property
    def unshared(self) -> bool:
        """Whether `raw` says all there is to say of it: a call of its own and no other was made
        for it, with no strategy behind.
        """
        return self.asked_with == 1 and self.share == Share(alone=self.usage, estimated=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a question ended: with an answer, or with an error after `usage` had been spent.

    `model` and `tier` are those of the call that was billed. `status` and `error` are what its
    caller saw: one that left before is `abandoned`, or had a TimeoutError, even if an answer
    came. `started` and `latency_s` (seconds) are None where no caller waited.
    """

    request: ChatRequest
    usage: Usage
    answered: Answered | None = None
    error: BaseException | None = None
    caller: Any = None
    model: str = ""
    tier: ServiceTier = "standard"
    status: Status = "ok"
    started: datetime | None = None
    latency_s: float | None = None

    @property
    def share(self) -> Share:
        """What the account is to know of a call of its own."""
        return NOT_SHARED if self.answered is None else self.answered.share


class CombinedAsk:
    """Answers groups of questions of one `combination_key`.

    Args:
        ask: makes one call of the model, synchronously, from any thread.
        observe: called with every question once it is settled.
        measure: size of a text, by which the bill is shared; characters unless given.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        observe: Callable[[Settled], None] | None = None,
        measure: Callable[[str], int] = len,
    ) -> None:
        self._ask = ask
        self._observe = observe
        self._measure = measure

    def __call__(
        self, questions: Sequence[Question]
    ) -> list[Answered | Exception | AskAlone[Question]]:
        """Answer a group; what the combined call left open comes back to be asked alone."""
        if len(questions) == 1:
            return [self._ask_alone(questions[0])]
        request, ids = combine([question.request for question in questions])
        reply = self._ask(request)
        found = split_answers(reply.text, ids)
        answers = [found.get(id_, "") for id_ in ids]
        shares = self._shares(questions, reply.usage, answers)
        outcomes: list[Answered | Exception | AskAlone[Question]] = []
        for question, answer, usage in zip(questions, answers, shares, strict=True):
            if not answer:
                spent = question.spent + usage
                outcomes.append(AskAlone(item=replace(question, spent=spent, missed_by=reply)))
                continue
            answered = Answered(
                text=answer,
                usage=usage,
                share=shared_by(
                    reply.share,
                    request=question.request,
                    answer=answer,
                    combined=request,
                    reply=reply.text,
                    measure=self._measure,
                ),
                asked_with=len(questions),
                model=reply.model,
                tier=reply.tier,
                raw=reply.raw,
            )
            self._settle(question, answered)
            outcomes.append(answered)
        return outcomes

    def _ask_alone(self, question: Question) -> Answered | Exception:
        try:
            reply = self._ask(question.request)
        except Exception as error:  # noqa: BLE001 - it is raised to the caller
            self._settle(question, error)
            return error
        answered = Answered(
            text=reply.text,
            usage=question.spent + reply.usage,
            share=reply.share,
            asked_with=1,
            model=reply.model,
            tier=reply.tier,
            raw=reply.raw,
        )
        self._settle(question, answered)
        return answered

    def _shares(
        self, questions: Sequence[Question], billed: Usage, answers: Sequence[str]
    ) -> list[Usage]:
        shared = sum(self._measure(m.text) for m in questions[0].request.messages[:-1])
        asked = [self._measure(q.request.messages[-1].text) for q in questions]
        return share_usage(
            billed,
            input_weights=[shared + len(questions) * size for size in asked],
            output_weights=[1 + self._measure(answer) for answer in answers],
        )

    def _settle(self, question: Question, end: Answered | Exception) -> None:
        if self._observe is None:
            return
        answered, error = (end, None) if isinstance(end, Answered) else (None, end)
        billed = answered or question.missed_by or Reply(text="")
        self._observe(
            Settled(
                request=question.request,
                usage=question.spent if answered is None else answered.usage,
                answered=answered,
                error=error,
                caller=question.caller,
                model=billed.model,
                tier=billed.tier,
                status="ok" if error is None else "error",
            )
        )
