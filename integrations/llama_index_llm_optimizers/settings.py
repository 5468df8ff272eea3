"""`optimized_settings`: everything on in one line, and everything as it was afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms.llm import LLM
from llama_index.core.storage.kvstore.types import BaseKVStore

from llama_index_llm_optimizers.cache import HybridCache
from llama_index_llm_optimizers.cached import CachedLLM
from llama_index_llm_optimizers.embeddings import with_embeddings_cache
from llama_index_llm_optimizers.handler import CostEventHandler
from llama_index_llm_optimizers.prompts import PromptOptimizingLLM
from llm_optimizers.costs import Ledger
from llm_optimizers.prompts import RequestOptimizer

__all__ = ["optimized_settings"]

_OURS = ("_llm", "_embed_model", "_prompt_helper", "_chat_prompt_helper")
_lock = threading.Lock()
_frames: list[dict[str, Any]] = []
"""What `Settings` held before each block that is open now, the outermost first."""


@contextmanager
def optimized_settings(
    *,
    llm: LLM | None = None,
    embed_model: BaseEmbedding | None = None,
    ledger: Ledger | None = None,
    cache: HybridCache | None = None,
    optimizer: RequestOptimizer | None = None,
    embeddings_store: BaseKVStore | None = None,
) -> Iterator[CostEventHandler]:
    """Run a block with LlamaIndex's `Settings` made cheaper, as the service context once was.

    Example:
        ```python
        with optimized_settings(llm=OpenAI(model="gpt-4o"), ledger=Ledger("costs.sqlite")) as costs:
            print(VectorStoreIndex.from_documents(documents).as_query_engine().query(question))
            print(costs.summary())
        ```

    The LLM gets a cache and prompts without what says nothing, the embedding model a store for its
    vectors, and every call is counted. For more models than one give a `RoutedLLM`.
    What was made inside the block keeps its LLM after it. `Settings` belongs to the whole process:
    use the block at a program's start or in a script, and the components themselves where
    requests of several users run at once.

    Args:
        llm: The LLM to use; the one in `Settings` by default.
        embed_model: The embedding model; the one in `Settings`, if any was set, by default.
        ledger: Where calls are recorded; in memory by default.
        cache: The LLM's cache; in memory by default.
        optimizer: What is done to prompts; by default nothing that loses information.
        embeddings_store: Where vectors are kept; in memory by default.

    Yields:
        The handler that counts, with its `ledger` and `summary()`.
    """
    chosen = llm if llm is not None else Settings.llm
    model = embed_model if embed_model is not None else Settings._embed_model
    stored = None if model is None else with_embeddings_cache(model, embeddings_store)
    cheaper = CachedLLM(PromptOptimizingLLM(chosen, optimizer), cache)
    frame = _enter(cheaper, stored, fresh=llm is not None)
    try:
        with CostEventHandler(ledger) as costs:
            yield costs
    finally:
        _leave(frame)


def _enter(llm: LLM, embed_model: BaseEmbedding | None, *, fresh: bool) -> dict[str, Any]:
    """Swap, and remember what was there."""
    with _lock:
        frame = {name: getattr(Settings, name) for name in _OURS}
        _frames.append(frame)
        Settings.llm = llm
        if embed_model is not None:
            Settings.embed_model = embed_model
        if fresh:
            # They were made for another LLM's context window.
            Settings._prompt_helper = None
            Settings._chat_prompt_helper = None
    return frame


def _leave(frame: dict[str, Any]) -> None:
    """Put back what this block found; a block that ends before an inner one leaves it that."""
    with _lock:
        place = next(i for i, each in enumerate(_frames) if each is frame)
        if place == len(_frames) - 1:
            vars(Settings).update(frame)
        else:
            _frames[place + 1].update(frame)
        del _frames[place]
