"""The ways to use an LLM, by subject; `way` adds one to `WAYS`, the rows of the table."""

from support.like_the_model.llama_index.ways import (
    agents,
    calls,
    engines,
    failures,
    state,
    structured,
    surface,
    tools,
)
from support.like_the_model.llama_index.ways.way import WAYS, Lab, Way

__all__ = [
    "WAYS",
    "Lab",
    "Way",
    "agents",
    "calls",
    "engines",
    "failures",
    "state",
    "structured",
    "surface",
    "tools",
]
