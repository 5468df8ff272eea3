"""The embedding calls in flight, from their start events to their end or span drop.

The events of a call that does not end say nothing of its texts, which are those of its span. A span
may make several calls, one for each batch of its texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import BoundArguments
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_llm_optimizers.account import CallInfo
from llm_optimizers.costs.open_calls import OpenCalls
from llm_optimizers.costs.runs import Attribution
from llm_optimizers.forks import ProcessLock

__all__ = ["EmbeddingCall", "EmbeddingCalls"]


@dataclass(slots=True)
class _Span:
    """The texts given to a span's function, how many are in begun calls, and those stored."""

    texts: Sequence[str] = ()
    begun: int = 0
    served: Counter[str] = field(default_factory=Counter)

    def next_texts(self, size: int) -> Sequence[str]:
        """Return the texts of the next call, which has at most this many."""
        first, self.begun = self.begun, self.begun + size
        return self.texts[first : self.begun]


@dataclass(slots=True, kw_only=True)
class EmbeddingCall:
    """An embedding call, its texts as far as known, and how many of each came from a store."""

    info: CallInfo
    texts: Sequence[str]
    stored: Counter[str]

    def divided(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the texts that were embedded, and those from the store."""
        called: list[str] = []
        served: list[str] = []
        for text in self.texts:
            if self.stored[text] > 0:
                self.stored[text] -= 1
                served.append(text)
            else:
                called.append(text)
        return called, served


class EmbeddingCalls:
    """The embedding calls in flight, by span; safe to share between threads and event loops."""

    def __init__(self, open_calls: OpenCalls[EmbeddingCall]) -> None:
        self._open = open_calls
        self._spans: dict[str | None, _Span] = {}
        self._lock = ProcessLock()

    def enter(self, span: str, function_of: object, arguments: BoundArguments) -> None:
        """Note a span of an embedding model, with its texts."""
        if isinstance(function_of, BaseEmbedding):
            given = arguments.arguments
            texts = given.get("texts") or [given.get("text") or given.get("query")]
            known = [text for text in texts if isinstance(text, str)]
            with self._lock:
                self._spans[span] = _Span(known)

    def leave(self, span: str) -> None:
        """Forget a span that ended."""
        with self._lock:
            self._spans.pop(span, None)

    def begin(self, event: Any, attribution: Attribution) -> None:
        """Note the start event of a call."""
        settings: Mapping[str, Any] = event.model_dict
        info = CallInfo(
            id=event.id_,
            started=datetime.now(UTC),
            model=str(settings.get("model_name") or ""),
            class_name=str(settings.get("class_name") or ""),
            attribution=attribution,
        )
        size = settings.get("embed_batch_size")
        with self._lock:
            # A span that was entered before this listened has texts that are not known.
            span = self._spans.get(event.span_id) or _Span()
            texts = span.next_texts(size if isinstance(size, int) and size > 0 else 1)
        call = EmbeddingCall(info=info, texts=texts, stored=span.served)
        self._open.begin(event.span_id, call)

    def add_hit(self, span: str | None, text: str) -> None:
        """Note that a text's vector came from the store."""
        with self._lock:
            known = self._spans.get(span)
            if known is not None:
                known.served[text] += 1

    def end(self, span: str | None, texts: Sequence[str]) -> EmbeddingCall | None:
        """End and return a call, with the texts of its end event; None if it was not seen."""
        call = self._open.end(span)
        if call is not None:
            call.texts = texts
        return call

    def fail(self, span: str | None) -> list[EmbeddingCall]:
        """End and return the calls of a span that failed."""
        calls: list[EmbeddingCall] = []
        while (call := self._open.end(span)) is not None:
            calls.append(call)
        return calls
