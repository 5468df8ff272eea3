"""What code around a wrapper sets on it: what the wrapper lacks goes to the LLMs inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.surface import ModelSurface
from llama_index_llm_optimizers.wrappers import underlying_models
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.joint_class import has_own

__all__ = ["SET_ON_CHILDREN", "ModelAttributes"]

SET_ON_CHILDREN = ("callback_manager", "rate_limiter")
"""A wrapper's own fields that its children use."""
_MISSING = object()


class ModelAttributes(ModelSurface):
    """Sets and deletes on the LLM inside a wrapper what is not the wrapper's own.

    The LLMs of a router may need different values, so that is refused there; `model_copy`
    changes a copy of each.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what this wrapper lacks on the LLM in it.

        The callback manager and rate limiter are set also on the children, which use them:
        `Settings` sets its callback manager each time it is read, and a rate limiter used here
        would slow down cache hits.

        Raises:
            ConfigurationError: it has several LLMs, which may need different values.
        """
        holder = self._holder_of(name)
        if holder is None:
            super().__setattr__(name, value)
            for child in self._children if name in SET_ON_CHILDREN else ():
                setattr(child, name, value)
        elif not self._all_have(name, value):
            self._check_only_one(name)
            setattr(holder, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete what this wrapper lacks on the LLM in it.

        Raises:
            ConfigurationError: it has several LLMs.
        """
        holder = self._holder_of(name)
        if holder is None:
            super().__delattr__(name)
        else:
            self._check_only_one(name)
            delattr(holder, name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; an update of a field that only the LLMs inside have changes copies.

        Raises:
            ConfigurationError: some of them lack it, but not all.
        """
        given = dict(update or {})
        own = {name: value for name, value in given.items() if has_own(self, name)}
        copied = cast("Self", LLM.model_copy(cast("LLM", self), update=own, deep=deep))
        for name in given.keys() - own.keys():
            if not copied._is_inside(name):
                vars(copied)[name] = given.pop(name)  # as pydantic does
        inner = {n: v for n, v in given.items() if n not in own or n in SET_ON_CHILDREN}
        return copied._with_models_updated(inner) if inner else copied

    def _with_models_updated(self, update: Mapping[str, Any]) -> Self:
        """Return a copy around copies of the LLMs below all wrappers, or the wrappers, updated."""
        models = tuple(underlying_models(cast("LLM", self)))
        below = {n: v for n, v in update.items() if all(hasattr(each, n) for each in models)}

        def updated(child: LLM) -> LLM:
            if not isinstance(child, ModelAttributes):
                return child.model_copy(update=update)
            others = {n: v for n, v in update.items() if n not in below}
            kept = child.model_copy(update=others) if others else child
            return kept._with_models_updated(below) if below else kept

        copied = cast("Self", LLM.model_copy(cast("LLM", self)))
        for name in SET_ON_CHILDREN:
            if name in update:
                vars(copied)[name] = update[name]
        copied._replace_children(updated)
        return copied

    def _replace_children(self, made: Callable[[LLM], LLM]) -> None:
        """Replace each LLM inside by the one that is made of it."""
        vars(self)["llm"] = made(self._children[0])

    def _is_inside(self, name: str) -> bool:
        """Whether all LLMs inside have a public attribute, or else all wrappers around them.

        Raises:
            ConfigurationError: only some have it.
        """
        if name.startswith("_"):
            return False
        for each in (tuple(underlying_models(cast("LLM", self))), self._children):
            lacking = [type(llm).__name__ for llm in each if not hasattr(llm, name)]
            if not lacking:
                return True
            if len(lacking) < len(each):
                raise ConfigurationError(
                    f"{lacking[0]} has no {name!r}, so a copy of this {type(self).__name__} cannot "
                    "have it: set it on the LLMs that have it before you give them to it"
                )
        return False

    def _all_have(self, name: str, value: Any) -> bool:
        """Whether a router's LLMs all have this value."""
        models: Sequence[LLM] = tuple(underlying_models(cast("LLM", self)))
        return len(models) > 1 and all(getattr(each, name, _MISSING) == value for each in models)

    def _check_only_one(self, name: str) -> None:
        """Check that there is one LLM only.

        Raises:
            ConfigurationError: there are several.
        """
        if len(tuple(underlying_models(cast("LLM", self)))) > 1:
            kind = type(self).__name__
            raise ConfigurationError(
                f"{name} is a setting of the LLMs in this {kind}, which has several: set it (or "
                f"delete it) on each that needs it, before or after they are wrapped, or use "
                f"model_copy(update={{{name!r}: ...}}) for a {kind} with the new value in all"
            )
