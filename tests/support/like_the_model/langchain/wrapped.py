"""The wrappers: how each is put around a model, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.middleware import (
    CacheMiddleware,
    PromptMiddleware,
    RouterMiddleware,
)
from support.like_the_model.langchain.use import Provider, Use

__all__ = ["REFERENCES", "WRAPPED", "Wrapped"]

Wrap = Callable[[BaseChatModel, Any], BaseChatModel]


def _exact() -> HybridCache:
    """A cache that serves the same question only: similar ones are another promise."""
    return HybridCache(semantic=False)


def _bare(model: BaseChatModel, _: Any) -> BaseChatModel:
    return model


def _with_cache(model: BaseChatModel, cache: Any) -> BaseChatModel:
    model.cache = cache
    return model


def _router(model: BaseChatModel, _: Any = None) -> ChatModelRouter:
    return ChatModelRouter(models={"small": model.model_copy(), "large": model})


def _router_of_two_classes(model: BaseChatModel, _: Any) -> ChatModelRouter:
    other = FakeListChatModel(responses=["from another provider"])
    return ChatModelRouter(models={"other": other, "large": model})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A wrapper, or middleware around the model of an agent."""

    wrap: Wrap = _bare
    middleware: Callable[[BaseChatModel, Any], list[Any]] = lambda _, __: []
    cache: Callable[[], BaseCache] = _exact
    hit: bool = False
    """Whether the same was asked before, and the answer comes from the cache."""
    never: frozenset[str] = frozenset()
    """Names of entries that an answer of this wrapper never has; the page says why."""
    agents_only: bool = False
    reference: str = "bare"

    @property
    def asks_nobody(self) -> bool:
        """Whether it answers without a request, while the bare model makes one."""
        return self.hit and self.reference == "bare"

    def use(self, provider: Provider, cache: BaseCache) -> Use:
        """Return a use of a model in this wrapper."""
        use = Use(provider=provider, wrap=lambda model: self.wrap(model, cache), cache=cache)
        use.middleware = self.middleware(use.bare(), cache) if self.agents_only else ()
        return use


REFERENCES = {
    "bare": Wrapped(),
    "bare with LangChain's cache": Wrapped(wrap=_with_cache, cache=InMemoryCache),
    "bare with LangChain's cache, hit": Wrapped(wrap=_with_cache, cache=InMemoryCache, hit=True),
}
_TOTALS = frozenset({"llm_output"})
"""What only a request has: the tokens that it is billed for, which would be counted again."""
_OF_THE_CALL = _TOTALS | {"run"}
"""What only a call of one's own has."""
_CACHED: Wrap = lambda model, cache: CachedChatModel(model=model, cache=cache)  # noqa: E731
_CACHE_MIDDLEWARE = lambda _, cache: [CacheMiddleware(cache)]  # noqa: E731

WRAPPED: Mapping[str, Wrapped] = {
    "CachedChatModel": Wrapped(wrap=_CACHED),
    "CachedChatModel, hit": Wrapped(wrap=_CACHED, hit=True, never=_TOTALS),
    "OptimizedChatModel": Wrapped(wrap=lambda model, _: OptimizedChatModel(model=model)),
    "BatchingChatModel": Wrapped(
        wrap=lambda model, _: BatchingChatModel(model=model, max_delay=0.001),
        never=_OF_THE_CALL,
    ),
    "BatchingChatModel, combine": Wrapped(
        wrap=lambda model, _: BatchingChatModel(model=model, combine=True, max_delay=0.02),
        never=_OF_THE_CALL,
    ),
    "ChatModelRouter": Wrapped(wrap=_router),
    "ChatModelRouter of two classes": Wrapped(wrap=_router_of_two_classes),
    "cached router": Wrapped(wrap=lambda model, cache: _CACHED(_router(model), cache)),
    "cached router, hit": Wrapped(
        wrap=lambda model, cache: _CACHED(_router(model), cache), hit=True, never=_TOTALS
    ),
    "cached, optimized": Wrapped(
        wrap=lambda model, cache: _CACHED(OptimizedChatModel(model=model), cache)
    ),
    "cache=HybridCache()": Wrapped(wrap=_with_cache, reference="bare with LangChain's cache"),
    "cache=HybridCache(), hit": Wrapped(
        wrap=_with_cache, hit=True, reference="bare with LangChain's cache, hit"
    ),
    "CacheMiddleware": Wrapped(middleware=_CACHE_MIDDLEWARE, agents_only=True),
    "CacheMiddleware, hit": Wrapped(
        middleware=_CACHE_MIDDLEWARE, agents_only=True, hit=True, never=_TOTALS
    ),
    "PromptMiddleware": Wrapped(middleware=lambda _, __: [PromptMiddleware()], agents_only=True),
    "RouterMiddleware": Wrapped(
        middleware=lambda model, _: [RouterMiddleware(_router(model))], agents_only=True
    ),
    "all middleware": Wrapped(
        middleware=lambda model, cache: [
            CacheMiddleware(cache),
            RouterMiddleware(_router(model)),
            PromptMiddleware(),
        ],
        agents_only=True,
    ),
}
