"""Which span lies in which: so that a call made within another call is counted once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from inspect import BoundArguments
from typing import Any

from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import PrivateAttr

__all__ = ["SpanTree"]


class SpanTree(BaseSpanHandler[BaseSpan]):
    """The parents of the spans that are open now; keeps nothing else of them."""

    _parents: dict[str, str | None] = PrivateAttr(default_factory=dict)
    _guard: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseSpanHandler.class_name`."""
        return "SpanTree"

    def ancestors(self, span: str | None) -> Iterator[str]:
        """The open spans around this one, the nearest first."""
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
        """Remember a span's parent."""
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
        """Forget a span that ended."""
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
        """Forget a span that failed."""
        with self._guard:
            self._parents.pop(id_, None)

    def new_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """No span object is needed."""
        return None

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """No span object is needed."""
        return None

    def prepare_to_drop_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """No span object is needed."""
        return None
