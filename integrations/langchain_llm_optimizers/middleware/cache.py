"""`CacheMiddleware`: an agent's model calls through the response cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.cached import CachedChatModel

__all__ = ["CacheMiddleware"]


class CacheMiddleware(AgentMiddleware[Any, Any]):
    """Caches an agent's model calls: `create_agent(model, middleware=[CacheMiddleware()])`.

    Each call goes through a `CachedChatModel`, even if other middleware changed the model. If tools
    are bound, only exact matches are served, since a similar question may need another action.

    Args:
        cache: Can be shared with other agents and models; by default a new one in memory.
    """

    def __init__(self, cache: HybridCache | None = None) -> None:
        super().__init__()
        self.cache = cache if cache is not None else HybridCache()

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any] | AIMessage:
        """Put the cache in front of the model."""
        return handler(self._cached(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage:
        """Async version of `wrap_model_call`."""
        return await handler(self._cached(request))

    def _cached(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if isinstance(request.model, CachedChatModel):
            return request
        return request.override(model=CachedChatModel(model=request.model, cache=self.cache))
