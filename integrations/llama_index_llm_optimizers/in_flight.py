"""The model calls in flight, from their start events to their end, error or span drop."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from llama_index_llm_optimizers.account import CallInfo, Outcome
from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.usage import latest_usage, model_of, service_tier_of, usage_of
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.records import Status
from llm_optimizers.forks import ProcessLock

__all__ = ["InFlightCall", "InFlightCalls"]

_REMEMBERED = 64


@dataclass(slots=True)
class InFlightCall:
    """A call in flight with what its chunks reported; `nested` if another call was made inside."""

    info: CallInfo
    clock: float = field(default_factory=time.perf_counter)
    nested: bool = False
    last: Reply | None = None
    usage: Usage | None = None
    model: str = ""
    service_tier: str = ""

    def add_reply(self, reply: Reply) -> None:
        """Add a chunk, or the whole response."""
        self.last = reply
        self.usage = latest_usage(self.usage, usage_of(reply))
        self.model = model_of(reply) or self.model
        self.service_tier = service_tier_of(reply) or self.service_tier

    def outcome(self, status: Status, error: str | None) -> Outcome:
        """Return how the call ended."""
        return Outcome(
            model=self.model,
            usage=self.usage,
            service_tier=self.service_tier,
            latency_s=time.perf_counter() - self.clock,
            status=status,
            error=error,
        )


class InFlightCalls:
    """The calls in flight, by span; safe to share between threads and event loops."""

    def __init__(self) -> None:
        self._by_span: dict[str | None, list[InFlightCall]] = {}
        # The last calls' provider objects: a wrapper's end event has the same one as its child's.
        self._counted: deque[Any] = deque(maxlen=_REMEMBERED)
        self._used_ids: deque[str] = deque(maxlen=8 * _REMEMBERED)
        self._lock = ProcessLock()

    def info_of(self, event: Any) -> CallInfo:
        """Read a start event; an id given by the context goes to the first call that has it."""
        asked: Mapping[str, Any] = event.model_dict
        context = context_of()
        return CallInfo(
            id=self._unused_id(context.id) or event.id_,
            started=datetime.now(UTC),
            model=str(asked.get("model_name") or asked.get("model") or ""),
            class_name=str(asked.get("class_name") or ""),
            messages=event.prompt if hasattr(event, "prompt") else event.messages,
            params=event.additional_kwargs,
            tags=dict(event.tags),
            context=context,
        )

    def begin(self, span: str | None, info: CallInfo, enclosing: Iterable[str]) -> None:
        """Start a call; calls in the enclosing spans are wrappers of it."""
        self.mark_nested(enclosing)
        with self._lock:
            self._by_span.setdefault(span, []).append(InFlightCall(info))

    def mark_nested(self, enclosing: Iterable[str]) -> None:
        """Mark the calls of these spans as wrappers, so that they are not counted themselves."""
        spans = list(enclosing)
        with self._lock:
            for span in spans:
                for call in self._by_span.get(span, ()):
                    call.nested = True

    def add_reply(self, span: str | None, reply: Reply) -> None:
        """Add a chunk to the call of this span."""
        with self._lock:
            calls = self._by_span.get(span)
            call = calls[-1] if calls else None
        if call is not None:
            call.add_reply(reply)

    def end(self, span: str | None) -> InFlightCall | None:
        """End and return the call of this span; None if there is none."""
        with self._lock:
            calls = self._by_span.get(span)
            if not calls:
                return None
            call = calls.pop()
            if not calls:
                del self._by_span[span]
            return call

    def is_repeat(self, raw: Any) -> bool:
        """Whether this object already ended a call; remember it if not."""
        if raw is None or isinstance(raw, str | int | float | bool):
            return False
        with self._lock:
            if any(raw is counted for counted in self._counted):
                return True
            self._counted.append(raw)
        return False

    def drain(self) -> list[InFlightCall]:
        """Remove and return all calls in flight."""
        with self._lock:
            calls = [call for each in self._by_span.values() for call in each]
            self._by_span.clear()
            self._counted.clear()
        return calls

    def _unused_id(self, wanted: str) -> str | None:
        with self._lock:
            if not wanted or wanted in self._used_ids:
                return None
            self._used_ids.append(wanted)
        return wanted
