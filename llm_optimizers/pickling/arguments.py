"""Components that are pickled as the arguments they were created with, or not at all."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.pickling.checks import check_fields

__all__ = ["NotPickled", "PickledAsArguments"]


class PickledAsArguments:
    """A component that is pickled as the arguments it was created with, and created from them.

    So a subclass with arguments of its own works without any code. The arguments are those given to
    the class, and `current_arguments` where the object knows better.

    Raises (when pickled):
        ConfigurationError: an argument cannot be pickled; the message names it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments of the outermost class."""
        made = super().__new__(cls)
        made.__dict__["_given_arguments"] = args, kwargs
        return made

    def current_arguments(self) -> Mapping[str, object]:
        """Return arguments that are now different from those given, such as an absolute path."""
        return {}

    def learned_state(self) -> Mapping[str, object]:
        """Return attributes that travel beside the arguments, because they were learned."""
        return {}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        args, kwargs = self._arguments()
        learned = dict(self.learned_state())
        return (_create, (type(self), args, kwargs), learned or None)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments to create it with, by name where they have one.

        Raises:
            ConfigurationError: one of them cannot be pickled.
        """
        given, kwargs = self.__dict__["_given_arguments"]
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *given, **kwargs)
        current = self.current_arguments()
        for name, value in current.items():
            if name in signature.parameters:
                bound.arguments[name] = value
        named = {name: _spared(value) for name, value in list(bound.arguments.items())[1:]}
        bound.arguments.update(named)
        check_fields(type(self).__name__, {**current, **named})
        return bound.args[1:], bound.kwargs


class NotPickled:
    """A component of one process, with calls in flight; `pickle_advice` says what to do instead."""

    pickle_advice = "create one in each process"

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = type(self).__name__
        raise ConfigurationError(f"a {name} cannot be pickled or copied: {self.pickle_advice}")


def _create(kind: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kind(*args, **kwargs)


def _spared(value: object) -> object:
    if "pydantic" not in sys.modules:
        return value
    from llm_optimizers.pickling.models import spared

    return spared(value)
