"""What the model calls made inside a block of code consumed together."""

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
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags, instrument_tags
from pydantic import PrivateAttr

from llama_index_llm_optimizers.account import OWN, CallFacts
from llama_index_llm_optimizers.hits import LLMCacheHitEvent
from llama_index_llm_optimizers.open_calls import OpenCalls
from llm_optimizers.costs import Usage

__all__ = ["Meter", "Reading"]

_STARTS = (llm_events.LLMChatStartEvent, llm_events.LLMCompletionStartEvent)
_PROGRESS = (llm_events.LLMChatInProgressEvent, llm_events.LLMCompletionInProgressEvent)
_ENDS = (llm_events.LLMChatEndEvent, llm_events.LLMCompletionEndEvent)


@dataclass(slots=True, weakref_slot=True)
class Reading:
    """So far consumed; `usage` None when a call did not tell, `model` that of the last call."""

    usage: Usage | None = None
    model: str = ""
    _silent: bool = False

    def add(self, usage: Usage | None, model: str) -> None:
        """A call ended."""
        self.model = model or self.model
        self._silent = self._silent or usage is None
        self.usage = None if self._silent else sum((u for u in (self.usage, usage) if u), Usage())


class Meter(BaseEventHandler):
    """Reads the calls made inside `reading()` blocks, from many threads and event loops at once."""

    _tag: str = PrivateAttr(default_factory=lambda: f"{OWN}meter-{uuid4().hex[:8]}")
    _readings: WeakValueDictionary[str, Reading] = PrivateAttr(default_factory=WeakValueDictionary)
    _calls: OpenCalls = PrivateAttr(default_factory=OpenCalls)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEventHandler.class_name`."""
        return "Meter"

    def attach(self) -> None:
        """Begin to listen."""
        get_dispatcher().add_event_handler(self)

    def detach(self) -> None:
        """Listen no more."""
        root = get_dispatcher()
        root.event_handlers = [each for each in root.event_handlers if each is not self]

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Calls asked for inside the block count, streams among them that are read after it.

        The reading is forgotten when its caller drops it.
        """
        name, reading = uuid4().hex, Reading()
        self._readings[name] = reading
        with instrument_tags({**active_instrument_tags.get(), self._tag: name}):
            yield reading

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Take in one event."""
        if isinstance(event, _STARTS):
            reading = self._reading_of(event)
            if reading is not None:
                facts = CallFacts(
                    id=event.id_,
                    started=datetime.now(UTC),
                    model=str(event.model_dict.get("model_name") or ""),
                    kind="",
                    tags={self._tag: reading},
                )
                self._calls.begin(event.span_id, facts, ())
        elif isinstance(event, _PROGRESS):
            self._calls.take(event.span_id, event.response)
        elif isinstance(event, _ENDS):
            self._end(event)
        elif isinstance(event, LLMCacheHitEvent):
            reading = self._reading_of(event)
            if reading is not None:
                reading.add(event.usage, event.model)

    def _end(self, event: Any) -> None:
        call = self._calls.end(event.span_id)
        if call is None or event.response is None or self._calls.repeats(event.response.raw):
            return
        call.take(event.response)
        call.facts.tags[self._tag].add(call.usage, call.model or call.facts.model)

    def _reading_of(self, event: BaseEvent) -> Reading | None:
        return self._readings.get(str(event.tags.get(self._tag)))
