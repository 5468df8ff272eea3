"""llm-optimizers for LlamaIndex: native components, each switched on with one line.

optimized_settings   turns everything on in `Settings`
CachedLLM            the cache for every way to call an LLM, including streams
CachedQueryEngine    the cache for questions about retrieved documents
HybridCache          exact + semantic cache for both of the above
fresh_answers        asks the LLM again: `with fresh_answers(): llm.chat(...)`
RoutedLLM            routes each call to one of several LLMs
BatchedLLM           sends concurrent questions in one prompt; `abatch_chat` sends many at once
PromptOptimizingLLM  shorter system prompts and histories
PromptCompressor     cuts retrieved nodes to a token budget
HistoryBlock         a summary of what no longer fits in a chat's memory
CostEventHandler     records every model call in a `Ledger`, cache hits as savings
LLMCacheHitEvent     the dispatcher's event for a cache hit
EmbeddingsStore      keeps each embedding model's vectors apart

Each name is imported on first use, so that an app loads only what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_optimizers.lazy import lazy_names

if TYPE_CHECKING:
    from llama_index_llm_optimizers.batching import BatchedLLM, abatch_chat
    from llama_index_llm_optimizers.cache import HybridCache
    from llama_index_llm_optimizers.cached import CachedLLM
    from llama_index_llm_optimizers.embeddings import EmbeddingsStore, with_embeddings_cache
    from llama_index_llm_optimizers.handler import CostEventHandler
    from llama_index_llm_optimizers.hits import LLMCacheHitEvent
    from llama_index_llm_optimizers.memory import HistoryBlock
    from llama_index_llm_optimizers.postprocessor import PromptCompressor
    from llama_index_llm_optimizers.prompts import PromptOptimizingLLM
    from llama_index_llm_optimizers.query_engine import CachedQueryEngine
    from llama_index_llm_optimizers.router import RoutedLLM
    from llama_index_llm_optimizers.settings import optimized_settings
    from llm_optimizers.caching import fresh_answers

__all__ = [
    "BatchedLLM",
    "CachedLLM",
    "CachedQueryEngine",
    "CostEventHandler",
    "EmbeddingsStore",
    "HistoryBlock",
    "HybridCache",
    "LLMCacheHitEvent",
    "PromptCompressor",
    "PromptOptimizingLLM",
    "RoutedLLM",
    "abatch_chat",
    "fresh_answers",
    "optimized_settings",
    "with_embeddings_cache",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BatchedLLM": "batching",
        "CachedLLM": "cached",
        "CachedQueryEngine": "query_engine",
        "CostEventHandler": "handler",
        "EmbeddingsStore": "embeddings",
        "HistoryBlock": "memory",
        "HybridCache": "cache",
        "LLMCacheHitEvent": "hits",
        "PromptCompressor": "postprocessor",
        "PromptOptimizingLLM": "prompts",
        "RoutedLLM": "router",
        "abatch_chat": "batching",
        "fresh_answers": "refusals",
        "optimized_settings": "settings",
        "with_embeddings_cache": "embeddings",
    },
    extra="llama-index",
)
