"""Which store a queue is kept in."""

from __future__ import annotations

from pathlib import Path

from llm_optimizers.batching.queue.sqlite import SQLiteJobStore
from llm_optimizers.batching.queue.store import JobStore
from llm_optimizers.errors import ConfigurationError

__all__ = ["choose_store"]


def choose_store(name: str, *, path: str | Path | None, url: str | None, lease: float) -> JobStore:
    """Memory, or the SQLite file at `path`, or the Redis at `url`, whose driver comes only then.

    Raises:
        ConfigurationError: both are given.
        ImportError: the `redis` extra is missing.
    """
    if path is not None and url is not None:
        raise ConfigurationError("give a path or a url, not both: one queue has one store")
    if url is None:
        return SQLiteJobStore(name, path)
    from llm_optimizers.batching.queue.redis import RedisJobStore

    return RedisJobStore(name, url, lease=lease)
