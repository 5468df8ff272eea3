"""The `HybridCache` that LangChain itself asks before a model: its `cache=`, or the global one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.outputs import ChatResult

from langchain_llm_optimizers.cache import HybridCache
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import Generations
from llm_optimizers.caching.keys import CacheKey

__all__ = ["OwnCache"]

_FOR_TRACING = ("ls_structured_output_format", "structured_output_format")


@dataclass(frozen=True, slots=True)
class OwnCache:
    """A model that is no wrapper, and the cache that LangChain asks first."""

    model: BaseChatModel
    cache: HybridCache

    @classmethod
    def of(cls, model: BaseChatModel) -> OwnCache | None:
        """Return the model's cache; None if it has none, or another one."""
        own = model.cache if isinstance(model.cache, BaseCache) else get_llm_cache()
        if model.cache is False or not isinstance(own, HybridCache):
            return None
        return cls(model, own)

    def key_of(self, call: ModelCall) -> CacheKey | None:
        """Return the key under which a call's answer is stored; None if it is not stored."""
        return self.cache.key_of(*self._strings(call))

    def keep(self, key: CacheKey, call: ModelCall, result: ChatResult) -> None:
        """Store an answer that came later, under the key of its call."""
        del call
        self.cache.responses.update(key, list(result.generations))

    def served(self, call: ModelCall) -> ChatResult | None:
        """Return a stored answer, in a run of the model's; None if there is none."""
        found = self.cache.lookup(*self._strings(call))
        if found is None:
            return None
        return call.generate(self.model.model_copy(update={"cache": _Found(found)}))

    def _strings(self, call: ModelCall) -> tuple[str, str]:
        """Return the texts by which LangChain knows a call: of the prompt and of the model."""
        kwargs = {name: each for name, each in call.kwargs.items() if name not in _FOR_TRACING}
        prompt = dumps([message.model_copy(update={"id": None}) for message in call.messages])
        return prompt, self.model._get_llm_string(stop=call.stop, **kwargs)


class _Found(BaseCache):
    """A cache that was asked already."""

    def __init__(self, found: Generations) -> None:
        self._found = found

    def lookup(self, prompt: str, llm_string: str) -> Generations:
        del prompt, llm_string
        return self._found

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        """Never called, as nothing is asked of the model."""

    def clear(self, **kwargs: Any) -> None:
        """Never called."""
