"""What code around a wrapper sets on it: what the wrapper lacks goes to the model inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableSerializable
from langchain_core.runnables.utils import AnyConfigurableField

from langchain_llm_optimizers.configured import ConfiguredWrapper
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.joint_class import INCOMPLETE

__all__ = ["SETTINGS_OF_MODELS", "ModelAttributes"]

_MISSING = object()
SETTINGS_OF_MODELS = frozenset(
    {
        "cache",
        "rate_limiter",
        "disable_streaming",
        "output_version",
        "custom_get_token_ids",
        "verbose",
    }
)
"""Fields of `BaseChatModel` that only the model which opens the run uses.

A wrapper has them as fields too, where no call would read them.
"""


class ModelAttributes:
    """Sets and deletes on the model inside a wrapper what is not the wrapper's own.

    `wrapper.temperature = 0` would otherwise set a field that no call reads. The models of a router
    may mean different things by one attribute, so it is refused there; `model_copy` changes a copy
    of each.
    """

    if TYPE_CHECKING:
        settings_of_models: ClassVar[frozenset[str]]

        @property
        def _children(self) -> Sequence[BaseChatModel]: ...

    def __setattr__(self, name: str, value: Any) -> None:
        wrapper = cast("BaseChatModel", self)
        if name == "profile" and value is None:
            self.__dict__.pop(name, None)  # then it is read from the models inside
        elif not (holders := self._holders(name)):
            BaseChatModel.__setattr__(wrapper, name, value)
        elif len(holders) == 1 or any(getattr(each, name) != value for each in holders):
            setattr(_only(holders, wrapper, name), name, value)

    def __delattr__(self, name: str) -> None:
        wrapper = cast("BaseChatModel", self)
        if holders := self._holders(name):
            delattr(_only(holders, wrapper, name), name)
        else:
            BaseChatModel.__delattr__(wrapper, name)

    def __dir__(self) -> list[str]:
        children = [set(dir(each)) for each in self._made_children()]
        shared = set[str]().union(*children[:1]).intersection(*children)
        return sorted({*object.__dir__(self), *(name for name in shared if name[0] != "_")})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; an update of a field that only the models inside have changes copies.

        Raises:
            ConfigurationError: some of them lack it, but not all.
        """
        given = dict(update or {})
        inner = {name: given.pop(name) for name in list(given) if self._holders(name)}
        for name in given:
            self._check_not_in_some(name)
        wrapper = cast("BaseChatModel", self)
        copied = cast("Any", BaseChatModel.model_copy(wrapper, update=given, deep=deep))
        if inner:
            copied._replace_children(lambda child: child.model_copy(update=inner))
        return cast("Self", copied)

    def configurable_fields(
        self, **kwargs: AnyConfigurableField
    ) -> RunnableSerializable[LanguageModelInput, AIMessage]:
        """Return this model with fields that a run's configuration sets, its own or its models'."""
        wrapper = cast("BaseChatModel", self)
        names = type(wrapper).model_fields.keys() - self.settings_of_models
        own = {name: field for name, field in kwargs.items() if name in names}
        outer = BaseChatModel.configurable_fields(wrapper, **own) if own else wrapper
        fields = {name: field for name, field in kwargs.items() if name not in own}
        if not fields:
            return outer
        children = [each.configurable_fields(**fields) for each in self._children]
        return ConfiguredWrapper(default=outer, children=children)

    def _give_settings_to_models(self) -> None:
        """Give what the wrapper was made with to copies of the models inside, which use it."""
        made_with = cast("BaseChatModel", self).model_fields_set
        names = [name for name in self.settings_of_models if name in made_with]
        given = {name: self.__dict__.pop(name) for name in names if name in self.__dict__}
        made_with.difference_update(names)
        if given:
            self._replace_children(lambda child: child.model_copy(update=given))

    def _replace_children(self, made: Callable[[BaseChatModel], BaseChatModel]) -> None:
        """Replace each model inside by the one that is made of it."""
        raise NotImplementedError

    def _made_children(self) -> Sequence[BaseChatModel]:
        """Return the models inside; none while this wrapper is made, copied or unpickled."""
        try:
            return self._children
        except INCOMPLETE:
            return ()

    def _holders(self, name: str) -> Sequence[BaseChatModel]:
        """Return the models inside if all have an attribute that is not the wrapper's own."""
        children = () if self._is_own(name) else self._made_children()
        return children if all(hasattr(each, name) for each in children) else ()

    def _is_own(self, name: str) -> bool:
        own: Any = type(self)
        if name in own.settings_of_models:
            return False
        return (
            name.startswith("__")
            or name in own.model_fields
            or name in own.__private_attributes__
            or not _is_open(getattr(own, name, _MISSING))
        )

    def _check_not_in_some(self, name: str) -> None:
        if self._is_own(name):
            return
        lacking = [type(each).__name__ for each in self._made_children() if not hasattr(each, name)]
        if 0 < len(lacking) < len(self._made_children()):
            raise ConfigurationError(
                f"{lacking[0]} has no {name!r}, so a copy of this {type(self).__name__} cannot "
                "have it: set it on the models that have it before you give them to it"
            )


def _is_open(found: Any) -> bool:
    """Whether what a wrapper's class has by a name leaves it to its models to be set.

    A property without a setter, such as `model_name`, shows what the models have.
    """
    return found is _MISSING or (isinstance(found, property) and found.fset is None)


def _only(holders: Sequence[BaseChatModel], wrapper: BaseChatModel, name: str) -> BaseChatModel:
    """Return the only model that has an attribute.

    Raises:
        ConfigurationError: there are several.
    """
    if len(holders) == 1:
        return holders[0]
    kind = type(wrapper).__name__
    raise ConfigurationError(
        f"{kind} has {len(holders)} models: set or delete {name!r} on each of them, or use "
        f"model_copy(update={{{name!r}: …}}) for a {kind} whose models all have the new value"
    )
