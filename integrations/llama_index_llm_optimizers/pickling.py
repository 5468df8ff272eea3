"""`WholeComponent`: a component that comes out of pickling whole, and whose copy is complete.

LlamaIndex removes what cannot be pickled from the component itself, not from a copy of its state,
and creates the unpickled one from what is left: both forget settings without a word, and the
original breaks. `IngestionPipeline(num_workers=2)` pickles every component in it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from llama_index.core.schema import BaseComponent

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import Notice, emit
from llm_optimizers.pickling.models import PickledWhole, spared

__all__ = ["WholeComponent"]


class WholeComponent(PickledWhole, BaseComponent):
    """A component that is pickled with all its settings, or not at all.

    What the components in it cannot pickle is left out as LlamaIndex does, but of a copy of them.
    """

    copied_fields: ClassVar[frozenset[str]] = frozenset(
        {"callback_manager", "rate_limiter", "output_parser", "query_wrapper_prompt"}
    )

    def _travelling_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = spared(super()._travelling_fields())
        return fields

    def __getstate__(self) -> dict[Any, Any]:
        try:
            return super().__getstate__()
        except ConfigurationError as error:
            # A component around this one drops it without saying why.
            emit(Notice(component="llm_optimizers", message=str(error)))
            raise
