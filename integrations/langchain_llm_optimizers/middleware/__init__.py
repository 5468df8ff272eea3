"""Middleware for LangChain's agents, one a strategy: `create_agent(model, middleware=[…])`.

CacheMiddleware      repeated model calls are served
PromptMiddleware     shorter prompts, the provider's cache intact
RouterMiddleware     each step to the model that suffices

Each is imported when it is first named, so that an app pays for what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_optimizers.lazy import lazy_names

if TYPE_CHECKING:
    from langchain_llm_optimizers.middleware.cache import CacheMiddleware
    from langchain_llm_optimizers.middleware.prompts import PromptMiddleware
    from langchain_llm_optimizers.middleware.router import RouterMiddleware

__all__ = ["CacheMiddleware", "PromptMiddleware", "RouterMiddleware"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CacheMiddleware": "cache",
        "RouterMiddleware": "router",
        "PromptMiddleware": "prompts",
    },
    extra="langchain",
)
