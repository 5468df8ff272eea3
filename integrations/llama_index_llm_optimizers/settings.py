"""`optimized_settings`: turns everything on in one line, and restores `Settings` afterwards."""

from __future__ import annotations

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
from llm_optimizers.arguments import instance, optional
from llm_optimizers.costs import Ledger
from llm_optimizers.forks import ProcessLock
from llm_optimizers.prompts import RequestOptimizer

__all__ = ["optimized_settings"]

_SAVED = ("_llm", "_embed_model", "_prompt_helper", "_chat_prompt_helper")
_lock = ProcessLock()
_frames: list[dict[str, Any]] = []
"""The values of `Settings` before each open block, the outermost first."""


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
    """Run a block with a cache, shorter prompts and cost records in LlamaIndex's `Settings`.

    Example:
        ```python
        with optimized_settings(llm=OpenAI(model="gpt-4o"), ledger=Ledger("costs.sqlite")) as costs:
            print(VectorStoreIndex.from_documents(documents).as_query_engine().query(question))
            print(costs.summary())
        ```

    The LLM gets a cache and shorter prompts, the embedding model a store for its vectors, and every
    call is recorded. For several models, give a `RoutedLLM`. Objects made inside the block keep its
    LLM afterwards. `Settings` is global to the process: use this in a script or at a program's
    start, and use the components themselves where requests of several users run at once.

    Args:
        llm: The LLM to use; by default the one in `Settings`.
        embed_model: The embedding model; by default the one in `Settings`, if set.
        ledger: Where calls are recorded; by default in memory.
        cache: The LLM's cache; by default a new one in memory.
        optimizer: Shortens the prompts; by default without loss of information.
        embeddings_store: Where vectors are kept; by default in memory.

    Yields:
        The handler that records the calls, with `ledger` and `summary()`.
    """
    optional(instance, "llm", llm, LLM)
    optional(instance, "embed_model", embed_model, BaseEmbedding)
    optional(instance, "embeddings_store", embeddings_store, BaseKVStore)
    inner = llm if llm is not None else Settings.llm
    model = embed_model if embed_model is not None else Settings._embed_model
    stored = None if model is None else with_embeddings_cache(model, embeddings_store)
    wrapped = CachedLLM(PromptOptimizingLLM(inner, optimizer), cache)
    frame = _enter(wrapped, stored, new_llm=llm is not None)
    try:
        with CostEventHandler(ledger) as costs:
            yield costs
    finally:
        _leave(frame)


def _enter(llm: LLM, embed_model: BaseEmbedding | None, *, new_llm: bool) -> dict[str, Any]:
    """Set the models and return the values that they replace."""
    with _lock:
        frame = {name: getattr(Settings, name) for name in _SAVED}
        _frames.append(frame)
        Settings.llm = llm
        if embed_model is not None:
            Settings.embed_model = embed_model
        if new_llm:
            # Prompt helpers depend on the context window of the LLM that they were made for.
            Settings._prompt_helper = None
            Settings._chat_prompt_helper = None
    return frame


def _leave(frame: dict[str, Any]) -> None:
    """Restore the values before this block; if an inner block is still open, it will do so."""
    with _lock:
        place = next(i for i, each in enumerate(_frames) if each is frame)
        if place == len(_frames) - 1:
            vars(Settings).update(frame)
        else:
            _frames[place + 1].update(frame)
        del _frames[place]
