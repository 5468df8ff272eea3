"""`RouterMiddleware`: an agent whose every step goes to the model that suffices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from langchain_llm_optimizers.router import ChatModelRouter

__all__ = ["RouterMiddleware"]


class RouterMiddleware(AgentMiddleware[Any, Any]):
    """Lets a router answer instead of the agent's own model.

    Example:
        ```python
        router = ChatModelRouter(models={"small": …, "large": …}, policy=…)
        agent = create_agent("openai:gpt-4o", tools, middleware=[RouterMiddleware(router)])
        ```

    A model that called a tool gets its result: within a run the model changes only when it
    fails. A failing policy, judge or ledger never ends a run. A conversation kept by a
    checkpointer stays with its model while moving down would cost more than it saves.
    """

    def __init__(self, router: ChatModelRouter) -> None:
        super().__init__()
        self.router = router

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Put the router in the model's place, tools and settings as they are."""
        return handler(request.override(model=self.router))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """The asynchronous twin of `wrap_model_call`."""
        return await handler(request.override(model=self.router))
