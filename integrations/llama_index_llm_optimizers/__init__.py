"""llm-optimizers for LlamaIndex: native components, each switched on with one line.

HybridCache       exact + semantic cache, shared by what follows
CachedLLM         the cache for every way an LLM is called
LLMCacheHitEvent  what the dispatcher hears when an answer was served
"""

from __future__ import annotations

from llama_index_llm_optimizers.cache import HybridCache
from llama_index_llm_optimizers.cached import CachedLLM
from llama_index_llm_optimizers.hits import LLMCacheHitEvent

__all__ = ["CachedLLM", "HybridCache", "LLMCacheHitEvent"]
