"""Whether an answer fits the schema that a model was bound to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import _configure_hooks, tracing_v2_callback_var
from langsmith import tracing_context

from langchain_llm_optimizers.binding import rebind
from langchain_llm_optimizers.codec import Generations

__all__ = ["acceptance_of"]


def acceptance_of(
    pipeline: Runnable[Any, Any], child: BaseChatModel
) -> Callable[[Generations], bool]:
    """Return whether the rest of a structured output pipeline accepts the child's answer.

    The pipeline is run on the answer without callbacks or tracing. No output counts as refused: the
    model called no tool.
    """
    return partial(_accepts, pipeline, child)


def _accepts(pipeline: Runnable[Any, Any], child: BaseChatModel, answer: Generations) -> bool:
    first = answer[0]
    # A copy, which the parser may change.
    return isinstance(first, ChatGeneration) and copy_context().run(
        _parses, pipeline, child, first.message.model_copy(deep=True)
    )


def _parses(pipeline: Runnable[Any, Any], child: BaseChatModel, message: BaseMessage) -> bool:
    for variable in _handler_variables():
        variable.set(None)
    given: Runnable[Any, Any] = RunnableLambda(lambda _, **__: message)
    with tracing_context(enabled=False):
        output = rebind(pipeline, child, given).invoke("")
    if isinstance(output, Mapping) and {"raw", "parsed", "parsing_error"} <= set(output):
        return output["parsed"] is not None and output["parsing_error"] is None
    return output is not None


def _handler_variables() -> Iterator[ContextVar[Any]]:
    """Yield the variables in which LangChain finds handlers for all that the running code runs."""
    yield cast("ContextVar[Any]", var_child_runnable_config)
    yield tracing_v2_callback_var
    for variable, *_ in _configure_hooks:
        yield variable
