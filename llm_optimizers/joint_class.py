"""Let a wrapper pass for the object in it: found as its class, and with its attributes.

Code around a model asks for its class: a middleware marks prompts for its own provider's models
only. `isinstance` first looks at an object's type and then at its `__class__`, so a wrapper whose
`__class__` is a `joint_class` is found as both, as with the proxies of `wrapt` and `unittest.mock`.
No object is ever made of a joint class: `type(wrapper)` stays the wrapper's own, and no method of
the wrapped class can come between the wrapper's.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

__all__ = ["LikeWrapped", "joint_class", "shared_class"]


class LikeWrapped:
    """The first base of a pydantic model that wraps others and passes for them.

    It is a class of its own because `__class__` cannot be defined where a method uses `super()`:
    the compiler would take the name for itself.
    """

    def _wrapped(self) -> Sequence[object]:
        """Return the wrapped objects, the one whose attributes are used first.

        There are none while this object is being made, copied or unpickled.
        """
        return ()

    def _class_to_be(self) -> type[Any] | None:
        """Return the class as which this object is found, besides its own."""
        return None

    @property  # type: ignore[misc]  # objects' own `__class__` can be set; a wrapper's cannot
    def __class__(self) -> type[Any]:
        """The joint class of this object and of what it wraps; only `type` gives its own."""
        own: Any = type(self)
        found: Any = self._class_to_be()
        return own if found is None else joint_class(own, found)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the first wrapped object that this one lacks."""
        wrapped = self._wrapped() if self._lacks(name) else ()
        if wrapped and hasattr(wrapped[0], name):
            return getattr(wrapped[0], name)
        # pydantic's private attributes, and its error for all others.
        return BaseModel.__getattr__(self, name)  # type: ignore[attr-defined]

    def _lacks(self, name: str) -> bool:
        """Whether a public name is neither a field, set or not, nor an attribute of the class."""
        own: Any = type(self)
        return not (name.startswith("_") or name in own.model_fields or hasattr(own, name))


@lru_cache(maxsize=256)
def joint_class(wrapper: type[Any], wrapped: type[Any]) -> type[Any]:
    """Return a subclass of both classes that looks like the first; the first if there is none.

    It inherits pydantic's fields of the first class. `ABCMeta.__new__` skips pydantic's own
    metaclass, which would merge them with those of the second.
    """
    if issubclass(wrapper, wrapped):
        return wrapper
    body = {
        "__module__": wrapper.__module__,
        "__qualname__": wrapper.__qualname__,
        "__doc__": wrapper.__doc__,
    }
    try:
        joint: type[Any] = ABCMeta.__new__(
            type(wrapper), wrapper.__name__, (wrapper, wrapped), body
        )
    except TypeError:  # the two have no common order of bases or layout
        return wrapper
    return joint


def shared_class(classes: Iterable[type[Any]], *, below: type[Any]) -> type[Any] | None:
    """Return the nearest class that all these are, below a base class; None if there is none."""
    first, *others = classes
    for each in first.__mro__:
        if (
            each is not below
            and issubclass(each, below)
            and all(issubclass(other, each) for other in others)
        ):
            return each
    return None
