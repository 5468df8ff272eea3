"""llm-optimizers for LangChain: native components, each switched on with one line.

HybridCache          exact + semantic cache for `set_llm_cache(...)` or a model's `cache=`
CachedChatModel      the same cache for streams, agents and identical calls at once
CostCallbackHandler  every model run into a `Ledger`, hits as savings
"""

from __future__ import annotations

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.cached import CachedChatModel
from langchain_llm_optimizers.callbacks import CostCallbackHandler

__all__ = ["CachedChatModel", "CostCallbackHandler", "HybridCache"]
