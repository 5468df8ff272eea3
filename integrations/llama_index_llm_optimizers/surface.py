"""What code around a wrapper reads of it: what it would read of the LLM inside.

A wrapper is found as the class that all LLMs in it share. What it lacks is read from the first of
them, or else from the first wrapper inside it, and set there if there is one LLM only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.wrappers import underlying_models
from llm_optimizers.joint_class import INCOMPLETE, class_of_wrapper, has_own, own_attribute

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
        __class__ = property(lambda self: class_of_wrapper(self, underlying_models, below=LLM))

        def __getattr__(self, name: str) -> Any:
            if name in type(self).__private_attributes__:
                return LLM.__getattr__(self, name)
            holder = self._holder_of(name)
            return own_attribute(self, name) if holder is None else getattr(holder, name)

    def __dir__(self) -> list[str]:
        try:
            inside = dir(self._children[0])
        except INCOMPLETE:
            inside = []
        return sorted({*object.__dir__(self), *(name for name in inside if name[0] != "_")})

    def _holder_of(self, name: str) -> LLM | None:
        """Return what inside this wrapper has a public name that is not the wrapper's own."""
        if name.startswith("_") or has_own(self, name):
            return None
        try:
            child = self._children[0]
        except INCOMPLETE:
            return None
        inside = (next(underlying_models(child)), child)
        return next((each for each in inside if hasattr(each, name)), None)
