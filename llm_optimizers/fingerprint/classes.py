"""The installed class that does what an object of a user's class does, and what is known of it."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from llm_optimizers.fingerprint.code import is_installed
from llm_optimizers.fingerprint.data import name_of
from llm_optimizers.memos import of_class

__all__ = ["KnownClasses", "installed_class"]

T = TypeVar("T")

_CHANGES_NO_REQUEST = frozenset(
    {
        *("__init__", "model_post_init", "metadata", "class_name", "get_name", "model_config"),
        *("_llm_type", "_identifying_params", "_get_ls_params", "is_lc_serializable"),
        *("lc_id", "lc_secrets", "lc_attributes", "get_lc_namespace"),
        *("__repr__", "__str__", "__doc__", "__module__", "__qualname__", "__slots__"),
        *("__dict__", "__weakref__", "__parameters__", "__orig_bases__", "__annotations__"),
        *("__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__"),
        *("__static_attributes__", "__signature__", "__class_vars__", "__private_attributes__"),
        *("__abstractmethods__", "_abc_impl", "__hash__", "__type_params__", "__eq__"),
        *("__classcell__", "__slotnames__"),
    }
)
"""What a class may define and still send what its base sends: its state, which keys read, what it
says of itself, and what Python and pydantic add to every class."""


class KnownClasses(Generic[T]):
    """What was read in the code of installed classes, by their full names.

    It holds for a class of the user's below one of them that makes the same requests.
    """

    def __init__(self, facts: Mapping[str, T]) -> None:
        self._facts = dict(facts)
        self.names = tuple(self._facts)

    def of_class(self, kind: Any) -> T | None:
        """Return what is known of a class, None for one that is not known."""
        installed = installed_class(kind)
        return None if installed is None else self._facts.get(name_of(installed))

    def of_each(self, models: Iterable[object]) -> tuple[T, ...] | None:
        """Return what is known of each object's class, None if one of them is not known."""
        found = [self.of_class(type(model)) for model in models]
        known = [each for each in found if each is not None]
        return tuple(known) if len(known) == len(found) else None


@of_class
def installed_class(kind: Any) -> type | None:
    """Return the class of an installed package that makes the requests of this one: its base.

    None if another class of its bases, which need not be above this one, defines anything that it
    has too, since that may change what is sent.
    """
    mro: tuple[type, ...] = kind.__mro__
    base = next(filter(is_installed, mro), None)
    if base is None:
        return None
    others = set(mro).difference(base.__mro__)
    return None if any(_overrides(each, base) for each in others) else base


def _overrides(own: type, base: type) -> bool:
    return any(
        hasattr(base, name) and not _is_pydantic_s(name, member)
        for name, member in vars(own).items()
        if name not in _CHANGES_NO_REQUEST
    )


def _is_pydantic_s(name: str, member: Any) -> bool:
    """Whether pydantic added the member to the class."""
    if name.startswith("__pydantic_"):
        return True
    return isinstance(member, types.FunctionType) and member.__module__.startswith("pydantic.")
