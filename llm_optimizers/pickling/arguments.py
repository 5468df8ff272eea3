"""Components that are pickled as the arguments they were created with, or not at all."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any, Self

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.pickling.checks import check_fields

__all__ = ["NotPickled", "PickledAsArguments"]

_IN_STEP = ("current_arguments", "__init__")
"""Two methods that know each other's names, if one class has both."""


class PickledAsArguments:
    """A component that is pickled as the arguments it was created with, and created from them.

    So a subclass with arguments of its own works without any code: they are given to it again.
    Attributes that a program sets later travel if `state_beside_arguments` returns them.

    Raises (when pickled):
        ConfigurationError: an argument cannot be pickled; the message names it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments of the outermost class, as they are now."""
        made = super().__new__(cls)
        named = {name: _as_now(value) for name, value in kwargs.items()}
        made.__dict__["_given_arguments"] = tuple(_as_now(value) for value in args), named
        return made

    def current_arguments(self) -> Mapping[str, object]:
        """Return arguments that travel in another form than given, such as an absolute path."""
        return {}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """Return attributes that travel too, because they were learned or can be set later."""
        return {}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        args, kwargs = self._arguments()
        state = {name: _spared(value) for name, value in self.state_beside_arguments().items()}
        check_fields(type(self).__name__, state)
        return (_create, (type(self), args, kwargs), state or None)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments to create it with, by name where they have one.

        Raises:
            ConfigurationError: one of them cannot be pickled.
        """
        given, kwargs = self.__dict__["_given_arguments"]
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *given, **kwargs)
        current = self.current_arguments()
        _bring_up_to_date(bound, current, own=_has_own_init(type(self)))
        named = dict(list(bound.arguments.items())[1:])
        _refuse_iterators(type(self).__name__, named)
        named = {name: _spared(value) for name, value in named.items()}
        check_fields(type(self).__name__, {**current, **named})
        bound.arguments.update(named)
        return bound.args[1:], bound.kwargs


class NotPickled:
    """A component of one process, with calls in flight; `pickle_advice` says what to do instead."""

    pickle_advice = "create one in each process"

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = type(self).__name__
        raise ConfigurationError(f"a {name} cannot be pickled or copied: {self.pickle_advice}")


def _create(kind: type[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Create the copy.

    Raises:
        ConfigurationError: its class takes other arguments here.
    """
    try:
        inspect.signature(kind.__init__).bind(None, *args, **kwargs)
    except TypeError as error:
        raise ConfigurationError(
            f"this {kind.__name__} was pickled with another version of the class, whose settings "
            f"were others ({error}): pickle it again, with the same version in all processes"
        ) from error
    return kind(*args, **kwargs)


def _has_own_init(kind: type[Any]) -> bool:
    """Whether a subclass has arguments of its own, which its base class does not know."""
    first = next(name for each in kind.__mro__ for name in _IN_STEP if name in vars(each))
    return first == "__init__"


def _bring_up_to_date(
    bound: inspect.BoundArguments, current: Mapping[str, object], *, own: bool
) -> None:
    """Set the arguments that are now different.

    In a subclass an argument of the same name may mean something else, such as the folder of the
    file, so it is replaced only if it was given on as it is.
    """
    for parameter in bound.signature.parameters.values():
        name = parameter.name
        given = bound.arguments.get(name, parameter.default)
        if isinstance(given, dict) and parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[name] = {each: current.get(each, given[each]) for each in given}
        elif isinstance(given, tuple) and parameter.kind is parameter.VAR_POSITIONAL:
            paths = [value for value in current.values() if isinstance(value, Path)]
            bound.arguments[name] = tuple(
                next((path for path in paths if _same(each, path)), each) for each in given
            )
        elif name in current and (not own or _same(given, current[name])):
            bound.arguments[name] = current[name]


def _same(given: object, current: object) -> bool:
    """Whether both are the same object, or the same path."""
    if isinstance(given, str | os.PathLike) and isinstance(current, Path):
        return Path(given).expanduser().absolute() == current
    return given is current


def _as_now(value: Any) -> Any:
    """Return a copy of a list, set or mapping, which its owner may change later."""
    return copy(value) if type(value) in (dict, list, set) else value


def _refuse_iterators(owner: str, arguments: Mapping[str, object]) -> None:
    for name, value in arguments.items():
        if isinstance(value, Iterator):
            raise ConfigurationError(
                f"{owner}.{name} is a {type(value).__name__}, which was read when the {owner} was "
                "created: give a list"
            )


def _spared(value: object) -> object:
    if "pydantic" not in sys.modules:
        return value
    from llm_optimizers.pickling.models import spared

    return spared(value)
