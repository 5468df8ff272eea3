"""What code around a wrapper reads of it: what it would read of the LLM inside.

A wrapper is found as the class that all LLMs in it share. What it lacks is read from the first of
them, or else from the first wrapper inside it, and set there if there is one LLM only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.wrappers import underlying_models
from llm_optimizers.joint_class import joint_class, shared_class

__all__ = ["ModelSurface"]


class ModelSurface:
    """The first base of a wrapper; `_children` are the LLMs in it.

    It is a class of its own because `__class__` cannot be defined where a method uses `super()`:
    the compiler would take the name for itself.
    """

    if TYPE_CHECKING:

        @property
        def _children(self) -> Sequence[LLM]: ...

    else:
        # `isinstance` asks for this where an object's type is not what it looks for.
        __class__ = property(lambda self: _class_of(self))

        def __getattr__(self, name: str) -> Any:
            if (holder := self._holder_of(name)) is not None:
                return getattr(holder, name)
            # pydantic's private attributes, and its error for all others.
            return LLM.__getattr__(self, name)

    def _made_children(self) -> Sequence[LLM]:
        """Return the children; none while this wrapper is being made, copied or unpickled."""
        own: Any = type(self)
        return self._children if own.model_fields.keys() <= vars(self).keys() else ()

    def _holder_of(self, name: str) -> LLM | None:
        """Return what inside this wrapper has a public name that is not the wrapper's own."""
        own: Any = type(self)
        if name.startswith("_") or name in own.model_fields or hasattr(own, name):
            return None
        inside = [
            each
            for child in self._made_children()[:1]
            for each in (next(underlying_models(child)), child)
        ]
        return next((each for each in inside if hasattr(each, name)), None)


def _class_of(wrapper: ModelSurface) -> type[Any]:
    own: Any = type(wrapper)
    classes = {
        type(each): None for child in wrapper._made_children() for each in underlying_models(child)
    }
    shared: Any = shared_class(classes, below=LLM) if classes else None
    return own if shared is None else joint_class(own, shared)
