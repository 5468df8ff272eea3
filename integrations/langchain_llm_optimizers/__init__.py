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

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
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
}


def __getattr__(name: str) -> Any:
    """The public name's class (https://peps.python.org/pep-0562/)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
