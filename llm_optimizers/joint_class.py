"""Let a wrapper look like the object in it: to `isinstance`, and where attributes are read.

Code around a model asks for its class: a middleware marks prompts for its own provider's models
only. `isinstance` first looks at an object's type and then at its `__class__`, so a wrapper whose
`__class__` is a `joint_class` is found as both, as with the proxies of `wrapt` and `unittest.mock`.
No object is ever made of a joint class (a call of it makes a wrapper): `type(wrapper)` stays the
wrapper's own, and no method of the wrapped class can come between the wrapper's.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

__all__ = [
    "INCOMPLETE",
    "class_of_wrapper",
    "has_own",
    "joint_class",
    "own_attribute",
    "shared_class",
]

INCOMPLETE = (AttributeError, LookupError, TypeError)
"""What a wrapper raises when asked for its models while it is made, copied or unpickled."""


def class_of_wrapper(
    wrapper: Any, wrapped: Callable[[Any], Iterable[object]], *, below: type[Any]
) -> type[Any]:
    """Return what a wrapper's `__class__` is: its type, joined with the class of all it wraps.

    `wrapped` returns what is in it, below any other wrappers. A class counts that is `below` the
    framework's own, which the wrapper already is.
    """
    try:
        classes = [type(each) for each in wrapped(wrapper)]
    except INCOMPLETE:
        classes = []
    own: type[Any] = type(wrapper)
    shared: Any = shared_class(classes, below=below)
    if shared is None:
        return own
    joint = joint_class(own, shared)
    _keep_with(wrapper, joint)
    return joint


def has_own(wrapper: Any, name: str) -> bool:
    """Whether a wrapper's class has an attribute, or pydantic's field, of this name."""
    kind = type(wrapper)
    return name in kind.model_fields or hasattr(kind, name)


def own_attribute(wrapper: Any, name: str) -> Any:
    """Raise the error of an attribute that a wrapper lacks, or that its own property raised.

    pydantic would first ask for `__class__`, and so for the models, one of which may be missing.
    """
    if hasattr(type(wrapper), name):
        return object.__getattribute__(wrapper, name)
    raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {name!r}")


_JOINT: WeakValueDictionary[tuple[type[Any], type[Any]], type[Any]] = WeakValueDictionary()
_ALONE: WeakKeyDictionary[type[Any], set[type[Any]]] = WeakKeyDictionary()
"""The wrappers' classes that have no joint class with a class."""
_KEPT: dict[int, tuple[ref[Any], type[Any]]] = {}
"""The joint class of each wrapper, by its `id`: neither outlives the wrapper, nor does the class of
the user's that it is made of."""


def _keep_with(wrapper: Any, joint: type[Any]) -> None:
    identity = id(wrapper)
    kept = _KEPT.get(identity)
    if kept is None or kept[0]() is not wrapper or kept[1] is not joint:
        _KEPT[identity] = ref(wrapper, lambda gone: _let_go(identity, gone)), joint


def _let_go(identity: int, gone: ref[Any]) -> None:
    kept = _KEPT.get(identity)
    if kept is not None and kept[0] is gone:
        del _KEPT[identity]


def joint_class(wrapper: type[Any], wrapped: type[Any]) -> type[Any]:
    """Return a subclass of both classes that looks like the first; the first if there is none.

    It is made once, and again if nothing has used it for a while.
    """
    joint = _JOINT.get((wrapper, wrapped))
    if joint is not None:
        return joint
    alone = _ALONE.setdefault(wrapped, set())
    if wrapper in alone:
        return wrapper
    joint = _joined(wrapper, wrapped)
    if joint is wrapper:
        alone.add(wrapper)
        return wrapper
    return _JOINT.setdefault((wrapper, wrapped), joint)


def _joined(wrapper: type[Any], wrapped: type[Any]) -> type[Any]:
    """Make a joint class, if there can be one.

    It inherits pydantic's fields of the first class. `ABCMeta.__new__` skips pydantic's own
    metaclass, which would merge them with those of the second. Pydantic sets a field by what the
    class has by its name, so a property of the second class may not be found there.
    """
    if issubclass(wrapper, wrapped):
        return wrapper

    def made_of_wrapper(_: type[Any], *args: Any, **kwargs: Any) -> Any:
        return wrapper(*args, **kwargs)  # for code that makes another `obj.__class__(…)`

    fields = [name for name in getattr(wrapper, "model_fields", ()) if not hasattr(wrapper, name)]
    body = {
        **dict.fromkeys(fields, _Field()),
        "__new__": made_of_wrapper,
        "__module__": wrapper.__module__,
        "__qualname__": wrapper.__qualname__,
        "__doc__": wrapper.__doc__,
    }
    bases = (_Unannounced, wrapper, wrapped)
    try:
        joint: type[Any] = ABCMeta.__new__(type(wrapper), wrapper.__name__, bases, body)
    except Exception:  # noqa: BLE001 - no common order of bases or layout, or what another's hook raises
        return wrapper
    return joint


class _Unannounced:
    """Keeps a joint class from the hooks of its bases, which may register or refuse subclasses."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Announce nothing."""


class _Field:
    """Stands where a class has a field, which only its objects have."""

    def __get__(self, wrapper: object, owner: type[Any] | None = None) -> Any:
        raise AttributeError("a field is found on objects only")


def shared_class(classes: Iterable[type[Any]], *, below: type[Any]) -> type[Any] | None:
    """Return the nearest class that all these are, below a base class; None if there is none."""
    found = list(dict.fromkeys(classes))
    for each in found[0].__mro__ if found else ():
        if (
            each is not below
            and issubclass(each, below)
            and all(issubclass(other, each) for other in found)
        ):
            return each
    return None
