"""`RouterMiddleware`: a router chooses the model for each step of an agent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain.agents.middleware import (
    AgentMiddleware,
    ModelRequest,
    ModelResponse,
    model_fallback,
)
from langchain_core.language_models import BaseChatModel

from langchain_llm_optimizers.binding import models_in
from langchain_llm_optimizers.cached import CachedChatModel
from langchain_llm_optimizers.optimized import OptimizedChatModel
from langchain_llm_optimizers.router import ChatModelRouter
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.failures import WarningLog
from llm_optimizers.joint_class import shared_class

_log = logging.getLogger("llm_optimizers.routing")

__all__ = ["RouterMiddleware"]


class RouterMiddleware(AgentMiddleware[Any, Any]):
    """Uses a router instead of the agent's own model.

    Example:
        ```python
        router = ChatModelRouter(models={"small": …, "large": …}, policy=…)
        agent = create_agent("openai:gpt-4o", tools, middleware=[RouterMiddleware(router)])
        ```

    The model that called a tool also gets its result: within a run the model changes only if it
    fails. A cache or optimizer around the agent's model stays in front of the router.
    A failing policy, judge or ledger never ends a run. A conversation in a checkpointer stays with
    its model as long as a switch to a cheaper one would cost more than it saves.
    """

    def __init__(self, router: ChatModelRouter) -> None:
        super().__init__()
        self.router = router
        self._warnings = WarningLog()

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
        own = next(models_in(request.model), None)
        if own is not None and not self._shares_class_with(own):
            request = _without_cache_marks(request)
        return request.override(model=_behind_caches_of(own, self.router))

    def _shares_class_with(self, own: BaseChatModel) -> bool:
        """Whether middleware for the agent's own model fits the router's; if not, say so once."""
        models = [*underlying_models(own), *underlying_models(self.router)]
        if shared_class(map(type, models), below=BaseChatModel) is not None:
            return True
        routed = ", ".join(sorted({type(each).__name__ for each in models[1:]}))
        name = type(models[0]).__name__
        self._warnings.warn_once(
            _log,
            f"the router's models ({routed}) share no class with the agent's {name}, so middleware "
            f"for {name} does not find its model behind RouterMiddleware, and the marks for a "
            "provider's cache that it sets in front of it are left out. Set what one provider "
            f"needs on its own model in the router, such as {name}(model_kwargs=…), or give the "
            "router models of one class",
        )
        return False


def _without_cache_marks(request: ModelRequest[Any]) -> ModelRequest[Any]:
    """Return the request without the marks for one provider's cache, which others refuse.

    LangChain removes them where an agent falls back to another model. An older version does not.
    """
    remove = getattr(model_fallback, "_sanitize_request_for_fallback", None)
    return request if remove is None else cast("ModelRequest[Any]", remove(request))


def _behind_caches_of(model: BaseChatModel | None, router: ChatModelRouter) -> BaseChatModel:
    """Return the router with the wrappers of the agent's model that keep nothing between calls."""
    if isinstance(model, CachedChatModel | OptimizedChatModel):
        inner = _behind_caches_of(model.model, router)
        return model.model_copy(update={"model": inner})
    return router
