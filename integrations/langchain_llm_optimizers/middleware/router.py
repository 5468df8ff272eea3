"""`RouterMiddleware`: a router chooses the model for each step of an agent."""

from __future__ import annotations

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
from langchain_llm_optimizers.wrappers import is_wrapper, underlying_models
from llm_optimizers.arguments import refuse
from llm_optimizers.failures import WarningLog
from llm_optimizers.joint_class import shared_class
from llm_optimizers.warming import WarmsUp

_COMPONENT = "llm_optimizers.routing"

__all__ = ["RouterMiddleware"]


class RouterMiddleware(WarmsUp, AgentMiddleware[Any, Any]):
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
        if not _has_router(router):
            refuse("router", router, "a ChatModelRouter(models=…)")
        self.router = router
        self._warnings = WarningLog()

    def warm_up(self) -> None:
        """Load now what the first model call would load."""
        self.router.warm_up()

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
            request = _with_marks_for(self.router, request)
        return request.override(model=_behind_caches_of(own, self.router))

    def _shares_class_with(self, own: BaseChatModel) -> bool:
        """Whether middleware for the agent's own model fits the router's; if not, say so once."""
        agents, routed = list(underlying_models(own)), list(underlying_models(self.router))
        if shared_class(map(type, [*agents, *routed]), below=BaseChatModel) is not None:
            return True
        name = type(agents[0]).__name__
        others = ", ".join(sorted({type(each).__name__ for each in routed}))
        self._warnings.warn_once(
            _COMPONENT,
            f"the router's models ({others}) are not all of the agent's class {name}: middleware "
            f"for {name} after RouterMiddleware does not find its model, and its marks for the "
            "provider's cache, set before RouterMiddleware, are sent only if all models of the "
            "router take them. Set what one provider needs on its own model in the router, such "
            f"as {name}(model_kwargs=…), or give the router models of one class",
        )
        return False


def _has_router(model: object) -> bool:
    """Whether a model is a router, or a wrapper with one in it."""
    if isinstance(model, ChatModelRouter):
        return True
    return (
        isinstance(model, BaseChatModel)
        and is_wrapper(model)
        and any(map(_has_router, model._children))
    )


def _with_marks_for(router: ChatModelRouter, request: ModelRequest[Any]) -> ModelRequest[Any]:
    """Return the request without marks for a provider's cache that not all of the models take.

    LangChain removes them where an agent falls back to another model. An older version does not.
    """
    remove = getattr(model_fallback, "_sanitize_request_for_fallback", None)
    return request if remove is None else cast("ModelRequest[Any]", remove(request, router))


def _behind_caches_of(model: BaseChatModel | None, router: ChatModelRouter) -> BaseChatModel:
    """Return the router with the wrappers of the agent's model that keep nothing between calls."""
    if isinstance(model, CachedChatModel | OptimizedChatModel):
        inner = _behind_caches_of(model.model, router)
        return model.model_copy(update={"model": inner})
    return router
