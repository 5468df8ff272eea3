"""Middleware for LangChain's agents, one a strategy: `create_agent(model, middleware=[…])`.

CacheMiddleware      repeated model calls are served
PromptMiddleware     shorter prompts, the provider's cache intact
RouterMiddleware     each step to the model that suffices

Each is imported when it is first named, so that an app pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_llm_optimizers.middleware.cache import CacheMiddleware
    from langchain_llm_optimizers.middleware.prompts import PromptMiddleware
    from langchain_llm_optimizers.middleware.router import RouterMiddleware

__all__ = ["CacheMiddleware", "PromptMiddleware", "RouterMiddleware"]

_HOMES = {
    "CacheMiddleware": "cache",
    "RouterMiddleware": "router",
    "PromptMiddleware": "prompts",
}


def __getattr__(name: str) -> Any:
    """The public name's class (https://peps.python.org/pep-0562/)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
