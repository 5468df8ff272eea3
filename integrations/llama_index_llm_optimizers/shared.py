"""The event of each caller's share of a combined call, from which its cost is recorded."""

from __future__ import annotations

from contextvars import Context
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from uuid import uuid4

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict

from llama_index_llm_optimizers.wrappers import class_name_of
from llm_optimizers.batching.combining import QuestionOutcome
from llm_optimizers.costs import ServiceTier, Usage
from llm_optimizers.costs.answers import CallShare
from llm_optimizers.costs.records import Status

__all__ = ["LLMSharedAnswerEvent", "announce_share"]

_dispatcher = get_dispatcher(__name__)


class LLMSharedAnswerEvent(BaseEvent):
    """A question was answered, or failed, in a call that it may have shared; holds no text.

    `model` and `tier` are those that the provider reported, `asked` is the requested model. `usage`
    is the question's share of the billed usage, and `cost` its share of the dollars that the
    provider says it billed, None if it does not say; all shares add up to the whole. `share` says
    what a separate call would have used, an estimate if `asked_with` is more than one. `status` is
    what the caller got, `error` the name of the exception's class.
    """

    model_config = ConfigDict(protected_namespaces=("pydantic_model_",))

    answer_id: str
    model: str
    asked: str
    asked_class: str
    tier: ServiceTier
    usage: Usage
    cost: Decimal | None = None
    share: CallShare
    asked_with: int
    started: datetime
    latency_s: float | None = None
    status: Status = "ok"
    error: str | None = None

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEvent.class_name`."""
        return "LLMSharedAnswerEvent"


def announce_share(llm: LLM, outcome: QuestionOutcome) -> None:
    """Emit the event of a caller's share, with the caller's tags and span."""
    answer = outcome.answered
    event = partial(
        LLMSharedAnswerEvent,
        answer_id=uuid4().hex,
        model=outcome.model,
        asked=llm.metadata.model_name,
        asked_class=class_name_of(llm),
        tier=outcome.tier,
        usage=outcome.usage,
        cost=outcome.cost,
        share=outcome.share,
        asked_with=answer.asked_with if answer else 1,
        started=outcome.started or datetime.now(UTC),
        latency_s=outcome.latency_s,
        status=outcome.status,
        error=type(outcome.error).__name__ if outcome.error else None,
    )
    caller: Context = outcome.caller
    # An event takes its tags from the context in which it is created.
    caller.copy().run(lambda: _dispatcher.event(event()))
