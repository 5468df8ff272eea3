"""Follow LlamaIndex's spans by their ids.

`SpanTree` keeps the open spans' parents, so that a call made inside another is counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import BoundArguments
from typing import Any, Self, TypeAlias

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


_OnEnter: TypeAlias = Callable[[str, str | None, Any, BoundArguments], None]


class SpanTree(SpanListener):
    """Keeps the parent id of each open span, and tells its owner of each span.

    `on_enter` gets a span's id and parent, its function's object and arguments, `on_return` its id
    and result, `on_leave` its id, also after an error.
    """

    _parents: dict[str, str | None] = PrivateAttr(default_factory=dict)
    _on_enter: _OnEnter | None = PrivateAttr(default=None)
    _on_return: Callable[[str, Any], None] | None = PrivateAttr(default=None)
    _on_leave: Callable[[str], None] | None = PrivateAttr(default=None)
    _guard: Any = PrivateAttr(default_factory=ProcessLock)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseSpanHandler.class_name`."""
        return "SpanTree"

    @classmethod
    def watched(
        cls,
        on_enter: _OnEnter,
        on_return: Callable[[str, Any], None],
        on_leave: Callable[[str], None],
    ) -> Self:
        """Return a tree with an owner."""
        tree = cls()
        tree._on_enter, tree._on_return, tree._on_leave = on_enter, on_return, on_leave
        return tree

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
        if self._on_enter is not None:
            self._on_enter(id_, parent_id, instance, bound_args)

    def span_exit(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove a span that ended."""
        if self._on_return is not None:
            self._on_return(id_, result)
        self._remove(id_)

    def span_drop(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove a span that failed."""
        self._remove(id_)

    def _remove(self, span: str) -> None:
        with self._guard:
            self._parents.pop(span, None)
        if self._on_leave is not None:
            self._on_leave(span)
