"""Bind tools and schemas in the format of the model that is called.

Each provider has its own format for tools and structured output, so a router cannot bind them
before it has chosen a child. It keeps the arguments (`DeferredBinding`), and the chosen child binds
them when it is called.

A wrapper of one model lets the child build its runnable at once and replaces the child in it with
itself (`rebind`), so that calls pass through the wrapper in the child's own format.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import (
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.passthrough import RunnableAssign
from langchain_core.utils.function_calling import convert_to_openai_tool

from llm_optimizers.errors import ConfigurationError

__all__ = [
    "DEFERRED_BINDING",
    "DeferredBinding",
    "DeferredStructuredOutput",
    "DeferredTools",
    "rebind",
    "settings_for",
]


def rebind(
    runnable: Runnable[Any, Any], old: BaseChatModel, new: Runnable[Any, Any]
) -> Runnable[Any, Any]:
    """Return the runnable with `old`, and bound copies of it, replaced by `new`."""
    if runnable is old:
        return new
    if isinstance(runnable, BaseChatModel):
        # Some providers bind by copying themselves: the copy becomes the wrapper's child.
        if isinstance(new, BaseChatModel) and type(runnable) is type(old):
            return new.model_copy(update={"model": runnable})
        return new
    if isinstance(runnable, RunnableBindingBase):
        return runnable.model_copy(update={"bound": rebind(runnable.bound, old, new)})
    if isinstance(runnable, RunnableSequence):
        steps = [rebind(step, old, new) for step in runnable.steps]
        return RunnableSequence(*steps, name=runnable.name)
    if isinstance(runnable, RunnableParallel):
        branches = {name: rebind(step, old, new) for name, step in runnable.steps__.items()}
        return RunnableParallel(branches)
    if isinstance(runnable, RunnableAssign):
        mapper = rebind(runnable.mapper, old, new)
        return runnable.model_copy(update={"mapper": mapper})
    if isinstance(runnable, RunnableWithFallbacks):
        return runnable.model_copy(
            update={
                "runnable": rebind(runnable.runnable, old, new),
                "fallbacks": [rebind(each, old, new) for each in runnable.fallbacks],
            }
        )
    return runnable


DEFERRED_BINDING = "llm_optimizers_port"
"""The keyword that carries a deferred binding in a call's settings; no provider gets it."""


class DeferredBinding(Protocol):
    """Arguments to bind on the child that a router chooses."""

    def bind_on(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """Bind them in the child's own format."""
        ...

    def request_params(self) -> dict[str, Any]:
        """Return the core request's parameters, from which the router reads its requirements."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class DeferredTools:
    """The arguments of `bind_tools`."""

    tools: Sequence[Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def bind_on(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """See `DeferredBinding.bind_on`."""
        return child.bind_tools(list(self.tools), **self.kwargs)

    def request_params(self) -> dict[str, Any]:
        """Return the tool definitions, which also count as tokens."""
        found = {"tools": [_definition(tool) for tool in self.tools]} if self.tools else {}
        response_format = self.kwargs.get("response_format")
        return {**found, "response_format": response_format} if response_format else found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class DeferredStructuredOutput:
    """The arguments of `with_structured_output`."""

    schema: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def bind_on(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """Return the child's whole pipeline, model and parser."""
        return child.with_structured_output(self.schema, **self.kwargs)

    def request_params(self) -> dict[str, Any]:
        """Return a JSON format; the schema is left out, since the child's parser checks it."""
        return {"response_format": {"type": "structured"}}

    def parse(self, child: BaseChatModel, message: AIMessage) -> Any:
        """Parse a message of the child's with the rest of the child's pipeline."""
        given: Runnable[Any, Any] = RunnableLambda(lambda _, **__: message)
        return rebind(_bound(self, child), child, given).invoke("")


_BOUND: WeakKeyDictionary[DeferredBinding, dict[int, tuple[BaseChatModel, Runnable[Any, Any]]]]
_BOUND = WeakKeyDictionary()
_LOCK = threading.Lock()


def _bound(deferred: DeferredBinding, child: BaseChatModel) -> Runnable[Any, Any]:
    """Bind on a child once: a cache's key then says what is sent, whatever changes later."""
    with _LOCK:
        found = _BOUND.get(deferred, {}).get(id(child))
    if found is None:
        made = deferred.bind_on(child)
        with _LOCK:
            # The child is kept as well: another could get its address.
            found = _BOUND.setdefault(deferred, {}).setdefault(id(child), (child, made))
    return found[1]


def settings_for(child: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's settings with the deferred binding replaced by what the child binds.

    Raises:
        ConfigurationError: the settings cannot be read from what the child binds.
    """
    settings = {name: value for name, value in kwargs.items() if name != DEFERRED_BINDING}
    deferred: DeferredBinding | None = kwargs.get(DEFERRED_BINDING)
    if deferred is None:
        return settings
    bound = _binding(_bound(deferred, child), child)
    if bound is None:
        raise ConfigurationError(
            f"tools bound on a {type(child).__name__} cannot be read, so it cannot be routed to "
            "with tools: bind them on this model yourself and call it without the router"
        )
    return {**bound, **settings}


def _binding(runnable: Runnable[Any, Any], child: BaseChatModel) -> dict[str, Any] | None:
    """Return the settings with which a pipeline calls the child, None if it does not call it."""
    if isinstance(runnable, BaseChatModel):
        copied_from = getattr(runnable, "_copied_from", runnable)
        return {} if child is runnable or child is copied_from else None
    if isinstance(runnable, RunnableBindingBase):
        inner = _binding(runnable.bound, child)
        return None if inner is None else {**inner, **runnable.kwargs}
    if isinstance(runnable, RunnableSequence):
        return _binding(runnable.steps[0], child)
    if isinstance(runnable, RunnableParallel):
        found = (_binding(step, child) for step in runnable.steps__.values())
        return next((settings for settings in found if settings is not None), None)
    return None


def _definition(tool: Any) -> Any:
    """Return a tool as OpenAI's definition; only its class for what is not in a known form."""
    try:
        return convert_to_openai_tool(tool)
    except (TypeError, ValueError):
        return tool if isinstance(tool, dict) else {"type": type(tool).__name__}
