"""Follow LlamaIndex's spans by their ids.

`SpanTree` keeps the open spans' parents, so that a call made inside another is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import BoundArguments
from typing import Any

from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import PrivateAttr

from llm_optimizers.forks import ProcessLock

__all__ = ["SpanListener", "SpanTree"]


class SpanListener(BaseSpanHandler[BaseSpan]):
    """A handler that follows spans by their ids and makes no span objects."""

    def new_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: there is no span object."""
        return None

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: there is no span object."""
        return None

    def prepare_to_drop_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: there is no span object."""
        return None


class SpanTree(SpanListener):
    """Keeps the parent id of each open span, and nothing else."""

    _parents: dict[str, str | None] = PrivateAttr(default_factory=dict)
    _guard: Any = PrivateAttr(default_factory=ProcessLock)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseSpanHandler.class_name`."""
        return "SpanTree"

    def ancestors(self, span: str | None) -> Iterator[str]:
        """Yield the open spans that enclose this one, the nearest first."""
        while span is not None:
            with self._guard:
                span = self._parents.get(span)
            if span is not None:
                yield span

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Store a span's parent."""
        with self._guard:
            self._parents[id_] = parent_id

    def span_exit(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove a span that ended."""
        with self._guard:
            self._parents.pop(id_, None)

    def span_drop(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove a span that failed."""
        with self._guard:
            self._parents.pop(id_, None)
