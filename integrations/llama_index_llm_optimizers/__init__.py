"""llm-optimizers for LlamaIndex: native components, each switched on with one line.

HybridCache       exact + semantic cache, shared by what follows
CachedLLM         the cache for every way an LLM is called
CostEventHandler  every model call into a `Ledger`, hits as savings
LLMCacheHitEvent  what the dispatcher hears when an answer was served
EmbeddingsStore   a place of its own for each embedding model's vectors
"""

from __future__ import annotations

from llama_index_llm_optimizers.cache import HybridCache
from llama_index_llm_optimizers.cached import CachedLLM
from llama_index_llm_optimizers.embeddings import EmbeddingsStore, with_embeddings_cache
from llama_index_llm_optimizers.events import CostEventHandler
from llama_index_llm_optimizers.hits import LLMCacheHitEvent

__all__ = [
    "CachedLLM",
    "CostEventHandler",
    "EmbeddingsStore",
    "HybridCache",
    "LLMCacheHitEvent",
    "with_embeddings_cache",
]
