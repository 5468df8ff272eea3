"""One run of a way: what came back, the requests at the server, the events and the spans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from inspect import BoundArguments
from itertools import takewhile
from typing import Any

from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, PrivateAttr

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.span import SpanDropEvent
from llama_index.core.llms.llm import LLM
from llama_index_llm_optimizers.spans import SpanListener
from llama_index_llm_optimizers.wrappers import is_wrapper

EXTRAS = ("raw", "additional_kwargs", "delta", "logprobs", "likelihood_score")
"""Fields of a reply besides its message or text; those of a message are among them."""
_VARYING = frozenset(
    {"id", "id_", "span_id", "timestamp", "event_id", "node_id", "doc_id", "created"}
    | {"llamaindex.run_id", "time", "age", "hit_id"}
)
_RANDOM = re.compile(r" at 0x[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Run:
    """What one run of a way did; each part is plain data."""

    answer: Any = None
    extras: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)


def differences_of(bare: Run, wrapped: Run) -> dict[str, str]:
    """Return each part that differs, with what stands where the two begin to differ."""
    found = {}
    for part in vars(bare):
        one, other = (json.dumps(getattr(run, part), sort_keys=True) for run in (bare, wrapped))
        if one != other:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            start = max(0, sum(1 for _ in same) - 100)
            found[part] = f"{one[start : start + 300]} became {other[start : start + 300]}"
    return found


class Recorder(BaseCallbackHandler):
    """Records events, spans and callbacks into the run that is being observed."""

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.run = Run()

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        self.run.events.append(plain(["start", event_type.value, payload]))
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        self.run.events.append(plain(["end", event_type.value, payload]))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Traces have no content."""

    def end_trace(
        self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None
    ) -> None:
        """Traces have no content."""


class _Events(BaseEventHandler):
    recorder: Any = None
    spans: Any = None

    @classmethod
    def class_name(cls) -> str:
        return "ContractEvents"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, SpanDropEvent) and self.spans.is_within(event.span_id):
            return
        data = {name: getattr(event, name) for name in type(event).model_fields}
        self.recorder.run.events.append(plain([event.class_name(), data]))


@dataclass(frozen=True, kw_only=True)
class _Span:
    name: str
    parent: str | None
    wrapper: bool


class _Spans(SpanListener):
    """Records the names of spans; a wrapper's span around the same method of its LLM is left out.

    A method of an LLM is named without its class, so that a wrapper's own span stands for the LLM's
    where the LLM is not called.
    """

    recorder: Any = None
    _begun: dict[str, _Span] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        return "ContractSpans"

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        name = id_.rpartition("-")[0] if id_.count("-") < 5 else id_[: -len("-") - 36]
        if isinstance(instance, LLM):
            name = f"LLM.{name.rpartition('.')[2]}"
        self._begun[id_] = _Span(name=name, parent=parent_id, wrapper=is_wrapper(instance))
        if not self.is_within(id_):
            self.recorder.run.spans.append(name)

    def is_within(self, id_: str | None) -> bool:
        """Whether a span is that of the LLM inside a wrapper, whose own span stands for it."""
        span = self._begun.get(id_ or "")
        above = self._begun.get(span.parent or "") if span else None
        return bool(span and above and above.wrapper and above.name == span.name)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let the recorder see all events and spans of this process."""
    root = get_dispatcher()
    events, spans = _Events(), _Spans()
    events.recorder = spans.recorder = recorder
    events.spans = spans
    saved = list(root.event_handlers), list(root.span_handlers)
    root.add_event_handler(events)
    root.add_span_handler(spans)
    try:
        yield
    finally:
        root.event_handlers, root.span_handlers = saved


def finish(run: Run, value: Any, requests: Sequence[str]) -> Run:
    """Return the run with its answer and requests; what runs at once has no order."""
    run.answer = _with_numbered_calls(plain(_without_extras(value, run.extras)))
    run.extras = plain(run.extras)
    run.requests = sorted(requests)
    run.events.sort(key=lambda each: json.dumps(each, sort_keys=True))
    run.spans.sort()
    return run


def _without_extras(value: Any, extras: list[Any]) -> Any:
    """Return an answer with the extras of its replies moved to this list."""
    if isinstance(value, ChatResponse | CompletionResponse):
        extras.append({name: getattr(value, name) for name in EXTRAS if hasattr(value, name)})
        if isinstance(value, CompletionResponse):
            return {"text": value.text}
        return {"message": _without_extras(value.message, extras)}
    if isinstance(value, ChatMessage):
        extras.append(value.additional_kwargs)
        return {"role": value.role, "blocks": value.blocks}
    if isinstance(value, Mapping):
        return {name: _without_extras(each, extras) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_extras(each, extras) for each in value]
    return value


def plain(value: Any) -> Any:
    """Return a value as data, without ids and times, which differ in every run."""
    if isinstance(value, BaseException):
        return [type(value).__name__, str(value)]
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, LLM):
        return value.class_name()
    if isinstance(value, BaseModel):
        data = {name: getattr(value, name) for name in type(value).model_fields}
        return [type(value).__name__, plain(data)]
    if isinstance(value, Mapping):
        return {str(k): plain(each) for k, each in value.items() if k not in _VARYING}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if value is None or isinstance(value, int | float | bool):
        return value
    return _RANDOM.sub("", str(value))


def _with_numbered_calls(answer: Any) -> Any:
    """Return an answer with its tool calls' ids numbered; those of a hit are new ones."""
    seen: dict[str, str] = {}
    text = re.sub(
        r"\bcall_\w+",
        lambda found: seen.setdefault(found[0], f"call {len(seen)}"),
        json.dumps(answer),
    )
    return json.loads(text)
