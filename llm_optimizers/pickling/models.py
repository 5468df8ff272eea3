"""Pydantic objects that are pickled with all their fields, or not at all.

Kept apart so that the components of `arguments.py` do not load pydantic.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.pickling.checks import check_fields

__all__ = ["PickledWhole", "spared"]


class PickledWhole(BaseModel):
    """A pydantic object that is pickled with all its fields, or not at all.

    Its copies share the fields that are left out of its dicts (`Field(exclude=True)`), which are
    what it uses: a cache, a router, functions. A copied method would belong to a copied object.

    Raises (when pickled):
        ConfigurationError: a field cannot be pickled; the message names it.
    """

    copied_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields left out of dicts that deep copies copy all the same: the framework's own."""
    left_behind: ClassVar[frozenset[str]] = frozenset()
    """Private attributes that the copy makes new."""

    def _travelling_fields(self) -> dict[str, Any]:
        """Return the fields to pickle."""
        return dict(vars(self))

    def _complete(self) -> None:
        """Set the fields that were not pickled, after unpickling."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Python's own way looks at `__class__`, which may be the class of what it wraps.
        return _empty, (type(self),), self.__getstate__()

    def __getstate__(self) -> dict[Any, Any]:
        fields, private = self._travelling_fields(), dict(self.__pydantic_private__ or {})
        private = {name: each for name, each in private.items() if name not in self.left_behind}
        check_fields(type(self).__name__, {**fields, **private})
        state = BaseModel.__getstate__(self)
        return {**state, "__dict__": fields, "__pydantic_private__": private or None}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        kind = type(self)
        unknown = [name for name in state["__dict__"] if not _has(kind, name)]
        if unknown:
            raise ConfigurationError(
                f"this {kind.__name__} was pickled with another version of the class, with "
                f"{', '.join(unknown)}: pickle it again, with the same version in all processes"
            )
        BaseModel.__setstate__(self, state)
        for name in self.left_behind:
            setattr(self, name, _default(kind.__private_attributes__[name]))
        self._complete()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for name, field in type(self).model_fields.items():
            if field.exclude and name not in self.copied_fields and name in vars(self):
                memo[id(vars(self)[name])] = vars(self)[name]
        return super().__deepcopy__(memo)


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


def _default(attribute: Any) -> Any:
    # Not `get_default`, which newer versions of pydantic do not let call the factory.
    made = attribute.default_factory
    return copy.copy(attribute.default) if made is None else made()


def _has(kind: type[BaseModel], name: str) -> bool:
    return name in kind.model_fields or hasattr(kind, name)


def _empty(kind: type[Any]) -> Any:
    """Return an object without content, which a pickle then sets."""
    return object.__new__(kind)
