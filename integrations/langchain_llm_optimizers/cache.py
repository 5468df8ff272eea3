"""`HybridCache`: the response cache for LangChain's `cache=` and `set_llm_cache`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.embeddings import Embeddings
from langchain_core.outputs import Generation

from langchain_llm_optimizers.codec import Generations, GenerationsCodec
from langchain_llm_optimizers.hits import serve_hit
from langchain_llm_optimizers.llm_string import LLMStrings
from langchain_llm_optimizers.messages import request_of_prompt
from langchain_llm_optimizers.refusals import options_of_running_model, watch_runs
from llm_optimizers.arguments import refuse
from llm_optimizers.caching import CacheStats, Hit, Namespace, ResponseCache
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.durations import Duration
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.types import ChatRequest
from llm_optimizers.warming import WarmsUp, warm_up_all

__all__ = ["HybridCache"]


class HybridCache(WarmsUp, PickledAsArguments, BaseCache):
    """An exact and semantic cache for `set_llm_cache(...)` or a model's `cache=`.

    Example:
        ```python
        set_llm_cache(HybridCache(path="answers.sqlite", ttl="24h"))
        ```

    LangChain does not use its cache for streams; `CachedChatModel` does, with the same
    `HybridCache`. Only the last human message is matched by meaning; all else must be identical.
    Of a completion model LangChain gives its cache the model's settings and `stop`, but no other
    setting of a call: set `n` or `temperature` on the model, not in `bind` or `generate`, and ask
    for a fresh answer with `fresh_answers()`, not in the `config`.

    Args:
        embeddings: LangChain embeddings; the bundled static model by default.
        path: An SQLite file that keeps the cache between processes; in memory by default.
        ttl: How long an answer may be served: seconds, a `timedelta` or a text such as "1h"; no
            limit by default.
        max_entries: Capacity; the least used entry is evicted first.
        namespace: The tenant's name, or a function that returns it for the running code.
        threshold: Lowest cosine similarity of a semantic hit; by default the embeddings' own.
        semantic: False for exact matching only.
        ledger: Where hits are recorded as savings. Not needed with a `CostCallbackHandler`; with
            both, a hit still counts once.
        wait_timeout: Seconds that `CachedChatModel` waits for an identical call in flight.
        clock: Returns the time in seconds since the epoch.

    Pickled, it opens the same file in the other process, or begins empty in memory with the same
    settings. A namespace function travels if it is defined at the top of a module.

    Raises:
        ConfigurationError: a setting is out of range, or cannot be pickled when the cache is.
    """

    def __init__(
        self,
        embeddings: Embeddings | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        ttl: Duration | None = None,
        max_entries: int = 10_000,
        namespace: Namespace = None,
        threshold: float | None = None,
        semantic: bool = True,
        ledger: Ledger | None = None,
        wait_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = checked_ledger(ledger)
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
        watch_runs()
        self._strings = LLMStrings()

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return self.responses.current_arguments()

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"ledger": self.ledger}

    def lookup(self, prompt: str, llm_string: str) -> Generations | None:
        """See `BaseCache.lookup`."""
        key = self.key_of(prompt, llm_string)
        if key is None:
            return None
        hit = self.responses.lookup(key, options_of_running_model())
        return None if hit is None else self._served(hit, prompt, llm_string)

    async def alookup(self, prompt: str, llm_string: str) -> Generations | None:
        """See `BaseCache.alookup`."""
        key = self.key_of(prompt, llm_string)
        if key is None:
            return None
        hit = await self.responses.alookup(key, options_of_running_model())
        return None if hit is None else self._served(hit, prompt, llm_string)

    def _served(self, hit: Hit[Generations], prompt: str, llm_string: str) -> Generations:
        request = partial(_request_of, self._strings, prompt, llm_string)
        return serve_hit(hit, self.ledger, request=request)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """See `BaseCache.update`."""
        key = self.key_of(prompt, llm_string)
        if key is not None:
            self.responses.update(key, list(return_val), options_of_running_model())

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """See `BaseCache.aupdate`."""
        key = self.key_of(prompt, llm_string)
        if key is not None:
            await self.responses.aupdate(key, list(return_val), options_of_running_model())

    def clear(self, **kwargs: Any) -> None:
        """Remove all entries, or only those of the tenant given as `tenant=`.

        Raises:
            StoreError: the file cannot be written; nothing was removed.
            ConfigurationError: the tenant's name is empty, or another argument is given.
        """
        # A mistyped name would otherwise remove the entries of all tenants.
        for unknown in kwargs.keys() - {"tenant"}:
            refuse(unknown, kwargs[unknown], "`tenant`, or nothing to remove all entries")
        self.responses.clear(kwargs.get("tenant"))
        self._strings.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """Async version of `clear`."""
        await asyncio.to_thread(self.clear, **kwargs)

    def warm_up(self) -> None:
        """See `ResponseCache.warm_up`."""
        warm_up_all([self.responses, self.ledger])

    @property
    def stats(self) -> CacheStats:
        """Hits by tier, misses and errors since this cache was created."""
        return self.responses.stats

    def __len__(self) -> int:
        return len(self.responses)

    def __bool__(self) -> bool:
        # langchain-core up to 1.5.4 takes a cache that is false for no cache: an empty one too.
        return True

    def close(self) -> None:
        """Write pending hit counts and close the file; the next call opens it again."""
        self.responses.close()

    def key_of(self, prompt: str, llm_string: str) -> CacheKey | None:
        """Return the call's key, or None if a setting that affects the answer cannot be read."""
        tenant = self.responses.tenant()
        if tenant is None:
            return None
        make = partial(_key_of, self.responses, self._strings, tenant, prompt, llm_string)
        try:
            if "<class '" in llm_string:  # a schema can be redefined under the same name
                return make()
            self._strings.check(llm_string)
            # A prompt is parsed and hashed once for its lookups and the update after the first.
            call, characters = (tenant, prompt, llm_string), len(prompt) + len(llm_string)
            return self.responses.remembered_key(call, make, characters=characters)
        except Exception as error:  # noqa: BLE001 - a call without a key goes to the model
            self.responses.bypassed(error)
            return None


def _request_of(strings: LLMStrings, prompt: str, llm_string: str) -> ChatRequest:
    """Return the request as it is sent, to count its tokens."""
    given = strings.given_in_string(llm_string)
    model = given.get("model") or given.get("model_name") or ""
    return replace(request_of_prompt(prompt, given), model=str(model))


def _key_of(
    responses: ResponseCache[Generations],
    strings: LLMStrings,
    tenant: str,
    prompt: str,
    llm_string: str,
) -> CacheKey:
    settings, sent = strings.call_of_string(llm_string)
    request = request_of_prompt(prompt, settings, sent=sent)
    sampled = strings.sampled_by_string(llm_string)
    return responses.key_within(tenant, replace(request, sampled=sampled))
