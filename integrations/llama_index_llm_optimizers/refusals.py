"""Refuse the answers that a parser, program or schema did not accept.

LlamaIndex reports programs, output parsers, `structured_predict` and query engines as spans. Once
the first cache is made, a small handler keeps the open spans, their parents and the keys of the
answers given inside them, no text. When a span fails, the answers given inside it are refused,
unless a model, a tool or the transport failed; when an output parser fails, those given to it. A
refused answer leaves the cache, and a retry's call goes to the model.

A partial object of a stream raises no error, so the streams of `CachedLLM` check the last one
(`checked_stream`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextvars import Context, ContextVar, copy_context
from inspect import BoundArguments
from typing import Any, TypeVar

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import BaseOutputParser
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.span import active_span_id
from pydantic import ValidationError

from llama_index_llm_optimizers.binding import CALL_METHODS
from llama_index_llm_optimizers.call import astream_in_context, stream_in_context
from llm_optimizers.caching import CallOptions, GivenAnswer, fresh_answers
from llm_optimizers.caching.refusals import (
    HeldAnswers,
    answers_given,
    answers_held,
    refuse_all,
)
from llm_optimizers.caching.run_tree import RunTree, blames_answer
from llm_optimizers.effects import closing, closing_async

__all__ = [
    "achecked_stream",
    "checked_stream",
    "fresh_answers",
    "options_of_context",
    "watch_spans",
]

T = TypeVar("T")
_SPANS = RunTree()
_latest: ContextVar[GivenAnswer | None] = ContextVar("llama_index_llm_optimizers_latest")
"""The last answer given in this context. A program's `acall` is no span, its parser's is."""


def options_of_context(context: Context) -> CallOptions[Any]:
    """Return the options of a call that is made in this context."""
    span: str | None = context.get(active_span_id, None)
    path = _SPANS.path(span)
    batch = _SPANS.batch_of(path[0]) if path else None
    if path:
        _SPANS.ask(path[0])

    def give(answer: GivenAnswer) -> None:
        _SPANS.give(path, answer)
        _latest.set(answer)

    return CallOptions(on_given=give, batches=() if batch is None else (batch,))


def checked_stream(
    output_cls: type[Any], begin: Callable[[], Iterator[T]]
) -> Generator[T, None, None]:
    """Return a stream of partial objects; its answer is refused if the last one is still partial.

    The stream belongs to the code that calls this function.
    """
    with answers_given() as given, answers_held() as held:
        return _checked(output_cls, stream_in_context(copy_context(), begin), given, held)


def achecked_stream(
    output_cls: type[Any], begin: Callable[[], Awaitable[AsyncIterator[T]]]
) -> AsyncGenerator[T, None]:
    """Async version of `checked_stream`."""
    with answers_given() as given, answers_held() as held:
        return _achecked(output_cls, astream_in_context(copy_context(), begin), given, held)


def _checked(
    output_cls: type[Any], objects: Iterator[T], given: list[GivenAnswer], held: HeldAnswers
) -> Generator[T, None, None]:
    last: T | None = None
    try:
        with closing(objects):
            for last in objects:
                yield last
        if _complete(last, output_cls):
            held.accept()
        else:
            refuse_all(given)
    except Exception as error:
        _refuse_if(given, blames_answer(error))
        raise
    finally:
        held.drop()


async def _achecked(
    output_cls: type[Any], objects: AsyncIterator[T], given: list[GivenAnswer], held: HeldAnswers
) -> AsyncGenerator[T, None]:
    last: T | None = None
    try:
        async with closing_async(objects):
            async for last in objects:
                yield last
        if _complete(last, output_cls):
            await held.aaccept()
        else:
            refuse_all(given)
    except Exception as error:
        _refuse_if(given, blames_answer(error))
        raise
    finally:
        held.drop()


def _refuse_if(given: list[GivenAnswer], refused: bool) -> None:
    if refused:
        refuse_all(given)


def _complete(last: object, output_cls: type[Any]) -> bool:
    objects = last if isinstance(last, list) else [last]
    return bool(objects) and all(isinstance(each, output_cls) for each in objects)


def watch_spans() -> None:
    """Let the handler see every span from now on, unless it already does."""
    root = get_dispatcher()
    if not any(isinstance(each, _SpanWatcher) for each in root.span_handlers):
        root.add_span_handler(_SpanWatcher())


class _SpanWatcher(BaseSpanHandler[BaseSpan]):
    """Follows the spans that give answers to parsers and programs."""

    @classmethod
    def class_name(cls) -> str:
        """See `BaseSpanHandler.class_name`."""
        return "RefusalSpans"

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Open a span."""
        _SPANS.start(id_, parent_id, parsing=isinstance(instance, BaseOutputParser))

    def span_exit(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """Close a span that succeeded."""
        _SPANS.end(id_)

    def span_drop(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Close a span that failed; its answers may be the cause."""
        if err is None:
            _SPANS.end(id_)
            return
        asked = isinstance(instance, BaseLLM) and _method(id_) in CALL_METHODS
        acted = isinstance(instance, BaseTool)
        if acted and isinstance(err, ValidationError):
            # An agent tells its LLM of this error, so that no span around the tool's fails.
            _SPANS.refuse_latest(id_)
        known = _SPANS.fail(id_, err, excused=asked or acted)
        latest = None if known else _latest.get(None)
        if latest is not None:
            refuse_all([latest])

    def new_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: no span object is needed."""
        return None

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: no span object is needed."""
        return None

    def prepare_to_drop_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> BaseSpan | None:
        """Return None: no span object is needed."""
        return None


def _method(span: str) -> str:
    """Return the method in a span's id, `Class.method-uuid`."""
    return span.partition("-")[0].rpartition(".")[2]
