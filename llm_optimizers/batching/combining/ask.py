"""Asking a group in one call, with what is missing asked again singly and the bill shared out.

`CombinedAsk` is the `call` of a `Coalescer`. Every token billed ends up with exactly one item,
retries included, and each item knows what it would have cost alone.

The shares add up to the bill exactly, count by count, so that a ledger of items and the
provider's invoice agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from llm_optimizers.batching.coalescing.dispatch import AskAlone
from llm_optimizers.batching.combining.prompts import combine, split_answers
from llm_optimizers.costs import Usage
from llm_optimizers.types import ChatRequest

__all__ = [
    "Answered",
    "Ask",
    "CombinedAsk",
    "Question",
    "Reply",
    "Settled",
    "apportion",
    "cost_alone",
    "share_usage",
]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by the weights into whole numbers that add up to it (largest remainders).

    Equal remainders go to the earlier item; weights that are all zero count as equal.
    """
    if not sum(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    first = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in first[: total - sum(shares)]:
        shares[index] += 1
    return shares


def share_usage(
    billed: Usage, *, input_weights: Sequence[int], output_weights: Sequence[int]
) -> list[Usage]:
    """Split a call's usage among its items.

    Disjoint parts are split and summed again, so that within every share too the cached tokens
    are part of the input and the reasoning is part of the output.
    """
    read = apportion(billed.cache_read_tokens, input_weights)
    hour = apportion(billed.cache_write_1h_tokens, input_weights)
    brief = apportion(billed.cache_write_tokens - billed.cache_write_1h_tokens, input_weights)
    fresh = apportion(
        billed.input_tokens - billed.cache_read_tokens - billed.cache_write_tokens, input_weights
    )
    reasoning = apportion(billed.reasoning_tokens, output_weights)
    spoken = apportion(billed.output_tokens - billed.reasoning_tokens, output_weights)
    return [
        Usage(
            input_tokens=fresh[i] + read[i] + hour[i] + brief[i],
            output_tokens=spoken[i] + reasoning[i],
            cache_read_tokens=read[i],
            cache_write_tokens=hour[i] + brief[i],
            cache_write_1h_tokens=hour[i],
            reasoning_tokens=reasoning[i],
        )
        for i in range(len(input_weights))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model answered to one call, and what it was billed; `raw` is its own object."""

    text: str
    usage: Usage = field(default_factory=Usage)
    raw: Any = None


Ask: TypeAlias = Callable[[ChatRequest], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A caller's request; `spent` is its share of a combined call that did not answer it.

    `caller` is whatever the adapter knows its caller by; it comes back in `Settled`.
    """

    request: ChatRequest
    spent: Usage = field(default_factory=Usage)
    caller: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A caller's own answer.

    `usage` is everything billed for it; `alone` is what a call of its own would have used:
    estimated from the combined call when `estimated`, else measured. `asked_with` is how many
    questions shared the call that answered it, whose own object is `raw`.
    """

    text: str
    usage: Usage
    alone: Usage
    asked_with: int
    raw: Any = None

    @property
    def estimated(self) -> bool:
        """Whether `alone` was not measured."""
        return self.asked_with > 1

    @property
    def unshared(self) -> bool:
        """Whether a call of its own, and no other, was made for it: `raw` is its whole answer."""
        return self.asked_with == 1 and self.usage == self.alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a question ended: with an answer, or with an error after `usage` had been spent.

    Its caller may have been cancelled before.
    """

    request: ChatRequest
    usage: Usage
    answered: Answered | None = None
    error: Exception | None = None
    caller: Any = None


class CombinedAsk:
    """Answers groups of questions of one `combination_key`.

    Args:
        ask: makes one call of the model, synchronously, from any thread.
        observe: told of every question once it is settled; the place for the account.
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
                again = replace(question, spent=question.spent + usage)
                outcomes.append(AskAlone(item=again))
                continue
            alone = cost_alone(question.request, answer, request, reply, self._measure)
            answered = Answered(
                text=answer,
                usage=usage,
                alone=alone,
                asked_with=len(questions),
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
            alone=reply.usage,
            asked_with=1,
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
        self._observe(
            Settled(
                request=question.request,
                usage=question.spent if answered is None else answered.usage,
                answered=answered,
                error=error,
                caller=question.caller,
            )
        )


def cost_alone(
    request: ChatRequest,
    answer: str,
    combined: ChatRequest,
    reply: Reply,
    measure: Callable[[str], int] = len,
) -> Usage:
    """The usage a call of its own would have had, scaled from what the combined call was billed.

    Tokens per unit of text are those of the combined call. A prefix read from the provider's
    cache would have been read alone too; reasoning is taken as an equal part for each answer.
    """
    prefix = sum(measure(message.text) for message in request.messages[:-1])
    own = prefix + measure(request.messages[-1].text)
    everything = prefix + measure(combined.messages[-1].text)
    billed = reply.usage
    input_tokens = _scaled(billed.input_tokens, own, everything)
    spoken = billed.output_tokens - billed.reasoning_tokens
    reasoning = _scaled(billed.reasoning_tokens, measure(answer), measure(reply.text))
    return Usage(
        input_tokens=input_tokens,
        cache_read_tokens=min(
            billed.cache_read_tokens, _scaled(billed.input_tokens, prefix, everything)
        ),
        output_tokens=_scaled(spoken, measure(answer), measure(reply.text)) + reasoning,
        reasoning_tokens=reasoning,
    )


def _scaled(tokens: int, part: int, whole: int) -> int:
    return round(tokens * part / whole) if whole else 0
