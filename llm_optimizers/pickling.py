"""What of an object travels to another process, and what a copy shares with the original.

Settings travel. Connections, locks, threads, counters and what is kept in memory do not: the copy
makes its own. What can neither travel nor be made again raises an error that names it, since a copy
without it would work differently and tell nobody.

`copy.copy` and `copy.deepcopy` of a shared component (a cache, a ledger, a router) return the
component itself, as they do for a function: in one process it is meant to be shared.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError

__all__ = [
    "NotPickled",
    "PickledAsArguments",
    "PickledWhole",
    "check_fields",
    "check_namespace",
    "spared",
]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_OTHER_PICKLERS = frozenset({"cloudpickle", "_dill"})
"""Modules of picklers that also take what is defined inside a function or a notebook."""
_checking: ContextVar[bool] = ContextVar("llm_optimizers_checking_fields", default=False)


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
        named = {name: spared(value) for name, value in list(bound.arguments.items())[1:]}
        bound.arguments.update(named)
        check_fields(type(self).__name__, {**current, **named})
        return bound.args[1:], bound.kwargs


class PickledWhole(BaseModel):
    """A pydantic object that is pickled with all its fields, or not at all.

    Its copies share the fields that are left out of its dicts (`Field(exclude=True)`), which are
    what it uses: a cache, a router, functions. A copied method would belong to a copied object.

    Raises (when pickled):
        ConfigurationError: a field cannot be pickled; the message names it.
    """

    copied_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields left out of dicts that deep copies copy all the same: the framework's own."""

    def _travelling_fields(self) -> dict[str, Any]:
        """Return the fields to pickle."""
        return dict(vars(self))

    def _travelling_attributes(self) -> dict[str, Any]:
        """Return the private attributes to pickle."""
        return dict(self.__pydantic_private__ or {})

    def _complete(self) -> None:
        """Set the fields that were not pickled, after unpickling."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Python's own way looks at `__class__`, which may be the class of what it wraps.
        return _empty, (type(self),), self.__getstate__()

    def __getstate__(self) -> dict[Any, Any]:
        fields, private = self._travelling_fields(), self._travelling_attributes()
        check_fields(type(self).__name__, {**fields, **private})
        state = BaseModel.__getstate__(self)
        return {**state, "__dict__": fields, "__pydantic_private__": private or None}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        BaseModel.__setstate__(self, state)
        self._complete()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for name, field in type(self).model_fields.items():
            if field.exclude and name not in self.copied_fields and name in vars(self):
                memo[id(vars(self)[name])] = vars(self)[name]
        return super().__deepcopy__(memo)


class NotPickled:
    """A component of one process, with calls in flight; `pickle_advice` says what to do instead."""

    pickle_advice = "create one in each process"

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = type(self).__name__
        raise ConfigurationError(f"a {name} cannot be pickled or copied: {self.pickle_advice}")


def spared(value: Any, copies: dict[int, Any] | None = None) -> Any:
    """Return a value with shallow copies of the pydantic objects in it, for pickling.

    LlamaIndex's components, when pickled, delete their own attributes that cannot be.
    """
    copies = {} if copies is None else copies
    if type(value) is dict:
        return {name: spared(item, copies) for name, item in value.items()}
    if type(value) is list:
        return [spared(item, copies) for item in value]
    if not isinstance(value, BaseModel) or isinstance(value, PickledWhole):
        return value
    if id(value) not in copies:
        copies[id(value)] = copied = copy.copy(value)
        vars(copied).update({k: spared(item, copies) for k, item in dict(vars(value)).items()})
    return copies[id(value)]


def check_fields(owner: str, fields: Mapping[str, object]) -> None:
    """Check that each field of an object can be pickled, before any of them is.

    The pickler's own error names a lock or a socket, but not the field that holds it.

    Raises:
        ConfigurationError: a field cannot be pickled; the message names it, with its owner.
    """
    if _checking.get() or _called_by_other_pickler():
        return
    for name, value in fields.items():
        error = None if type(value) in _PLAIN else _error_of_pickling(value)
        if isinstance(error, ConfigurationError):
            raise ConfigurationError(f"{owner}.{name}: {error}") from error
        if error is not None:
            raise ConfigurationError(
                f"{owner}.{name} is {_described(value)}, which cannot be pickled "
                f"({type(error).__name__}: {error}); give one that can, or create the "
                f"{owner} in each process"
            ) from error


def check_namespace(namespace: object) -> None:
    """Check that a namespace means the same in another process.

    A function that its module has by name is found there again. Any other function holds an
    object, whose copy would go on naming the tenant of the moment when it was pickled.

    Raises:
        ConfigurationError: it does not; the message says what to give.
    """
    if callable(namespace) and not _found_by_name(namespace):
        raise ConfigurationError(
            f"namespace is {_described(namespace)}, which another process cannot find again by its "
            "name: give a function defined at the top of a module, or a string"
        )


def _empty(kind: type[Any]) -> Any:
    """Return an object without content, which a pickle then sets."""
    return object.__new__(kind)


def _create(kind: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kind(*args, **kwargs)


def _error_of_pickling(value: object) -> Exception | None:
    """Return the error with which a value refuses to be pickled; None if it does not.

    The first attempt leaves out the checks of the value's own fields, which would pickle each of
    them again at every level; the second makes them, for their more exact message.
    """
    found: Exception | None = None
    for leave_out in (True, False):
        token = _checking.set(leave_out)
        try:
            pickle.Pickler(_Nowhere()).dump(value)
        except Exception as error:  # noqa: BLE001 - pickling runs the code of any class
            found = error
        else:
            return None
        finally:
            _checking.reset(token)
    return found


class _Nowhere:
    """A file that forgets what is written to it."""

    def write(self, data: object) -> int:
        return len(data) if isinstance(data, bytes) else 0


def _called_by_other_pickler() -> bool:
    """Whether a pickler is at work that can do more than Python's own, so that its word counts."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).rpartition(".")[2] in _OTHER_PICKLERS:
            return True
        frame = frame.f_back
    return False


def _found_by_name(function: Any) -> bool:
    """Whether it is a plain function that its module has under its own name."""
    if not isinstance(function, FunctionType | BuiltinFunctionType):
        return False
    at: Any = sys.modules.get(function.__module__ or "")
    for part in function.__qualname__.split("."):
        at = getattr(at, part, None)
    return at is function


def _described(value: object) -> str:
    if isinstance(value, MethodType | BuiltinFunctionType):
        return f"the method {value.__name__} of a {type(value.__self__).__name__}"
    if isinstance(value, FunctionType):
        return f"the function {value.__qualname__}"
    return f"a {type(value).__name__}"
