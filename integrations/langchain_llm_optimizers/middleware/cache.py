"""`CacheMiddleware`: an agent's model calls through the response cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage

from langchain_llm_optimizers.binding import with_models
from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.cached import CachedChatModel
from llm_optimizers.arguments import instance
from llm_optimizers.caching.refusals import answers_given, refuse_all
from llm_optimizers.caching.refusals.run_tree import blames_answer
from llm_optimizers.warming import WarmsUp

__all__ = ["CacheMiddleware"]

M = TypeVar("M")


class CacheMiddleware(WarmsUp, AgentMiddleware[Any, Any]):
    """Caches an agent's model calls: `create_agent(model, middleware=[CacheMiddleware()])`.

    Each call goes through a `CachedChatModel`, even if other middleware changed the model. Around a
    model with bound settings or fallbacks the cache is inside, next to each model. If tools
    are bound, only exact matches are served, since a similar question may need another action. A
    structured answer that the agent's `response_format` refuses is not kept.

    Args:
        cache: Can be shared with other agents and models; by default a new one in memory.
    """

    def __init__(self, cache: HybridCache | None = None) -> None:
        super().__init__()
        give = "a HybridCache(path=…) of langchain_llm_optimizers, or nothing for a cache in memory"
        if cache is None:
            cache = HybridCache()
        self.cache = instance("cache", cache, HybridCache, give=give)

    def warm_up(self) -> None:
        """Load now what the first model call would load."""
        self.cache.warm_up()

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any] | AIMessage:
        """Put the cache in front of the model."""
        with _refusing() as judge:
            return judge(handler(self._cached(request)))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage:
        """Async version of `wrap_model_call`."""
        with _refusing() as judge:
            return judge(await handler(self._cached(request)))

    def _cached(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        model = with_models(request.model, self._with_cache)
        if model is request.model and not isinstance(model, CachedChatModel):
            self.cache.responses.bypassed(f"no chat model was found in a {type(model).__name__}")
        # With the settings bound on it, it is no chat model; LangChain takes it all the same.
        return request.override(model=cast("BaseChatModel", model))

    def _with_cache(self, model: BaseChatModel) -> BaseChatModel:
        if isinstance(model, CachedChatModel):
            return model
        return CachedChatModel(model, self.cache)


@contextmanager
def _refusing() -> Iterator[Callable[[M], M]]:
    """Refuse the answers given inside the block if the agent's schema refused them.

    The agent then raises an error, which other middleware may answer with a retry, or tells the
    model with a tool message. The block passes its response through the function it gets.
    """

    def judge(response: M) -> M:
        messages = getattr(response, "result", ())
        if getattr(response, "structured_response", None) is None and any(
            isinstance(message, ToolMessage) for message in messages
        ):
            refuse_all(given)
        return response

    with answers_given() as given:
        try:
            yield judge
        except Exception as error:
            refuse_all(given if blames_answer(error) else ())
            raise
