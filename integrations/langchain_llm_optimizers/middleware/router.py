"""`RouterMiddleware`: a router chooses the model for each step of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from langchain_llm_optimizers.cached import CachedChatModel
from langchain_llm_optimizers.router import ChatModelRouter

__all__ = ["RouterMiddleware"]


class RouterMiddleware(AgentMiddleware[Any, Any]):
    """Uses a router instead of the agent's own model.

    Example:
        ```python
        router = ChatModelRouter(models={"small": …, "large": …}, policy=…)
        agent = create_agent("openai:gpt-4o", tools, middleware=[RouterMiddleware(router)])
        ```

    The model that called a tool also gets its result: within a run the model changes only if it
    fails. A cache that other middleware put around the agent's model stays in front of the router.
    A failing policy, judge or ledger never ends a run. A conversation in a checkpointer stays with
    its model as long as a switch to a cheaper one would cost more than it saves.
    """

    def __init__(self, router: ChatModelRouter) -> None:
        super().__init__()
        self.router = router

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Replace the model with the router; tools and settings stay as they are."""
        return handler(self._routed(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Async version of `wrap_model_call`."""
        return await handler(self._routed(request))

    def _routed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        model = request.model
        if isinstance(model, CachedChatModel):  # a CacheMiddleware before this one
            return request.override(model=CachedChatModel(model=self.router, cache=model.cache))
        return request.override(model=self.router)
