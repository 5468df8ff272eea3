"""`CostEventHandler`: records every model call of a LlamaIndex app in a ledger, once."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from inspect import BoundArguments
from types import TracebackType
from typing import Any, ClassVar, Self

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import embedding as embedding_events
from llama_index.core.instrumentation.events import llm as llm_events
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.events.span import SpanDropEvent
from pydantic import PrivateAttr

from llama_index_llm_optimizers.account import (
    CallInfo,
    call_of,
    call_of_embedding,
    call_of_hit,
    call_of_share,
)
from llama_index_llm_optimizers.counting import count_usage
from llama_index_llm_optimizers.embedding_calls import EmbeddingCall, EmbeddingCalls
from llama_index_llm_optimizers.embeddings import EmbeddingCacheHitEvent
from llama_index_llm_optimizers.hits import CACHE_HIT, LLMCacheHitEvent
from llama_index_llm_optimizers.in_flight import InFlightCall, InFlightCalls
from llama_index_llm_optimizers.run_tree import SpanRuns
from llama_index_llm_optimizers.shared import LLMSharedAnswerEvent
from llama_index_llm_optimizers.spans import SpanTree
from llm_optimizers.arguments import instance, optional
from llm_optimizers.costs import Ledger, Summary, Usage
from llm_optimizers.costs.failed import Failure
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.costs.open_calls import OpenCalls
from llm_optimizers.costs.records import CallRecord, Status
from llm_optimizers.costs.run_costs import CostsByRun
from llm_optimizers.events import Notice, emit
from llm_optimizers.pickling.models import PickledWhole
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.warming import WarmsUp, warm_up_all

__all__ = ["CostEventHandler"]


_STRUCTURED = "structured_llm"
"""Class name of LlamaIndex's own wrapper, whose calls are made by the LLM inside it."""


class CostEventHandler(CostsByRun, WarmsUp, PickledWhole, BaseEventHandler):
    """Records what a LlamaIndex app spends and saves.

    Example:
        ```python
        with CostEventHandler(Ledger("costs.sqlite")) as costs, instrument_tags({"user": "u17"}):
            query_engine.query(question)
        print(costs.summary())
        ```

    It listens from `attach()` to `detach()`, or inside a `with` block. A cache hit counts as a
    saving, never as spend. An LLM that wraps another counts once. Failed calls and abandoned
    streams are recorded with that status, and with the cost of what was sent and came. If a stream
    reports no usage, its tokens are counted here, and its record and the hits of its answer are
    marked as estimated (with OpenAI, give the LLM
    `additional_kwargs={"stream_options": {"include_usage": True}}`). A record keeps the tags of
    `instrument_tags`, but no text; `user`, `session` and the like under one name each (see
    `attributed`), and the root's id as `run`. Embeddings are counted by tokens, those from an
    `EmbeddingsStore` as savings; they are no requests. An unpickled handler listens once it is
    attached; a copy in the same process is the handler itself.

    A call that is given up is recorded as abandoned with an estimated cost: at once if it is
    cancelled, and at the latest before the ledger is read or closed, or when the process ends.
    """

    _ledger: Ledger = PrivateAttr()
    _counter: TokenCounter = PrivateAttr()
    _spans: SpanTree = PrivateAttr()
    _open: OpenCalls[InFlightCall] = PrivateAttr()
    _open_embeddings: OpenCalls[EmbeddingCall] = PrivateAttr()
    _calls: InFlightCalls = PrivateAttr()
    _embeddings: EmbeddingCalls = PrivateAttr()
    _runs: SpanRuns = PrivateAttr()
    _failed: bool = PrivateAttr(default=False)
    left_behind: ClassVar[frozenset[str]] = frozenset(
        {"_spans", "_open", "_open_embeddings", "_calls", "_embeddings", "_runs", "_failed"}
    )

    def __init__(
        self, ledger: Ledger | None = None, *, counter: TokenCounter | None = None
    ) -> None:
        super().__init__()
        self._ledger = checked_ledger(ledger) or Ledger()
        self._counter = optional(instance, "counter", counter, TokenCounter) or TokenCounter()
        self._complete()

    def _complete(self) -> None:
        """Begin without calls in flight; see `PickledWhole`."""
        self._open = OpenCalls(self._give_up, self._ledger)
        self._open_embeddings = OpenCalls(self._give_up_embedding, self._ledger)
        self._calls = InFlightCalls(self._open)
        self._embeddings = EmbeddingCalls(self._open_embeddings)
        self._spans = SpanTree.watched(self._entered, self._returned, self._left)
        self._runs = SpanRuns()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEventHandler.class_name`."""
        return "CostEventHandler"

    @property
    def ledger(self) -> Ledger:
        """The ledger that holds the records."""
        return self._ledger

    def summary(self) -> Summary:
        """Return the ledger's summary so far."""
        return self._ledger.summary()

    def warm_up(self) -> None:
        """Load the prices, and the vocabulary for LLMs whose provider reports no usage."""
        warm_up_all([self._ledger, self._counter])

    def attach(self) -> CostEventHandler:
        """Listen to all events of this process; a second call changes nothing."""
        root = get_dispatcher()
        if not any(handler is self for handler in root.event_handlers):
            root.add_event_handler(self)
        if not any(handler is self._spans for handler in root.span_handlers):
            root.add_span_handler(self._spans)
        return self

    def detach(self) -> None:
        """Stop listening; calls still in flight are recorded as abandoned."""
        root = get_dispatcher()
        # By identity: handlers are pydantic models, which compare equal if their fields are.
        root.event_handlers = [each for each in root.event_handlers if each is not self]
        root.span_handlers = [each for each in root.span_handlers if each is not self._spans]
        self._calls.end_all()
        self._open_embeddings.end_all()

    def __enter__(self) -> CostEventHandler:
        return self.attach()

    def __exit__(
        self,
        class_name: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Handle one event; an error is logged once and never reaches the app."""
        method = self._METHODS.get(type(event))
        if method is None:
            return
        try:
            method(self, event)
        except Exception as error:  # noqa: BLE001 - recording must not break the app
            repeated, self._failed = self._failed, True
            message = f"a call could not be recorded: {type(error).__name__} (logged once)"
            emit(Notice(component="llm_optimizers.costs", message=message, repeated=repeated))

    # --- model calls -----------------------------------------------------------------------------

    def _begin(self, event: Any) -> None:
        info = self._calls.info_of(event, self._runs.attribution_at(event))
        self._calls.begin(event.span_id, info, self._spans.ancestors(event.span_id))

    def _entered(
        self, span: str, parent: str | None, function_of: object, arguments: BoundArguments
    ) -> None:
        self._runs.enter(span, parent, function_of, arguments)
        self._embeddings.enter(span, function_of, arguments)

    def _left(self, span: str) -> None:
        self._runs.end(span)
        self._embeddings.leave(span)

    def _returned(self, span: str, result: object) -> None:
        """Watch a stream: what drops one that nobody began to read reports no end."""
        if isinstance(result, Generator | AsyncGenerator):
            self._calls.watch(span, result)

    def _progress(self, event: Any) -> None:
        self._calls.add_reply(event.span_id, event.response)

    def _end(self, event: Any) -> None:
        call = self._calls.end(event.span_id)
        if call is None:
            return
        reply = event.response
        if reply is not None:
            if CACHE_HIT in reply.additional_kwargs or self._calls.is_repeat(reply, call):
                return
            call.add_reply(reply)
        self._record(call)

    def _fail(self, event: Any) -> None:
        """Record a failed call or abandoned stream; a dropped span's error is being handled now."""
        error = event.exception if isinstance(event, ExceptionEvent) else sys.exception()
        call = self._calls.end(event.span_id)
        if call is not None:
            self._record_failed(call, Failure.of(error, received=call.last is not None))
        failed = Failure.of(error, received=False)
        self._fail_embeddings(self._embeddings.fail(event.span_id), failed.status, failed.error)

    def _hit(self, event: Any) -> None:
        self._calls.mark_nested(self._spans.ancestors(event.span_id))
        call = call_of_hit(event, self._runs.attribution_at(event))
        call.account(self._ledger, event.counting(self._counter))

    def _shared(self, event: Any) -> None:
        self._calls.mark_nested(self._spans.ancestors(event.span_id))
        call_of_share(event, self._runs.attribution_at(event)).account(self._ledger)

    def _record(
        self,
        call: InFlightCall,
        failure: Failure | None = None,
    ) -> None:
        if call.nested or call.info.class_name == _STRUCTURED:
            return

        def count() -> Usage | None:
            info, said = call.info, call.said
            return count_usage(
                self._counter, info.model, info.messages, info.params, call.last, said=said
            )

        self._open.account(call_of(call.info, call.outcome(failure)), count)

    def _record_failed(self, call: InFlightCall, failure: Failure) -> None:
        """Record a call that broke off; so does the stream around it, and both are one call."""
        if call.last is None or not self._calls.is_repeat(call.last, call):
            self._record(call, failure)

    def _give_up(self, call: InFlightCall, *, cancelled: bool) -> None:
        """Record a call whose end LlamaIndex does not report, or not in time."""
        error = GeneratorExit.__name__ if cancelled else None
        self._record_failed(call, Failure(status="abandoned", error=error))

    # --- embeddings ------------------------------------------------------------------------------

    def _embedding_begins(self, event: Any) -> None:
        self._embeddings.begin(event, self._runs.attribution_at(event))

    def _embedding_served(self, event: Any) -> None:
        self._embeddings.add_hit(event.span_id, event.chunk)

    def _embedding_ends(self, event: Any) -> None:
        ended = self._embeddings.end(event.span_id, event.chunks)
        if ended is not None:
            self._account_embedding(ended, "ok", None)

    def _fail_embeddings(
        self, calls: Sequence[EmbeddingCall], status: Status, error: str | None
    ) -> None:
        """Record the calls of a span that failed, of which one has; the others may be answered."""
        for place, call in enumerate(calls):
            self._account_embedding(call, "abandoned" if place else status, error)

    def _give_up_embedding(self, call: EmbeddingCall, *, cancelled: bool) -> None:
        """Record a call that is still in flight at the end."""
        self._account_embedding(call, "abandoned", None)

    def _account_embedding(self, call: EmbeddingCall, status: Status, error: str | None) -> None:
        called, served = call.divided()
        self._record_embedding(call.info, called, served=False, status=status, error=error)
        self._record_embedding(call.info, served, served=True)

    def _record_embedding(
        self,
        info: CallInfo,
        texts: Sequence[str],
        *,
        served: bool,
        status: Status = "ok",
        error: str | None = None,
    ) -> None:
        def make() -> CallRecord:
            counts = [self._counter.count(text, info.model) for text in texts]
            usage = Usage(input_tokens=sum(count.tokens for count in counts))
            exact = all(count.exact for count in counts)
            call = call_of_embedding(
                info, usage, exact=exact, served=served, status=status, error=error
            )
            return call.record(self._ledger.prices, lambda: usage)

        if texts or status != "ok":
            self._ledger.record_made(make)

    _METHODS: ClassVar[Mapping[type[BaseEvent], Callable[[CostEventHandler, Any], None]]] = {
        llm_events.LLMChatStartEvent: _begin,
        llm_events.LLMCompletionStartEvent: _begin,
        llm_events.LLMChatInProgressEvent: _progress,
        llm_events.LLMCompletionInProgressEvent: _progress,
        llm_events.LLMChatEndEvent: _end,
        llm_events.LLMCompletionEndEvent: _end,
        ExceptionEvent: _fail,
        SpanDropEvent: _fail,
        LLMCacheHitEvent: _hit,
        LLMSharedAnswerEvent: _shared,
        embedding_events.EmbeddingStartEvent: _embedding_begins,
        embedding_events.EmbeddingEndEvent: _embedding_ends,
        EmbeddingCacheHitEvent: _embedding_served,
    }
