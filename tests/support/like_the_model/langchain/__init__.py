"""The ways in which LangChain uses a chat model, the wrappers, and what is different in them.

use           a model in its wrapper, its provider, and the ways as data
ways/         the ways by kind
wrapped       the wrappers, and what each is compared with
seen          what a use of a model gave, as plain data
differences   what is different, with the reason
"""

from __future__ import annotations

from support.like_the_model.differences import table
from support.like_the_model.langchain.differences import DIFFERENCES
from support.like_the_model.langchain.ways import WAYS
from support.like_the_model.langchain.wrapped import WRAPPED

__all__ = ["DIFFERENCES", "WAYS", "table_of_differences"]


def table_of_differences() -> str:
    """Return two tables in Markdown: of models, and of middleware, which only agents have."""
    models = [name for name, wrapped in WRAPPED.items() if not wrapped.agents_only]
    middleware = [name for name, wrapped in WRAPPED.items() if wrapped.agents_only]
    agents = [name for name, way in WAYS.items() if way.agent]
    return "\n\n".join(
        [
            table([(name, name) for name in WAYS], models, DIFFERENCES),
            "Middleware around the model of an agent:",
            table([(name, name) for name in agents], middleware, DIFFERENCES),
        ]
    )
