"""The embeddings under way, and which of their texts an `EmbeddingsStore` served."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llama_index_llm_optimizers.account import CallFacts

__all__ = ["Embedded", "EmbeddingTally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A finished call: the texts that were embedded, and those that were served."""

    facts: CallFacts
    called: Sequence[str]
    served: Sequence[str]


class EmbeddingTally:
    """Embedding calls by span; threads and event loops share it."""

    def __init__(self) -> None:
        self._facts: dict[str | None, CallFacts] = {}
        self._served: dict[str | None, Counter[str]] = {}
        self._lock = threading.Lock()

    def begin(self, event: Any) -> None:
        """A call begins, as its start event tells."""
        told: Mapping[str, Any] = event.model_dict
        facts = CallFacts(
            id=event.id_,
            started=datetime.now(UTC),
            model=str(told.get("model_name") or ""),
            kind=str(told.get("class_name") or ""),
            tags=dict(event.tags),
        )
        with self._lock:
            self._facts[event.span_id] = facts

    def serve(self, span: str | None, text: str) -> None:
        """A text's vector came from a store."""
        with self._lock:
            self._served.setdefault(span, Counter())[text] += 1

    def end(self, span: str | None, texts: Sequence[str]) -> Embedded | None:
        """A call ended; None if it was not seen to begin."""
        with self._lock:
            facts = self._facts.pop(span, None)
            stored = self._served.pop(span, Counter())
        if facts is None:
            return None
        called: list[str] = []
        served: list[str] = []
        for text in texts:
            (served if stored[text] > 0 else called).append(text)
            stored[text] -= 1
        return Embedded(facts=facts, called=called, served=served)

    def forget(self, span: str | None) -> None:
        """A call failed."""
        with self._lock:
            self._facts.pop(span, None)
            self._served.pop(span, None)
