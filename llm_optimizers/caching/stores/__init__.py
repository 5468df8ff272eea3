"""Stores for cache entries: in memory, or in an SQLite file."""

from llm_optimizers.caching.stores.memory import MemoryStore
from llm_optimizers.caching.stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore"]
