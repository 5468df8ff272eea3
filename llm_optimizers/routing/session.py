"""One routed request, from its decision to its last chunk: started, attempted, finished.

An app's framework says only how one of its models is called and how its replies are read.
Time, waiting, failures, escalation, what a stream may still take back, the decision's record and
what the account is to know of each call are the same everywhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from llm_optimizers.costs.context import CallContext, Drafts, calling
from llm_optimizers.effects import Effect, adrive, closing, closing_async, drive
from llm_optimizers.errors import InterruptedStreamError
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.routing.cascade.checks import Answer
from llm_optimizers.routing.decision import DecisionRecord
from llm_optimizers.routing.plan import CallModel, Pause, RoutedRequest, serve
from llm_optimizers.routing.request import RoutingContext
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.specs import ModelSpec
from llm_optimizers.tenancy import running_tenant
from llm_optimizers.types import ChatRequest

__all__ = ["Caller", "Replies", "RoutedCall"]

R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
_END: Any = object()


class Caller(Protocol[R_co, C]):
    """How a framework calls one of the models; `attempt.model` names it."""

    def ask(self, attempt: CallModel) -> R_co:
        """The whole reply."""
        ...

    async def aask(self, attempt: CallModel) -> R_co:
        """The whole reply, asynchronously."""
        ...

    def stream(self, attempt: CallModel) -> Iterator[C]:
        """The reply in chunks; nothing is asked before the first is read."""
        ...

    def astream(self, attempt: CallModel) -> AsyncIterator[C]:
        """The reply in chunks, asynchronously."""
        ...

    def mark(self, chunk: C, attempt: CallModel, *, first: bool) -> C:
        """A stream's chunk with what the conversation's next turns need to know of the attempt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies(Generic[R, C]):
    """How a framework's replies are read: `read` for a cascade's checks, `chunks` to stream a
    reply that had to be checked whole, `text` for what of a broken stream had come.
    """

    read: Callable[[R], Answer]
    chunks: Callable[[R], Iterator[C]]
    text: Callable[[C], str]


@dataclass(frozen=True, slots=True)
class _Got(Generic[T]):
    """What an attempt gave."""

    attempt: CallModel
    value: T


@dataclass(frozen=True, slots=True)
class _Opened(Generic[C]):
    """A stream whose first chunk has come, so that nothing can be taken back."""

    first: C
    rest: Any

    def close(self) -> None:
        """Close a synchronous stream that was opened too late to be read."""
        with suppress(Exception):
            self.rest.close()


class RoutedCall(Generic[R, C]):
    """One routed request: decides when it is made, then answers once, by one of four ways.

    `models` says how models are named in the price list where the router does not, `around` what
    the account knows of the call already. With a deadline every synchronous call runs in a thread
    of its own, and one that does not answer in time is left to itself. `traffic` keeps a sample of
    the questions.

    Raises:
        NoModelFitsError: no model can take the request; lists each with its reason.
    """

    def __init__(
        self,
        router: Router,
        request: ChatRequest,
        context: RoutingContext,
        replies: Replies[R, C],
        *,
        models: Mapping[str, ModelSpec] = MappingProxyType({}),
        around: CallContext | None = None,
        traffic: SampleStore | None = None,
        deadline_s: float | None = None,
        first_call_id: str | None = None,
    ) -> None:
        if traffic is not None and request.question:
            traffic.offer(
                request.question,
                task=context.task,
                tenant=request.tenant or running_tenant(),
                user=context.user,
            )
        self.request = request
        self.decision = router.decide(request, context)
        baseline = router.ladder.spec(self.decision.baseline)
        if baseline.model is None:
            baseline = models.get(baseline.name, baseline)
        self.baseline_model = baseline.priced_as
        self._router = router
        self._replies = replies
        account = around or CallContext()
        if account.baseline_model is None:
            account = replace(
                account,
                baseline_model=baseline.priced_as,
                baseline_provider=baseline.provider,
            )
        uncertain = self.decision.escalation is not None or deadline_s is not None
        self._drafts = Drafts(account) if uncertain else None
        self._routed = RoutedRequest(
            decision=self.decision,
            request=request,
            account=account,
            drafts=self._drafts,
            health=router.health,
            clock=router.clock,
            once=router.once,
            until=None if deadline_s is None else router.clock() + deadline_s,
            first_call_id=first_call_id,
        )

    def answer(self, caller: Caller[R, C]) -> R:
        """The answer, whole.

        Raises:
            TimeoutError: the deadline passed before any model answered.
            What the last model raised, when all failed.
        """
        kept: str | None = None
        try:
            got: _Got[R] = drive(serve(self._read_whole()), _performing(caller.ask))
            kept = got.attempt.context.id
            return got.value
        finally:
            self._finish(kept)

    async def aanswer(self, caller: Caller[R, C]) -> R:
        """The asynchronous twin of `answer`; a call that takes too long is cancelled."""
        kept: str | None = None
        try:
            got: _Got[R] = await adrive(serve(self._read_whole()), _aperforming(caller.aask))
            kept = got.attempt.context.id
            return got.value
        finally:
            self._finish(kept)

    def stream(self, caller: Caller[R, C]) -> Iterator[C]:
        """The answer in chunks. Models may be replaced until the first chunk has come; a cascade
        is streamed once its answer is accepted.

        Raises:
            InterruptedStreamError: the stream broke after its first chunk.
            As `answer`, before it.
        """
        if self.decision.escalation is not None:
            yield from self._replies.chunks(self.answer(caller))
            return

        def opened(attempt: CallModel) -> _Opened[C]:
            chunks = caller.stream(attempt)
            return _Opened(next(chunks, _END), chunks)

        kept: str | None = None
        partial: list[str] = []
        try:
            got: _Got[_Opened[C]] = drive(serve(self._routed), _performing(opened))
            kept = got.attempt.context.id
            with closing(got.value.rest) as rest:
                chunk = got.value.first
                while chunk is not _END:
                    partial.append(self._replies.text(chunk))
                    yield caller.mark(chunk, got.attempt, first=len(partial) == 1)
                    try:
                        chunk = next(rest, _END)
                    except Exception as error:
                        raise self._interrupted(got.attempt, partial, error) from error
        finally:
            self._finish(kept)

    async def astream(self, caller: Caller[R, C]) -> AsyncIterator[C]:
        """The asynchronous twin of `stream`."""
        if self.decision.escalation is not None:
            for chunk in self._replies.chunks(await self.aanswer(caller)):
                yield chunk
            return

        async def opened(attempt: CallModel) -> _Opened[C]:
            chunks = caller.astream(attempt)
            return _Opened(await anext(chunks, _END), chunks)

        kept: str | None = None
        partial: list[str] = []
        try:
            got: _Got[_Opened[C]] = await adrive(serve(self._routed), _aperforming(opened))
            kept = got.attempt.context.id
            async with closing_async(got.value.rest) as rest:
                chunk = got.value.first
                while chunk is not _END:
                    partial.append(self._replies.text(chunk))
                    yield caller.mark(chunk, got.attempt, first=len(partial) == 1)
                    try:
                        chunk = await anext(rest, _END)
                    except Exception as error:
                        raise self._interrupted(got.attempt, partial, error) from error
        finally:
            self._finish(kept)

    def _read_whole(self) -> RoutedRequest:
        """The request with what a cascade needs to look into a reply."""

        def read(got: _Got[R]) -> Answer:
            return replace(self._replies.read(got.value), model=got.attempt.model)

        return replace(self._routed, read=read)

    def _interrupted(
        self, attempt: CallModel, partial: list[str], error: Exception
    ) -> InterruptedStreamError:
        """The error of a stream that broke when nothing could be taken back; its model cools."""
        name, model = type(error).__name__, attempt.model
        self._routed.log.correct(attempt.context.id, "failed", name)
        self._router.health.failed(model, now=self._router.clock())
        return InterruptedStreamError(
            f"{model}'s stream broke after {len(partial)} chunks ({name}); what had come is in "
            "`partial`, ask again for the rest",
            partial="".join(partial),
        )

    def _finish(self, kept: str | None) -> None:
        """Write the record; `kept` names the call whose answer was served, if one was."""
        if self._drafts is not None:
            self._drafts.settle(kept)
        log = self._routed.log
        self._router.record(
            DecisionRecord(
                decision=self.decision, attempts=tuple(log.attempts), checks=dict(log.checks)
            )
        )


def _performing(call: Callable[[CallModel], T]) -> Callable[[Effect[Any]], Any]:
    def attempt(effect: CallModel) -> _Got[T]:
        with calling(effect.context):
            return _Got(effect, call(effect))

    def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        assert isinstance(effect, CallModel)
        return attempt(effect) if effect.timeout_s is None else _in_time(attempt, effect)

    return perform


def _aperforming(call: Callable[[CallModel], Any]) -> Callable[[Effect[Any]], Any]:
    async def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        assert isinstance(effect, CallModel)
        async with asyncio.timeout(effect.timeout_s):
            with calling(effect.context):
                return _Got(effect, await call(effect))

    return perform


def _in_time(attempt: Callable[[CallModel], _Got[T]], effect: CallModel) -> _Got[T]:
    """What the call gives, or TimeoutError when it is not there in time."""
    reply: Future[_Got[T]] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(attempt, effect)
        except BaseException as error:  # noqa: BLE001 - raised where the reply is waited for
            reply.set_exception(error)
        else:
            reply.set_result(result)

    threading.Thread(target=work, name=f"routed-{effect.model}", daemon=True).start()
    try:
        return reply.result(timeout=effect.timeout_s)
    except TimeoutError:
        if reply.done():
            raise
        reply.add_done_callback(_close)
        seconds = f"{effect.timeout_s:.1f}"
        raise TimeoutError(f"{effect.model} did not answer within {seconds} s") from None


def _close(reply: Future[_Got[Any]]) -> None:
    """Close a stream that was opened too late to be read."""
    with suppress(Exception):
        reply.result().value.close()
