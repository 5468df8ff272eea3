"""Every way in which LangChain uses a chat model."""

from __future__ import annotations

from collections.abc import Mapping

from support.like_the_model.langchain.use import Way
from support.like_the_model.langchain.ways import (
    agents,
    calls,
    runnables,
    settings,
    state,
    structured,
    tracing,
)

__all__ = ["WAYS"]

WAYS: Mapping[str, Way] = {
    **calls.WAYS,
    **structured.WAYS,
    **settings.WAYS,
    **runnables.WAYS,
    **agents.WAYS,
    **state.WAYS,
    **tracing.WAYS,
}
