"""llm-optimizers for LangChain: native components, each switched on with one line.

HybridCache          exact + semantic cache for `set_llm_cache(...)` or a model's `cache=`
CachedChatModel      the same cache for streams, agents and identical concurrent calls
fresh_answers        asks the model again: `with fresh_answers(): chain.invoke(...)`
CostCallbackHandler  records every model run in a `Ledger`, cache hits as savings
PromptOptimizer      shorter prompts: `prompt | PromptOptimizer("gpt-4o") | model`
OptimizedChatModel   the same as a chat model, for use behind a cache
PassageCompressor    cuts retrieved documents to a token budget
ChatModelRouter      routes each call to one of several models
BatchingChatModel    sends concurrent calls together, or in one prompt
batch_later          a chain's inputs to a provider's batch API; `collect_later` gets the answers

Each name is imported on first use, so that an app loads only what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_optimizers.lazy import lazy_names

if TYPE_CHECKING:
    from langchain_llm_optimizers.batching import BatchingChatModel
    from langchain_llm_optimizers.cache import HybridCache
    from langchain_llm_optimizers.cached import CachedChatModel
    from langchain_llm_optimizers.handler import CostCallbackHandler
    from langchain_llm_optimizers.optimized import OptimizedChatModel
    from langchain_llm_optimizers.prompts import PassageCompressor, PromptOptimizer
    from langchain_llm_optimizers.provider_batch import batch_later, collect_later
    from langchain_llm_optimizers.router import ChatModelRouter
    from llm_optimizers.caching import fresh_answers

__all__ = [
    "BatchingChatModel",
    "CachedChatModel",
    "ChatModelRouter",
    "CostCallbackHandler",
    "HybridCache",
    "OptimizedChatModel",
    "PassageCompressor",
    "PromptOptimizer",
    "batch_later",
    "collect_later",
    "fresh_answers",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BatchingChatModel": "batching",
        "batch_later": "provider_batch",
        "collect_later": "provider_batch",
        "ChatModelRouter": "router",
        "CachedChatModel": "cached",
        "CostCallbackHandler": "handler",
        "HybridCache": "cache",
        "fresh_answers": "refusals",
        "OptimizedChatModel": "optimized",
        "PassageCompressor": "prompts",
        "PromptOptimizer": "prompts",
    },
    extra="langchain",
)
