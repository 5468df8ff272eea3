"""The model calls under way, from their start events to whatever ends them."""

from __future__ import annotations

import threading
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

__all__ = ["InFlightCall", "InFlightCalls"]

_REMEMBERED = 64


@dataclass(slots=True)
class InFlightCall:
    """A call under way and what its chunks told so far; `nested` if a call was made inside it."""

    info: CallInfo
    clock: float = field(default_factory=time.perf_counter)
    nested: bool = False
    last: Reply | None = None
    usage: Usage | None = None
    model: str = ""
    service_tier: str = ""

    def add_reply(self, reply: Reply) -> None:
        """Take in a chunk, or the whole response."""
        self.last = reply
        self.usage = latest_usage(self.usage, usage_of(reply))
        self.model = model_of(reply) or self.model
        self.service_tier = service_tier_of(reply) or self.service_tier

    def outcome(self, status: Status, error: str | None) -> Outcome:
        """How it ended."""
        return Outcome(
            model=self.model,
            usage=self.usage,
            service_tier=self.service_tier,
            latency_s=time.perf_counter() - self.clock,
            status=status,
            error=error,
        )


class InFlightCalls:
    """The open calls by span; threads and event loops share them."""

    def __init__(self) -> None:
        self._by_span: dict[str | None, list[InFlightCall]] = {}
        # The provider's objects of the last calls: a wrapper's end event repeats its child's.
        self._counted: deque[Any] = deque(maxlen=_REMEMBERED)
        self._names: deque[str] = deque(maxlen=8 * _REMEMBERED)
        self._lock = threading.Lock()

    def info_of(self, event: Any) -> CallInfo:
        """What a start event tells; a name given from outside goes to the first call under it."""
        asked: Mapping[str, Any] = event.model_dict
        context = context_of()
        return CallInfo(
            id=self._given_name(context.id) or event.id_,
            started=datetime.now(UTC),
            model=str(asked.get("model_name") or asked.get("model") or ""),
            class_name=str(asked.get("class_name") or ""),
            messages=event.prompt if hasattr(event, "prompt") else event.messages,
            params=event.additional_kwargs,
            tags=dict(event.tags),
            context=context,
        )

    def begin(self, span: str | None, info: CallInfo, around: Iterable[str]) -> None:
        """A call begins; calls open in the spans around it only passed it on."""
        self.mark_nested(around)
        with self._lock:
            self._by_span.setdefault(span, []).append(InFlightCall(info))

    def mark_nested(self, around: Iterable[str]) -> None:
        """Something that counts happened inside the calls of these spans."""
        spans = list(around)
        with self._lock:
            for span in spans:
                for call in self._by_span.get(span, ()):
                    call.nested = True

    def add_reply(self, span: str | None, reply: Reply) -> None:
        """A chunk came."""
        with self._lock:
            calls = self._by_span.get(span)
            call = calls[-1] if calls else None
        if call is not None:
            call.add_reply(reply)

    def end(self, span: str | None) -> InFlightCall | None:
        """The call of this span, which is no longer under way."""
        with self._lock:
            calls = self._by_span.get(span)
            if not calls:
                return None
            call = calls.pop()
            if not calls:
                del self._by_span[span]
            return call

    def already_counted(self, raw: Any) -> bool:
        """Whether this very object ended a call before; remembers it if not."""
        if raw is None or isinstance(raw, str | int | float | bool):
            return False
        with self._lock:
            if any(raw is counted for counted in self._counted):
                return True
            self._counted.append(raw)
        return False

    def drain(self) -> list[InFlightCall]:
        """All calls still under way, which are forgotten."""
        with self._lock:
            calls = [call for each in self._by_span.values() for call in each]
            self._by_span.clear()
            self._counted.clear()
        return calls

    def _given_name(self, wanted: str) -> str | None:
        with self._lock:
            if not wanted or wanted in self._names:
                return None
            self._names.append(wanted)
        return wanted
