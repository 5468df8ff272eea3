"""`HybridCache`: the response cache for LlamaIndex's responses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_llm_optimizers.codec import ReplyCodec
from llama_index_llm_optimizers.refusals import watch_spans
from llama_index_llm_optimizers.replies import CachedReply
from llm_optimizers.caching import Namespace, ResponseCache
from llm_optimizers.durations import Duration
from llm_optimizers.embeddings.embedders import check_embeddings

__all__ = ["A_CACHE", "HybridCache"]

A_CACHE = "a HybridCache(path=…) of llama_index_llm_optimizers"


class HybridCache(ResponseCache[CachedReply]):
    """An exact and semantic cache for `CachedLLM` and `CachedQueryEngine`.

    Example:
        ```python
        Settings.llm = CachedLLM(
            llm=OpenAI(model="gpt-4o"), cache=HybridCache(path="answers.sqlite", ttl="24h")
        )
        ```

    Only the last human message is matched by meaning; all else must be identical.

    Args:
        embed_model: An embedding model; the bundled static model by default.
        path: An SQLite file that keeps the cache between processes; in memory by default.
        ttl: How long an answer may be served: seconds, a `timedelta` or a text such as "1h"; no
            limit by default.
        max_entries: Capacity; the least used entry is evicted first.
        namespace: The tenant's name, or a function that returns it for the running code.
        threshold: Lowest cosine similarity of a semantic hit; by default the embeddings' own.
        semantic: False for exact matching only.
        wait_timeout: Seconds to wait for an identical call in flight.
        clock: Returns the time in seconds since the epoch.

    Pickled, it opens the same file in the other process, or begins empty in memory with the same
    settings. A namespace function travels if it is defined at the top of a module.

    Raises:
        ConfigurationError: a setting is out of range, or cannot be pickled when the cache is.
    """

    def __init__(
        self,
        embed_model: BaseEmbedding | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        ttl: Duration | None = None,
        max_entries: int = 10_000,
        namespace: Namespace = None,
        threshold: float | None = None,
        semantic: bool = True,
        wait_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_embeddings("embed_model", embed_model)
        watch_spans()
        super().__init__(
            codec=ReplyCodec(),
            path=path,
            embeddings=embed_model,
            semantic=semantic,
            threshold=threshold,
            ttl=ttl,
            max_entries=max_entries,
            namespace=namespace,
            wait_timeout=wait_timeout,
            clock=clock,
        )
