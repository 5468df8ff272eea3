"""Tools and schemas kept raw until it is known which model will see them.

Every provider binds tools and asks for structured output in a form of its own. A router cannot
bind early: what suits one child would not suit the next. It keeps what was given and lets the
chosen child bind it at the call.

The child builds the runnable, and the wrapper then takes the child's place in it, so that the calls
come through the wrapper in exactly the form the child chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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

__all__ = ["PORT", "Port", "StructurePort", "ToolsPort", "graft", "settings_for"]


def graft(
    runnable: Runnable[Any, Any], old: BaseChatModel, new: Runnable[Any, Any]
) -> Runnable[Any, Any]:
    """The runnable with `new` wherever `old`, or a bound copy of it, stands."""
    if runnable is old:
        return new
    if isinstance(runnable, BaseChatModel):
        # Some providers bind by copying themselves: the copy becomes the wrapper's child.
        if isinstance(new, BaseChatModel) and type(runnable) is type(old):
            return new.model_copy(update={"model": runnable})
        return new
    if isinstance(runnable, RunnableBindingBase):
        return runnable.model_copy(update={"bound": graft(runnable.bound, old, new)})
    if isinstance(runnable, RunnableSequence):
        steps = [graft(step, old, new) for step in runnable.steps]
        return RunnableSequence(*steps, name=runnable.name)
    if isinstance(runnable, RunnableParallel):
        branches = {name: graft(step, old, new) for name, step in runnable.steps__.items()}
        return RunnableParallel(branches)
    if isinstance(runnable, RunnableAssign):
        mapper = graft(runnable.mapper, old, new)
        return runnable.model_copy(update={"mapper": mapper})
    if isinstance(runnable, RunnableWithFallbacks):
        return runnable.model_copy(
            update={
                "runnable": graft(runnable.runnable, old, new),
                "fallbacks": [graft(each, old, new) for each in runnable.fallbacks],
            }
        )
    return runnable


PORT = "llm_optimizers_port"
"""The keyword under which a port travels in a call's settings; it never reaches a provider."""


class Port(Protocol):
    """Something to be bound on whichever child is chosen."""

    def open(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """Bind it the child's own way."""
        ...

    def needs(self) -> dict[str, Any]:
        """What a request with it needs, as settings of the core's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsPort:
    """The arguments of `bind_tools`."""

    tools: Sequence[Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def open(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """Bind the tools."""
        return child.bind_tools(list(self.tools), **self.kwargs)

    def needs(self) -> dict[str, Any]:
        """Tool definitions, for the estimate of tokens."""
        found = {"tools": [_definition(tool) for tool in self.tools]} if self.tools else {}
        response_format = self.kwargs.get("response_format")
        return {**found, "response_format": response_format} if response_format else found


@dataclass(frozen=True, slots=True, kw_only=True)
class StructurePort:
    """The arguments of `with_structured_output`."""

    schema: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def open(self, child: BaseChatModel) -> Runnable[Any, Any]:
        """The child's whole pipeline, model and parser."""
        return child.with_structured_output(self.schema, **self.kwargs)

    def needs(self) -> dict[str, Any]:
        """A JSON format; its schema is the parser's business."""
        return {"response_format": {"type": "structured"}}

    def read(self, child: BaseChatModel, message: AIMessage) -> Any:
        """What the child's pipeline makes of a message that the child already gave."""
        given: Runnable[Any, Any] = RunnableLambda(lambda _, **__: message)
        return graft(self.open(child), child, given).invoke("")


def settings_for(child: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's settings as the child's provider wants them, the port opened.

    Raises:
        ConfigurationError: the child binds in a way that leaves no settings to be read.
    """
    settings = {name: value for name, value in kwargs.items() if name != PORT}
    port: Port | None = kwargs.get(PORT)
    if port is None:
        return settings
    bound = _binding(port.open(child), child)
    if bound is None:
        raise ConfigurationError(
            f"{type(child).__name__} binds tools in a way that cannot be routed; bind them on it "
            "and give the bound model to no router"
        )
    return {**bound, **settings}


def _binding(runnable: Runnable[Any, Any], child: BaseChatModel) -> dict[str, Any] | None:
    """The settings with which a pipeline calls the child."""
    if runnable is child:
        return {}
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
    try:
        return convert_to_openai_tool(tool)
    except (TypeError, ValueError):
        return repr(tool)
