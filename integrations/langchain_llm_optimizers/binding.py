"""Bind tools and schemas in the format of the model that is called.

Each provider has its own format for tools and structured output, so a router cannot bind them
before it has chosen a child. It keeps the arguments (`DeferredBinding`), and the chosen child binds
them when it is called.

A wrapper of one model lets the child build its runnable at once and replaces the child in it with
itself (`rebind`), so that calls pass through the wrapper in the child's own format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    ensure_config,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.passthrough import RunnableAssign
from langchain_core.utils.function_calling import convert_to_openai_tool

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.forks import ProcessLock

__all__ = [
    "DEFERRED_BINDING",
    "DeferredBinding",
    "DeferredStructuredOutput",
    "DeferredTools",
    "chosen_later",
    "chosen_now",
    "deferred_in",
    "deferring",
    "models_in",
    "rebind",
    "settings_for",
    "with_models",
]


def rebind(
    runnable: Runnable[Any, Any], old: BaseChatModel, new: Runnable[Any, Any]
) -> Runnable[Any, Any]:
    """Return the runnable with `old`, and bound copies of it, replaced by `new`.

    If `new` is a wrapper, models of another class stay: they are none of `old`.
    """

    def replaced(model: BaseChatModel) -> Runnable[Any, Any]:
        if model is old or not isinstance(new, BaseChatModel):
            return new
        # Some providers bind by copying themselves: the copy becomes the wrapper's child.
        return new.model_copy(update={"model": model}) if type(model) is type(old) else model

    return _with_each(runnable, replaced)


def _with_each(
    runnable: Runnable[Any, Any],
    change: Callable[[BaseChatModel], Runnable[Any, Any]],
    choose: Callable[[Runnable[Any, Any]], Runnable[Any, Any]] = lambda given: given,
) -> Runnable[Any, Any]:
    """Return the runnable with each chat model in it changed; `choose` resolves each part first."""
    runnable = choose(runnable)
    if isinstance(runnable, BaseChatModel):
        return change(runnable)

    def part(inner: Runnable[Any, Any]) -> Any:
        return _with_each(inner, change, choose)

    if isinstance(runnable, RunnableBindingBase):
        return runnable.model_copy(update={"bound": part(runnable.bound)})
    if isinstance(runnable, RunnableSequence):
        return RunnableSequence(*map(part, runnable.steps), name=runnable.name)
    if isinstance(runnable, RunnableParallel):
        return RunnableParallel({name: part(step) for name, step in runnable.steps__.items()})
    if isinstance(runnable, RunnableAssign):
        return runnable.model_copy(update={"mapper": part(runnable.mapper)})
    if isinstance(runnable, RunnableWithFallbacks):
        others = [part(each) for each in runnable.fallbacks]
        return runnable.model_copy(
            update={"runnable": part(runnable.runnable), "fallbacks": others}
        )
    return runnable


def with_models(
    runnable: Runnable[Any, Any], wrap: Callable[[BaseChatModel], BaseChatModel]
) -> Runnable[Any, Any]:
    """Return the runnable with each chat model in it wrapped, inside its bindings and fallbacks.

    A model that is chosen by the run's configuration is chosen now, by that of the running code.
    """
    return _with_each(runnable, wrap, chosen_now)


def chosen_later(runnable: object) -> bool:
    """Whether this is the model of an `init_chat_model` without a fixed name."""
    return callable(getattr(type(runnable), "_model_params", None))


def chosen_now(runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return what the running code's configuration chooses; a runnable without choices itself."""
    if isinstance(runnable, DynamicRunnable):
        now, _ = runnable.prepare(ensure_config())
        return now.with_config(runnable.config) if runnable.config else now
    if chosen_later(runnable) and not isinstance(runnable, BaseChatModel):
        made: Runnable[Any, Any] = getattr(runnable, "_model")(ensure_config())  # noqa: B009
        return made
    return runnable


def models_in(runnable: Any) -> Iterator[BaseChatModel]:
    """Yield the chat models in a runnable, the first one to be called first."""
    if isinstance(runnable, BaseChatModel):
        yield runnable
        return
    inner: Iterable[Any] = ()
    if isinstance(runnable, RunnableBindingBase):
        inner = (runnable.bound,)
    elif isinstance(runnable, RunnableSequence):
        inner = runnable.steps
    elif isinstance(runnable, RunnableParallel):
        inner = runnable.steps__.values()
    elif isinstance(runnable, RunnableWithFallbacks):
        inner = runnable.runnables
    elif isinstance(runnable, DynamicRunnable):
        inner = (runnable.default, *getattr(runnable, "alternatives", {}).values())
    for each in inner:
        yield from models_in(each)


DEFERRED_BINDING = "llm_optimizers_port"
"""The keyword that carries a deferred binding in a call's settings; no provider gets it."""


class DeferredBinding(Protocol):
    """Arguments to bind on the child that a router chooses."""

    def bind_on(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """Bind them in the child's own format."""
        ...

    def shown(self) -> dict[str, Any]:
        """Return what other code reads of a binding, beside this object in the call's settings."""
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

    def shown(self) -> dict[str, Any]:
        """Return the tool definitions: LangGraph's agents bind a model that has none again."""
        return {"tools": [_definition(tool) for tool in self.tools]}

    def request_params(self) -> dict[str, Any]:
        """Return the tool definitions, which also count as tokens."""
        found = self.shown() if self.tools else {}
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

    def shown(self) -> dict[str, Any]:
        """Return nothing: the format differs between the children."""
        return {}

    def request_params(self) -> dict[str, Any]:
        """Return a JSON format; the schema is left out, since the child's parser checks it."""
        return {"response_format": {"type": "structured"}}

    def parse(self, child: BaseChatModel, message: AIMessage) -> Any:
        """Parse a message of the child's with the rest of the child's pipeline."""
        given: Runnable[Any, Any] = RunnableLambda(lambda _, **__: message)
        return rebind(_bound(self, child), child, given).invoke("")


_BOUND: WeakKeyDictionary[DeferredBinding, dict[int, tuple[BaseChatModel, Runnable[Any, Any]]]]
_BOUND = WeakKeyDictionary()
_LOCK = ProcessLock()


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


def deferring(model: BaseChatModel, deferred: DeferredBinding) -> Runnable[Any, Any]:
    """Return the model with a deferred binding."""
    return model.bind(**deferred.shown(), **{DEFERRED_BINDING: deferred})


def deferred_in(kwargs: Mapping[str, Any]) -> tuple[DeferredBinding | None, dict[str, Any]]:
    """Return the deferred binding in a call's settings, if any, and the other settings."""
    deferred: DeferredBinding | None = kwargs.get(DEFERRED_BINDING)
    shown = {} if deferred is None else deferred.shown()
    others = {
        name: value
        for name, value in kwargs.items()
        if name != DEFERRED_BINDING and not (name in shown and shown[name] == value)
    }
    return deferred, others


def settings_for(child: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's settings with the deferred binding replaced by what the child binds.

    Raises:
        ConfigurationError: the settings cannot be read from what the child binds.
    """
    deferred, settings = deferred_in(kwargs)
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
