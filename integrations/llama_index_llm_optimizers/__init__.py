"""llm-optimizers for LlamaIndex: native components, each switched on with one line.

optimized_settings   everything on, in `Settings`
CachedLLM            the cache for every way an LLM is called
CachedQueryEngine    the cache where the question is short and its documents are known
HybridCache          exact + semantic; both of the above take one
RoutedLLM            each call to the cheapest LLM that answers it well enough
BatchedLLM           callers at the same time share a call; `abatch_chat` makes many callers
PromptOptimizingLLM  shorter system prompts and histories on their way to an LLM
PromptCompressor     retrieved nodes cut to a token budget
HistoryBlock         what falls out of a chat's memory, in few words
CostEventHandler     every model call into a `Ledger`, hits as savings
LLMCacheHitEvent     what the dispatcher hears when an answer was served
EmbeddingsStore      a place of its own for each embedding model's vectors

Each is imported when it is first named, so that an app pays for what it uses.
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
        "optimized_settings": "settings",
        "with_embeddings_cache": "embeddings",
    },
    extra="llama-index",
)
