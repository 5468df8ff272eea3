"""llm-optimizers for LangChain: native components, each switched on with one line.

HybridCache          exact + semantic cache for `set_llm_cache(...)` or a model's `cache=`
CachedChatModel      the same cache for streams, agents and identical calls at once
CostCallbackHandler  every model run into a `Ledger`, hits as savings
PromptOptimizer      shorter prompts: `prompt | PromptOptimizer("gpt-4o") | model`
OptimizedChatModel   the same as a model, to stand behind a cache
PassageCompressor    retrieved documents within a token budget
ChatModelRouter      one model that stands for several: `ChatModelRouter(models={…}, policy=…)`
BatchingChatModel    concurrent calls share calls, or even prompts
batch_later          a chain's inputs at a provider's batch price; `collect_later` takes the answers

Each is imported when it is first named, so that an app pays for what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_optimizers.lazy import lazy_names

if TYPE_CHECKING:
    from langchain_llm_optimizers.batching import BatchingChatModel
    from langchain_llm_optimizers.cache import HybridCache
    from langchain_llm_optimizers.cached import CachedChatModel
    from langchain_llm_optimizers.handler import CostCallbackHandler
    from langchain_llm_optimizers.later import batch_later, collect_later
    from langchain_llm_optimizers.optimized import OptimizedChatModel
    from langchain_llm_optimizers.prompts import PassageCompressor, PromptOptimizer
    from langchain_llm_optimizers.router import ChatModelRouter

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
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BatchingChatModel": "batching",
        "batch_later": "later",
        "collect_later": "later",
        "ChatModelRouter": "router",
        "CachedChatModel": "cached",
        "CostCallbackHandler": "handler",
        "HybridCache": "cache",
        "OptimizedChatModel": "optimized",
        "PassageCompressor": "prompts",
        "PromptOptimizer": "prompts",
    },
    extra="langchain",
)
