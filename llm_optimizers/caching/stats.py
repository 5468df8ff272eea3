"""A cache's counters; problems are announced, the first of each kind for the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_optimizers.caching.keys import Unmatched
from llm_optimizers.caching.misses import MissReasons
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import reason_of
from llm_optimizers.forks import ProcessLock

__all__ = ["CacheStats", "Counters"]

_COMPONENT = "llm_optimizers.caching"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts since the cache was created.

    `hits` by tier (exact, normalised, semantic, shared); `troubles` by kind: damaged entries
    dropped, failures of the store or embedder, answers that must not be stored. `unmatched` counts
    the misses that could not have been hits by meaning, by reason.
    """

    hits: Mapping[str, int] = field(default_factory=dict)
    misses: int = 0
    stored: int = 0
    troubles: Mapping[str, int] = field(default_factory=dict)
    unmatched: Mapping[str, int] = field(default_factory=dict)

    @property
    def hit_rate(self) -> float:
        """Hits per lookup, from 0 to 1; 0 before the first lookup."""
        hits = sum(self.hits.values())
        return hits / (hits + self.misses) if hits + self.misses else 0.0

    def __str__(self) -> str:
        hits = sum(self.hits.values())
        lookups = hits + self.misses
        lines = [
            f"{hits:,} hits of {lookups:,} lookups ({self.hit_rate:.0%}){_each(self.hits)}",
            f"{self.stored:,} answers stored",
        ]
        if self.unmatched:
            lines.append(f"misses that could not be matched by meaning{_each(self.unmatched)}")
        if self.troubles:
            lines.append(f"troubles{_each(self.troubles)}")
        return "\n".join(lines)


def _each(counts: Mapping[str, int]) -> str:
    """Return counts as text, the largest first; empty if there are none."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return "".join(f"\n  {count:>9,}  {name}" for name, count in ordered)


class Counters:
    """Counts what happens in any thread, and announces problems."""

    def __init__(self) -> None:
        self._hits: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()
        self._reasons = MissReasons()
        self._lock = ProcessLock()

    def hit(self, tier: str) -> None:
        """Count a hit of this tier."""
        with self._lock:
            self._hits[tier] += 1

    def miss(self) -> None:
        """Count a lookup that found nothing."""
        with self._lock:
            self._events["miss"] += 1

    def comparable(self, scope: str) -> None:
        """Note that the store has a question of a scope, from whichever process."""
        with self._lock:
            self._reasons.known(scope)

    def compared(self, scope: str, *, served: bool, reason: Unmatched | None) -> None:
        """Count a lookup of a cache that matches by meaning, and why a miss had no chance."""
        with self._lock:
            reasons = self._reasons
            message = reasons.hit(scope) if served else reasons.miss(reason, scope)
        self._warn(message)

    def bypassed(self, detail: object, kind: str = "bypassed", *, semantic: bool) -> None:
        """Count a call that the cache does not handle; `semantic` caches count it as unmatched."""
        self.trouble(kind, detail)
        if semantic:
            with self._lock:
                message = self._reasons.miss(Unmatched.NO_KEY)
            self._warn(message)

    def stored(self) -> None:
        """Count an answer that was stored."""
        with self._lock:
            self._events["stored"] += 1

    def trouble(self, kind: str, detail: object, *, quiet: bool = False) -> None:
        """Count a problem; announce it unless `quiet`, the first of its kind for the log."""
        with self._lock:
            self._troubles[kind] += 1
            repeated = self._troubles[kind] > 1
        if not quiet:
            reason = reason_of(detail) if isinstance(detail, Exception) else str(detail)
            message = f"{kind}: {reason} (logged once; further ones are counted)"
            emit(Notice(component=_COMPONENT, message=message, repeated=repeated))

    def _warn(self, message: str | None) -> None:
        if message is not None:
            emit(Notice(component=_COMPONENT, message=message))

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
                unmatched=self._reasons.counts,
            )
