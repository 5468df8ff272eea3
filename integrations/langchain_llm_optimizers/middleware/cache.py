"""`CacheMiddleware`: an agent's model calls through the response cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.cached import CachedChatModel
from llm_optimizers.caching.refusals import answers_given, refuse_all

__all__ = ["CacheMiddleware"]


class CacheMiddleware(AgentMiddleware[Any, Any]):
    """Caches an agent's model calls: `create_agent(model, middleware=[CacheMiddleware()])`.

    Each call goes through a `CachedChatModel`, even if other middleware changed the model. If tools
    are bound, only exact matches are served, since a similar question may need another action. A
    structured answer that the agent's `response_format` refuses is not kept.

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
        with answers_given() as given:
            response = handler(self._cached(request))
        refuse_all(given if _refused(response) else ())
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage:
        """Async version of `wrap_model_call`."""
        with answers_given() as given:
            response = await handler(self._cached(request))
        refuse_all(given if _refused(response) else ())
        return response

    def _cached(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if isinstance(request.model, CachedChatModel):
            return request
        return request.override(model=CachedChatModel(model=request.model, cache=self.cache))


def _refused(response: ModelResponse[Any]) -> bool:
    """Whether the agent's schema refused the answer: it tells the model so with a tool message."""
    messages = getattr(response, "result", ())
    return getattr(response, "structured_response", None) is None and any(
        isinstance(message, ToolMessage) for message in messages
    )
