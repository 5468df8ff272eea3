"""`UsageMeter`: the total usage of the model calls made inside a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import llm as llm_events
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags
from llama_index_instrumentation.events.span import SpanDropEvent
from pydantic import PrivateAttr

from llama_index_llm_optimizers.account import CallInfo
from llama_index_llm_optimizers.hits import LLMCacheHitEvent
from llama_index_llm_optimizers.in_flight import InFlightCalls
from llama_index_llm_optimizers.run_tree import TAG_PREFIX
from llm_optimizers.costs import Usage

__all__ = ["UsageMeter", "UsageTotal"]

_STARTS = (llm_events.LLMChatStartEvent, llm_events.LLMCompletionStartEvent)
_PROGRESS = (llm_events.LLMChatInProgressEvent, llm_events.LLMCompletionInProgressEvent)
_ENDS = (llm_events.LLMChatEndEvent, llm_events.LLMCompletionEndEvent)


@dataclass(slots=True, weakref_slot=True)
class UsageTotal:
    """The usage so far, None if a call reported none; `model` is that of the last call."""

    usage: Usage | None = None
    model: str = ""
    _unknown: bool = False

    def add(self, usage: Usage | None, model: str) -> None:
        """Add a finished call."""
        self.model = model or self.model
        self._unknown = self._unknown or usage is None
        self.usage = None if self._unknown else sum((u for u in (self.usage, usage) if u), Usage())


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeasuredCall(CallInfo):
    """A call whose usage counts towards a total."""

    total: UsageTotal


class UsageMeter(BaseEventHandler):
    """Adds up the usage of `measure()` blocks; safe to share between threads and event loops."""

    _tag: str = PrivateAttr(default_factory=lambda: f"{TAG_PREFIX}meter-{uuid4().hex[:8]}")
    _totals: WeakValueDictionary[str, UsageTotal] = PrivateAttr(default_factory=WeakValueDictionary)
    _calls: InFlightCalls = PrivateAttr(default_factory=InFlightCalls)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEventHandler.class_name`."""
        return "UsageMeter"

    def attach(self) -> None:
        """Start to listen."""
        get_dispatcher().add_event_handler(self)

    def detach(self) -> None:
        """Stop listening."""
        root = get_dispatcher()
        root.event_handlers = [each for each in root.event_handlers if each is not self]

    @contextmanager
    def measure(self) -> Iterator[UsageTotal]:
        """Add up the calls made inside the block, and streams that are read after it.

        The total lives as long as the caller keeps a reference to it.
        """
        name, total = uuid4().hex, UsageTotal()
        self._totals[name] = total
        with instrument_tags({**active_instrument_tags.get(), self._tag: name}):
            yield total

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Handle one event."""
        if isinstance(event, _STARTS):
            total = self._total_of(event)
            if total is not None:
                info = _MeasuredCall(
                    id=event.id_,
                    started=datetime.now(UTC),
                    model=str(event.model_dict.get("model_name") or ""),
                    class_name="",
                    total=total,
                )
                self._calls.begin(event.span_id, info, ())
        elif isinstance(event, _PROGRESS):
            self._calls.add_reply(event.span_id, event.response)
        elif isinstance(event, _ENDS):
            self._end(event)
        elif isinstance(event, ExceptionEvent | SpanDropEvent):
            self._calls.end(event.span_id)
        elif isinstance(event, LLMCacheHitEvent):
            total = self._total_of(event)
            if total is not None:
                total.add(event.usage, event.model)

    def _end(self, event: Any) -> None:
        call = self._calls.end(event.span_id)
        if call is None or event.response is None or self._calls.is_repeat(event.response, call):
            return
        call.add_reply(event.response)
        if isinstance(call.info, _MeasuredCall):
            reported = call.report.reported()
            call.info.total.add(reported.usage, reported.model or call.info.model)

    def _total_of(self, event: BaseEvent) -> UsageTotal | None:
        return self._totals.get(str(event.tags.get(self._tag)))
