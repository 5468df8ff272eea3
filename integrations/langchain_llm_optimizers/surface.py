"""What code around a wrapper reads of it: what it would read of the model inside.

LangChain and its middleware ask a model for its class, its profile, its name and other attributes,
and choose formats and limits by the answers. A wrapper is found as the class of its model, and what
it lacks itself is read from that model. A router has what holds for all its models.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from langchain_llm_optimizers.attributes import SETTINGS_OF_MODELS
from langchain_llm_optimizers.binding import rebind
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.joint_class import INCOMPLETE, class_of_wrapper, has_own, own_attribute

__all__ = ["ChildSignature", "ModelSurface", "with_child_signature"]

F = TypeVar("F", bound=Callable[..., Any])
_NO_VALUE = object()
_NOT_READ = ("__", "_generate", "_agenerate", "_stream", "_astream")
"""Beginnings of names that are never read from a model: of Python's own methods, and of hooks by
which LangChain would have that model answer in place of the wrapper.

Other private names are read from the safe model. A pydantic object with a field of the model's
class runs that class's validators on the wrapper, and they read them.
"""


class ChildSignature:
    """A method of a wrapper that shows the parameters of the models' own methods.

    LangGraph's supervisor turns off parallel tool calls only where it finds that parameter.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, wrapper: Any, owner: type[Any] | None = None) -> Any:
        if wrapper is None:
            return self._method

        @wraps(self._method)
        def bound(*args: Any, **kwargs: Any) -> Any:
            return self._method(wrapper, *args, **kwargs)

        methods = [getattr(each, self._method.__name__) for each in wrapper._children]
        first, *others = map(inspect.signature, methods)
        shown = [
            each
            for name, each in first.parameters.items()
            if all(name in other.parameters for other in others)
        ]
        vars(bound)["__signature__"] = first.replace(parameters=shown)
        return bound


def with_child_signature(method: F) -> F:
    """Let a method of a wrapper show the parameters of the models' own methods."""
    return cast("F", ChildSignature(method))


class ModelSurface:
    """Reads from the models inside a wrapper what the wrapper does not have itself."""

    if TYPE_CHECKING:
        settings_of_models: ClassVar[frozenset[str]]

        @property
        def _child(self) -> BaseChatModel: ...

        @property
        def _children(self) -> Sequence[BaseChatModel]: ...

    else:
        # Python looks at this where the type of an object is not what `isinstance` asks for.
        __class__ = property(
            lambda self: class_of_wrapper(self, underlying_models, below=BaseChatModel)
        )

        def __getattr__(self, name: str) -> Any:
            if name in type(self).__private_attributes__:
                return BaseChatModel.__getattr__(self, name)
            # A field, but the wrapper has it only if it was given.
            left = name == "profile" or name in type(self).settings_of_models
            own = has_own(self, name) and not left
            read = not own and not name.startswith(_NOT_READ)
            found = self._of_children(name) if read else _NO_VALUE
            return own_attribute(self, name) if found is _NO_VALUE else found

    def _of_children(self, name: str) -> Any:
        """Return an attribute that the models inside share, `_NO_VALUE` if there is none."""
        try:
            child, children = self._child, self._children
        except INCOMPLETE:
            left = name == "profile" or name in SETTINGS_OF_MODELS
            return None if left else _NO_VALUE
        if name == "profile":
            return _shared_profile(children)
        if name == "rate_limiter":
            # LangChain waits for it in a run that it opens for the wrapper (typed event streams).
            # The model waits as well, and a hit must not.
            return None
        if name == "custom_get_token_ids":
            return child.custom_get_token_ids  # not called through the wrapper, unlike a method
        if name.startswith("_"):
            while isinstance(child, ModelSurface):
                child = child._child
            children = (child,)
        return _through(self, child, _shared_value(child, children, name))

    @with_child_signature
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools in the child's own format."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return rebind(self._child.bind_tools(tools, **kwargs), self._child, _runnable(self))

    def with_structured_output(
        self, schema: dict[str, Any] | type, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return the child's structured output pipeline, with this model in the child's place."""
        pipeline = self._child.with_structured_output(schema, **kwargs)
        return rebind(pipeline, self._child, _runnable(self))

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids as the child does."""
        return self._child.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Count tokens as the child does."""
        return self._child.get_num_tokens(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any
    ) -> int:
        """Count tokens as the child does."""
        given = {**kwargs, **({} if tools is None else {"tools": tools})}
        return self._child.get_num_tokens_from_messages(messages, **given)

    @property
    def _llm_type(self) -> str:
        return self._child._llm_type

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self._child._get_ls_params(stop=stop, **kwargs)

    def _get_ls_params_with_defaults(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self._child._get_ls_params_with_defaults(stop=stop, **kwargs)

    @property
    def model_name(self) -> str:
        """The name of the model inside, as LangChain's agents read it.

        From a name an agent decides whether a schema takes the provider's own format. A router has
        the name of its safe model, unless another of its models does not support that format.
        """
        if len(self._children) == 1:
            return _name_of(self._child)
        by_priority = [self._child, *self._children]
        lacking = (child for child in by_priority if not _has_own_format(child))
        return _name_of(next(lacking, self._child))


def _runnable(wrapper: object) -> Runnable[Any, Any]:
    return cast("Runnable[Any, Any]", wrapper)


def _name_of(model: BaseChatModel) -> str:
    """Return the name that a model states, or its class's name; never an empty text."""
    for name in ("model_name", "model", "model_id"):
        value = getattr(model, name, None)
        if isinstance(value, str) and value:
            return value
    return str(model._get_ls_params().get("ls_model_name") or type(model).__name__)


def _shared_profile(models: Iterable[BaseChatModel]) -> ModelProfile | None:
    """Return what holds for all models: abilities that all have, and the smallest windows.

    None if one of them states nothing.
    """
    profiles = [model.profile for model in models]
    if not profiles or any(profile is None for profile in profiles):
        return None
    if len(profiles) == 1:
        return profiles[0]
    stated = [cast("dict[str, Any]", profile) for profile in profiles]
    names = [name for name in stated[0] if all(name in each for each in stated)]
    shared = {name: _combined([each[name] for each in stated]) for name in names}
    return cast("ModelProfile", {k: v for k, v in shared.items() if v is not _NO_VALUE})


def _combined(values: list[Any]) -> Any:
    """Return what holds for all values of a setting, `_NO_VALUE` if nothing does."""
    if all(value is None or isinstance(value, bool) for value in values):
        return values[0] if all(value is values[0] for value in values) else all(values)
    if all(isinstance(value, int) for value in values):
        return min(values)
    return values[0] if all(value == values[0] for value in values) else _NO_VALUE


def _shared_value(child: BaseChatModel, children: Sequence[BaseChatModel], name: str) -> Any:
    """Return an attribute that all models have: the safe one's where their values differ.

    Each is read once: a second reading at every wrapper would double with each one inside another.

    Raises:
        AttributeError: a property that all have raised it; the error is the property's own.
    """
    values = []
    for each in children:
        try:
            values.append(getattr(each, name))
        except AttributeError:
            models = chain.from_iterable(map(underlying_models, children))
            if all(hasattr(type(model), name) for model in models):
                raise
            return _NO_VALUE
    if all(value is None or isinstance(value, bool) for value in values):
        return _combined(values)
    own = next(value for each, value in zip(children, values, strict=True) if each is child)
    # A method of one model would call that model, whatever the router would choose.
    return _NO_VALUE if len(values) > 1 and inspect.ismethod(own) else own


def _has_own_format(model: BaseChatModel) -> bool:
    """Whether an agent with tools would ask this model for the provider's own format of a schema.

    The rule is LangChain's own; without it, nothing would ask.
    """
    agents = sys.modules.get("langchain.agents.factory")
    rule = getattr(agents, "_supports_provider_strategy", None)
    return rule is None or bool(rule(model, [{}]))


def _through(wrapper: Any, child: BaseChatModel, value: Any) -> Any:
    """Return a child's method so that what it builds of the child calls the wrapper instead."""
    if not inspect.ismethod(value) or value.__self__ is not child:
        return value

    @wraps(value)
    def method(*args: Any, **kwargs: Any) -> Any:
        made = value(*args, **kwargs)
        return rebind(made, child, wrapper) if isinstance(made, Runnable) else made

    return method
