"""`HybridCache`: the response cache behind LangChain's own `cache=` and `set_llm_cache`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.embeddings import Embeddings
from langchain_core.outputs import Generation

from langchain_llm_optimizers.codec import Generations, GenerationsCodec
from langchain_llm_optimizers.hits import served
from langchain_llm_optimizers.identity import identity_of_string
from langchain_llm_optimizers.messages import request_of_prompt
from llm_optimizers.caching import CacheStats, Namespace, ResponseCache
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.costs import Ledger

__all__ = ["HybridCache"]

_REMEMBERED_LENGTH = 20_000


class HybridCache(BaseCache):
    """An exact and semantic cache for `set_llm_cache(...)` or a model's `cache=`.

    Example:
        ```python
        set_llm_cache(HybridCache(path="answers.sqlite", ttl=24 * 3600))
        ```

    LangChain never asks a cache when a model streams; `CachedChatModel` does, and takes the same
    `HybridCache`. Only the last human text is matched by meaning: all else must be identical.

    Args:
        embeddings: Your own LangChain embeddings; the bundled static model by default.
        path: An SQLite file that outlives the process; in memory by default.
        ttl: Seconds an answer may be served; for ever by default.
        max_entries: Capacity; the least used entry leaves first.
        namespace: A tenant's name, or a function that returns the running code's.
        threshold: A cosine that replaces the embeddings' own bound for semantic hits.
        semantic: False for exact matching only.
        ledger: Where hits are recorded as savings. Not needed next to a `CostCallbackHandler`,
            and harmless: a hit counts once.
        wait_timeout: Seconds that `CachedChatModel` waits for an identical call under way.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: a setting is out of its range.
    """

    def __init__(
        self,
        embeddings: Embeddings | None = None,
        *,
        path: str | Path | None = None,
        ttl: float | None = None,
        max_entries: int = 10_000,
        namespace: Namespace = None,
        threshold: float | None = None,
        semantic: bool = True,
        ledger: Ledger | None = None,
        wait_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger
        self.responses: ResponseCache[Generations] = ResponseCache(
            codec=GenerationsCodec(),
            path=path,
            embeddings=embeddings,
            semantic=semantic,
            threshold=threshold,
            ttl=ttl,
            max_entries=max_entries,
            namespace=namespace,
            wait_timeout=wait_timeout,
            clock=clock,
        )
        # A prompt is parsed and hashed once, for its lookups and the update that follows.
        self._keys = lru_cache(maxsize=1024)(partial(_key_of, self.responses))

    def lookup(self, prompt: str, llm_string: str) -> Generations | None:
        """See `BaseCache.lookup`."""
        key = self._key(prompt, llm_string)
        hit = None if key is None else self.responses.lookup(key)
        return None if hit is None else served(hit, self.ledger)

    async def alookup(self, prompt: str, llm_string: str) -> Generations | None:
        """See `BaseCache.alookup`."""
        key = self._key(prompt, llm_string)
        hit = None if key is None else await self.responses.alookup(key)
        return None if hit is None else served(hit, self.ledger)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """See `BaseCache.update`."""
        key = self._key(prompt, llm_string)
        if key is not None:
            self.responses.update(key, list(return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """See `BaseCache.aupdate`."""
        key = self._key(prompt, llm_string)
        if key is not None:
            await self.responses.aupdate(key, list(return_val))

    def clear(self, **kwargs: Any) -> None:
        """Remove every entry, or those of `tenant=`.

        Raises:
            StoreError: the file cannot be written; nothing was removed.
        """
        self.responses.clear(kwargs.get("tenant"))

    async def aclear(self, **kwargs: Any) -> None:
        """The asynchronous twin of `clear`."""
        await asyncio.to_thread(self.clear, **kwargs)

    @property
    def stats(self) -> CacheStats:
        """Hits by tier, misses and troubles since this cache was made."""
        return self.responses.stats

    def __len__(self) -> int:
        return len(self.responses)

    def close(self) -> None:
        """Write pending hit counts and close the file; a later call opens it again."""
        self.responses.close()

    def _key(self, prompt: str, llm_string: str) -> CacheKey | None:
        """The call's key, or None when its settings hide something that shapes the answer."""
        tenant = self.responses.tenant()
        if tenant is None:
            return None
        # A schema may be defined anew under its old name, and long prompts fill memory.
        passing = "<class '" in llm_string or len(prompt) > _REMEMBERED_LENGTH
        try:
            return (self._keys.__wrapped__ if passing else self._keys)(tenant, prompt, llm_string)
        except Exception as error:  # noqa: BLE001 - what cannot be keyed is called for, never lost
            self.responses.bypassed(error)
            return None


def _key_of(
    responses: ResponseCache[Generations], tenant: str, prompt: str, llm_string: str
) -> CacheKey:
    request = request_of_prompt(prompt, identity_of_string(llm_string))
    return responses.key_within(tenant, request)
