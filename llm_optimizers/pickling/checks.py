"""Whether a field or a function can be pickled, and its name if not."""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from llm_optimizers.errors import ConfigurationError

__all__ = ["check_fields", "check_function"]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_OTHER_PICKLERS = frozenset({"cloudpickle", "_dill"})
"""Modules of picklers that also take what is defined inside a function or a notebook."""
_checking: ContextVar[bool] = ContextVar("llm_optimizers_checking_fields", default=False)


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
        public = name.lstrip("_")
        if isinstance(error, ConfigurationError):
            raise ConfigurationError(f"{owner}.{public}: {error}") from error
        if error is not None:
            raise ConfigurationError(
                f"{owner}.{public} is {_described(value)}, which cannot be pickled "
                f"({type(error).__name__}: {error}); give one that can, or create the "
                f"{owner} in each process"
            ) from error


def check_function(name: str, value: object) -> None:
    """Check that a setting which may be a function means the same in another process.

    A function that its module has by name is found there again. Another one may hold an object, and
    a namespace would, in the copy, go on naming the tenant of the moment when it was pickled.

    Raises:
        ConfigurationError: it does not; the message says what to give.
    """
    if callable(value) and not _found_by_name(value):
        raise ConfigurationError(
            f"{name} is {_described(value)}, which another process cannot find again by its name: "
            "give a function that is defined at the top of a module"
        )


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
    """Whether its module has it under its own name, so that a pickle only names it."""
    at: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "<none>").split("."):
        at = getattr(at, part, None)
    return at is function


def _described(value: object) -> str:
    if isinstance(value, MethodType | BuiltinFunctionType):
        return f"the method {value.__name__} of a {type(value.__self__).__name__}"
    if isinstance(value, FunctionType):
        return f"the function {value.__qualname__}"
    return f"a {type(value).__name__}"
