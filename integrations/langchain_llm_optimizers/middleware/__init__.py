"""Middleware for LangChain's agents, one per strategy: `create_agent(model, middleware=[…])`.

CacheMiddleware      repeated model calls come from the cache
PromptMiddleware     shorter prompts that keep the provider's cache valid
RouterMiddleware     each step goes to the model that a policy chooses

Each name is imported on first use, so that an app loads only what it uses.
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
