"""`WholeComponent`: a component that comes out of pickling whole, and whose copy is complete.

LlamaIndex removes what cannot be pickled from the component itself, not from a copy of its state,
and creates the unpickled one from what is left: both forget settings without a word, and the
original breaks. `IngestionPipeline(num_workers=2)` pickles every component in it.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Self

from llama_index.core.schema import BaseComponent
from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.pickling import check_fields, empty

__all__ = ["WholeComponent"]

logger = logging.getLogger("llm_optimizers")

_COPIED = frozenset({"callback_manager", "rate_limiter", "output_parser", "query_wrapper_prompt"})
"""LlamaIndex's own fields among those that are left out of dicts."""


class WholeComponent(BaseComponent):
    """A component that is pickled with all its settings, or not at all.

    What the components in it cannot pickle is left out as LlamaIndex does, but of a copy of them.

    Raises (when pickled):
        ConfigurationError: a setting cannot be pickled; the message names it.
    """

    def _left_out(self) -> frozenset[str]:
        """Return the fields that do not travel; `_complete` sets them."""
        return frozenset()

    def _complete(self) -> None:
        """Set the fields that did not travel, in an unpickled component."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return empty, (type(self),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        state = BaseModel.__getstate__(self)
        left_out = self._left_out()
        fields = {k: v for k, v in dict(vars(self)).items() if k not in left_out}
        state["__dict__"] = _spare(fields, {})
        private = state["__pydantic_private__"] or {}
        try:
            check_fields(type(self).__name__, {**state["__dict__"], **private})
        except ConfigurationError as error:
            # A component around this one drops it without saying why.
            logger.warning("%s", error)
            raise
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseModel.__setstate__(self, state)
        self._complete()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the component and the models in it; share what it uses beside them.

        A namespace that is a method, say, would else be that of a copied object.
        """
        memo = {} if memo is None else memo
        for name, field in type(self).model_fields.items():
            if field.exclude and name not in _COPIED:
                memo[id(vars(self)[name])] = vars(self)[name]
        return super().__deepcopy__(memo)


def _spare(value: Any, spared: dict[int, Any]) -> Any:
    """Return a value with copies of LlamaIndex's components in it, which pickling may damage."""
    if type(value) is dict:
        return {name: _spare(item, spared) for name, item in value.items()}
    if type(value) is list:
        return [_spare(item, spared) for item in value]
    if not isinstance(value, BaseComponent) or isinstance(value, WholeComponent):
        return value
    if id(value) not in spared:
        spared[id(value)] = copied = copy.copy(value)
        vars(copied).update({name: _spare(item, spared) for name, item in vars(value).items()})
    return spared[id(value)]
