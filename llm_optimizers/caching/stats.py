"""A cache's counters; the first problem of each kind is logged as a warning."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_optimizers.connections.forks import ProcessLock
from llm_optimizers.errors import LLMOptimizersError

__all__ = ["CacheStats", "Counters"]

logger = logging.getLogger("llm_optimizers.caching")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts since the cache was created.

    `hits` by tier (exact, normalised, semantic, shared); `troubles` by kind: damaged entries
    dropped, failures of the store or embedder, answers that must not be stored.
    """

    hits: Mapping[str, int] = field(default_factory=dict)
    misses: int = 0
    stored: int = 0
    troubles: Mapping[str, int] = field(default_factory=dict)

    @property
    def hit_rate(self) -> float:
        """Hits per lookup, from 0 to 1; 0 before the first lookup."""
        hits = sum(self.hits.values())
        return hits / (hits + self.misses) if hits + self.misses else 0.0


class Counters:
    """Counts events of any thread; logs a warning the first time a kind of problem occurs."""

    def __init__(self) -> None:
        self._hits: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()
        self._lock = ProcessLock()

    def hit(self, tier: str) -> None:
        """Count a hit of this tier."""
        with self._lock:
            self._hits[tier] += 1

    def miss(self) -> None:
        """Count a lookup that found nothing."""
        with self._lock:
            self._events["miss"] += 1

    def stored(self) -> None:
        """Count an answer that was stored."""
        with self._lock:
            self._events["stored"] += 1

    def trouble(self, kind: str, detail: object, *, quiet: bool = False) -> None:
        """Count a problem; log its detail the first time, unless `quiet`.

        Of another library's error only the class is logged: its message may hold a prompt.
        """
        if isinstance(detail, Exception) and not isinstance(detail, LLMOptimizersError):
            detail = type(detail).__name__
        with self._lock:
            self._troubles[kind] += 1
            first = self._troubles[kind] == 1
        if first and not quiet:
            logger.warning("%s: %s (logged once; further ones are counted)", kind, detail)

    def damaged_vector(self, reason: str) -> None:
        """Count a stored vector that cannot be compared; its question is only matched exactly."""
        self.trouble("damaged vector left out", reason)

    def stats(self) -> CacheStats:
        """Return the counts so far."""
        with self._lock:
            return CacheStats(
                hits=dict(self._hits),
                misses=self._events["miss"],
                stored=self._events["stored"],
                troubles=dict(self._troubles),
            )
