"""The model calls in flight, from their start events to their end, error or span drop."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from llama_index_llm_optimizers.account import CallInfo, Outcome
from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.usage import add_reply
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.failed import Failure
from llm_optimizers.costs.open_calls import OpenCalls
from llm_optimizers.costs.reports import Report
from llm_optimizers.costs.runs import Attribution
from llm_optimizers.forks import ProcessLock

__all__ = ["InFlightCall", "InFlightCalls"]

_REMEMBERED = 64


@dataclass(slots=True)
class InFlightCall:
    """A call in flight with what its chunks reported; `nested` if another call was made inside.

    `repeated` if another call that handed on the same replies has been counted instead.
    """

    info: CallInfo
    around: tuple[InFlightCall, ...] = ()
    clock: float = field(default_factory=time.perf_counter)
    nested: bool = False
    repeated: bool = False
    last: Reply | None = None
    report: Report = field(default_factory=Report)
    deltas: list[str] = field(default_factory=list)

    def add_reply(self, reply: Reply) -> None:
        """Add a chunk, or the whole response."""
        # The end of a stream brings its last chunk again.
        if reply.delta and reply is not self.last:
            self.deltas.append(reply.delta)
        self.last = reply
        add_reply(self.report, reply)

    @property
    def said(self) -> str:
        """What the deltas say so far; of some LLMs each contains those before it."""
        grow = self.deltas[:1] != self.deltas[-1:] and all(
            after.startswith(before) for before, after in pairwise(self.deltas)
        )
        return self.deltas[-1] if grow else "".join(self.deltas)

    def outcome(self, failure: Failure | None) -> Outcome:
        """Return how the call ended."""
        return Outcome(
            reported=self.report.reported(),
            latency_s=time.perf_counter() - self.clock,
            failure=failure,
        )


class InFlightCalls:
    """The calls in flight, by span; safe to share between threads and event loops."""

    def __init__(self, open_calls: OpenCalls[InFlightCall] | None = None) -> None:
        self._open = OpenCalls(_forget) if open_calls is None else open_calls
        # The last calls' provider objects: a wrapper's end event has the same one as its child's.
        self._counted: deque[tuple[Callable[[], Any], float]] = deque(maxlen=_REMEMBERED)
        self._used_ids: deque[str] = deque(maxlen=8 * _REMEMBERED)
        self._lock = ProcessLock()

    def info_of(self, event: Any, attribution: Attribution) -> CallInfo:
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
            attribution=attribution,
            context=context,
        )

    def begin(self, span: str | None, info: CallInfo, enclosing: Iterable[str]) -> None:
        """Start a call; calls in the enclosing spans are wrappers of it."""
        around = self.mark_nested(enclosing)
        self._open.begin(span, InFlightCall(info, around))

    def watch(self, span: str | None, stream: object) -> None:
        """Give up the call of this span, if it is in flight, once nobody can read its stream."""
        self._open.watch(span, stream)

    def mark_nested(self, enclosing: Iterable[str]) -> tuple[InFlightCall, ...]:
        """Mark the calls of these spans as wrappers, so that they are not counted themselves."""
        around = tuple(self._open.all_of(enclosing))
        for call in around:
            call.nested = True
        return around

    def add_reply(self, span: str | None, reply: Reply) -> None:
        """Add a chunk to the call of this span."""
        call = self._open.find(span)
        if call is not None:
            call.add_reply(reply)

    def end(self, span: str | None) -> InFlightCall | None:
        """End and return the call of this span; None if there is none."""
        return self._open.end(span)

    def is_repeat(self, reply: Reply, call: InFlightCall) -> bool:
        """Whether this reply ended another call since `call` began; remember it if not.

        Without the provider's object a stream inside another hands on the same replies. The call
        may itself be around a third one, which is then counted too: the outer one of streams that
        are left ends first.
        """
        if any(outer.repeated for outer in call.around):
            return True
        raw = reply.raw
        if raw is None or isinstance(raw, str | int | float | bool):
            raw = reply
        with self._lock:
            if any(raw is counted() and call.clock <= end for counted, end in self._counted):
                call.repeated = True
                return True
            self._counted.append((_reference(raw), time.perf_counter()))
        return False

    def end_all(self) -> None:
        """Record all calls in flight as abandoned."""
        self._open.end_all()
        self._counted.clear()

    def _unused_id(self, wanted: str) -> str | None:
        with self._lock:
            if not wanted or wanted in self._used_ids:
                return None
            self._used_ids.append(wanted)
        return wanted


def _reference(raw: Any) -> Callable[[], Any]:
    """Return a function that returns the object, which is kept in memory only if it must be."""
    with suppress(TypeError):
        return weakref.ref(raw)
    return lambda: raw


def _forget(call: InFlightCall, *, cancelled: bool) -> None:
    """Do nothing with a call that was given up."""
