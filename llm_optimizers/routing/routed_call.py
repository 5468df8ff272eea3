"""One routed request, from its decision to its last chunk.

A framework's adapter says only how its models are called and how their replies are read.
Deadlines, waiting, failures, escalation, streams that break, the decision's record and each
call's context are the same everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from llm_optimizers.costs.context import CallContext, Drafts
from llm_optimizers.effects import adrive, closing, closing_async, drive
from llm_optimizers.errors import ConfigurationError, InterruptedStreamError
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.failures import is_permanent, read_failure
from llm_optimizers.routing.calling import (
    Caller,
    CallResult,
    ReplyReader,
    async_effect_runner,
    effect_runner,
)
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.decision import DecisionRecord
from llm_optimizers.routing.plan import CallModel, RoutedRequest, serve
from llm_optimizers.routing.request import RoutingContext
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.specs import ModelSpec
from llm_optimizers.tenancy import enclosing_tenant
from llm_optimizers.types import ChatRequest

__all__ = ["RoutedCall"]

R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
_END: Any = object()


@dataclass(frozen=True, slots=True)
class _Opened(Generic[C]):
    """A stream whose first chunk with content has arrived: no other model can answer now.

    `first` holds it and the empty chunks before it.
    """

    first: list[C]
    rest: Any

    def close(self) -> None:
        """Close a synchronous stream that was opened too late to be read."""
        with suppress(Exception):
            self.rest.close()


class RoutedCall(Generic[R, C]):
    """One routed request: decided when constructed, then answered once, by one of four methods.

    `models` gives the names in the price list that the router's specs leave out, `call_context`
    what is already known of the call. With a deadline every synchronous call runs in its own
    thread, which is abandoned when the deadline passes. `traffic` keeps a sample of the questions.

    Raises:
        NoModelFitsError: no model can serve the request; lists each with its reason.
    """

    def __init__(
        self,
        router: Router,
        request: ChatRequest,
        context: RoutingContext,
        replies: ReplyReader[R, C],
        *,
        models: Mapping[str, ModelSpec] = MappingProxyType({}),
        call_context: CallContext | None = None,
        traffic: SampleStore | None = None,
        deadline_s: float | None = None,
        first_call_id: str | None = None,
    ) -> None:
        if traffic is not None and request.question:
            with suppress(ConfigurationError):  # the tenant is unknown: no sample
                traffic.offer(
                    request.question,
                    task=context.task,
                    tenant=request.tenant or enclosing_tenant(),
                    user=context.user,
                )
        self.request = request
        self.decision = router.decide(request, context)
        baseline = router.model_tiers.spec(self.decision.baseline)
        if baseline.model is None:
            baseline = models.get(baseline.name, baseline)
        self.baseline_model = baseline.priced_as
        self._router = router
        self._replies = replies
        call_context = call_context or CallContext()
        if call_context.baseline_model is None:
            call_context = replace(
                call_context,
                baseline_model=baseline.priced_as,
                baseline_provider=baseline.provider,
            )
        uncertain = self.decision.escalation is not None or deadline_s is not None
        self._drafts = Drafts(call_context) if uncertain else None
        self._routed = RoutedRequest(
            decision=self.decision,
            request=request,
            call_context=call_context,
            drafts=self._drafts,
            health=router.health,
            clock=router.clock,
            warnings=router.warnings,
            deadline=None if deadline_s is None else router.clock() + deadline_s,
            first_call_id=first_call_id,
        )

    def answer(self, caller: Caller[R, C]) -> R:
        """Return the whole answer.

        Raises:
            TimeoutError: the deadline passed before any model answered.
            The last model's error, when all failed.
        """
        kept: str | None = None
        try:
            got: CallResult[R] = drive(serve(self._read_whole()), effect_runner(caller.ask))
            kept = got.attempt.context.id
            return got.value
        finally:
            self._finish(kept)

    async def aanswer(self, caller: Caller[R, C]) -> R:
        """Async version of `answer`; a call that takes too long is cancelled."""
        kept: str | None = None
        try:
            got: CallResult[R] = await adrive(
                serve(self._read_whole()), async_effect_runner(caller.aask)
            )
            kept = got.attempt.context.id
            return got.value
        finally:
            self._finish(kept)

    def stream(self, caller: Caller[R, C]) -> Iterator[C]:
        """Return the answer in chunks.

        Another model may take over until the first chunk arrives; a cascade is streamed once its
        answer is accepted.

        Raises:
            InterruptedStreamError: the stream broke after its first chunk.
            The errors of `answer`, before it.
        """
        if self.decision.escalation is not None:
            yield from self._replies.chunks(self.answer(caller))
            return

        def opened(attempt: CallModel) -> _Opened[C]:
            chunks = caller.stream(attempt)
            first: list[C] = []
            for chunk in chunks:
                first.append(chunk)
                if not self._replies.is_empty(chunk):
                    break
            return _Opened(first, chunks)

        kept: str | None = None
        partial: list[str] = []
        try:
            got: CallResult[_Opened[C]] = drive(serve(self._routed), effect_runner(opened))
            kept = got.attempt.context.id
            with closing(got.value.rest) as rest:
                waiting = got.value.first
                while waiting:
                    for chunk in waiting:
                        partial.append(self._replies.text(chunk))
                        yield caller.mark(chunk, got.attempt, first=len(partial) == 1)
                    try:
                        chunk = next(rest, _END)
                    except Exception as error:
                        raise self._interrupted(got.attempt, partial, error) from error
                    waiting = [] if chunk is _END else [chunk]
        finally:
            self._finish(kept)

    async def astream(self, caller: Caller[R, C]) -> AsyncIterator[C]:
        """Async version of `stream`."""
        if self.decision.escalation is not None:
            for chunk in self._replies.chunks(await self.aanswer(caller)):
                yield chunk
            return

        async def opened(attempt: CallModel) -> _Opened[C]:
            chunks = caller.astream(attempt)
            first: list[C] = []
            async for chunk in chunks:
                first.append(chunk)
                if not self._replies.is_empty(chunk):
                    break
            return _Opened(first, chunks)

        kept: str | None = None
        partial: list[str] = []
        try:
            got: CallResult[_Opened[C]] = await adrive(
                serve(self._routed), async_effect_runner(opened)
            )
            kept = got.attempt.context.id
            async with closing_async(got.value.rest) as rest:
                waiting = got.value.first
                while waiting:
                    for chunk in waiting:
                        partial.append(self._replies.text(chunk))
                        yield caller.mark(chunk, got.attempt, first=len(partial) == 1)
                    try:
                        chunk = await anext(rest, _END)
                    except Exception as error:
                        raise self._interrupted(got.attempt, partial, error) from error
                    waiting = [] if chunk is _END else [chunk]
        finally:
            self._finish(kept)

    def _read_whole(self) -> RoutedRequest:
        """Return the request with the `read` that a cascade's checks need."""

        def read(got: CallResult[R]) -> ModelAnswer:
            return replace(self._replies.read(got.value), model=got.attempt.model)

        return replace(self._routed, read=read)

    def _interrupted(
        self, attempt: CallModel, partial: list[str], error: Exception
    ) -> InterruptedStreamError:
        """Return the error of a stream that broke after some chunks; its model cools down."""
        model, now = attempt.model, self._router.clock()
        failure = read_failure(error, now=now)
        name = failure.name
        self._routed.log.correct(attempt.context.id, "failed", name)
        # What is wrong with the request says nothing about the model.
        if not is_permanent(error) or failure.retryable:
            self._router.health.failed(model, now=now, retry_after_s=failure.retry_after_s)
        return InterruptedStreamError(
            f"{model}'s stream broke after {len(partial)} chunks ({name}); what arrived is in "
            "`partial`, send the request again for the whole answer",
            partial="".join(partial),
        )

    def _finish(self, kept: str | None) -> None:
        """Write the decision's record; `kept` is the id of the call that was served, if any."""
        if self._drafts is not None:
            self._drafts.resolve(kept)
        log = self._routed.log
        self._router.record(
            DecisionRecord(
                decision=self.decision, attempts=tuple(log.attempts), checks=dict(log.checks)
            )
        )
