"""Why misses could not have been hits by meaning: counts by reason; a message if most could not.

A cache that never matches by meaning still works, word for word, so nobody notices. Most often an
app only has to change its prompt: a time in the system prompt, a question without a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from llm_optimizers.caching.keys import Unmatched

__all__ = ["MissReasons"]

_WINDOW = 100
"""Requests that are looked at together."""
_NEARLY_ALL = 95
"""Of these, so many must be misses for such a reason before a message is due."""
_REMEMBERED = 10_000
"""Scopes that are remembered; then they are forgotten, and each counts as new once more."""


class MissReasons:
    """Counts the requests of a cache; the caller holds a lock."""

    def __init__(self) -> None:
        self._counts: Counter[Unmatched] = Counter()
        self._window: Counter[Unmatched] = Counter()
        self._requests = 0
        self._scopes: set[int] = set()
        self._said = False

    @property
    def counts(self) -> Mapping[str, int]:
        """How many misses had each reason, the chief one first."""
        return {str(reason): count for reason, count in self._counts.most_common()}

    def known(self, scope: str) -> None:
        """Note that the store has a question of a scope, so that a miss there had a chance."""
        self._is_new(scope)

    def hit(self, scope: str) -> str | None:
        """Count a request that was served; return a message if one is due."""
        self._is_new(scope)
        return self._counted(None)

    def miss(self, reason: Unmatched | None, scope: str | None = None) -> str | None:
        """Count a miss and why it had no chance to be more; return a message if one is due.

        Without a reason it had one, unless no request before it had the same scope and the store
        has no question of it.
        """
        if scope is not None and self._is_new(scope) and reason is None:
            reason = Unmatched.NEW_CONTEXT
        return self._counted(reason)

    def _is_new(self, scope: str) -> bool:
        known = hash(scope)
        if known in self._scopes:
            return False
        if len(self._scopes) >= _REMEMBERED:
            self._scopes.clear()
        self._scopes.add(known)
        return True

    def _counted(self, reason: Unmatched | None) -> str | None:
        if reason is not None:
            self._counts[reason] += 1
        if self._said:
            return None
        if reason is not None:
            self._window[reason] += 1
        self._requests += 1
        if self._requests < _WINDOW:
            return None
        found, self._window, self._requests = self._window, Counter(), 0
        if found.total() < _NEARLY_ALL:
            return None
        self._said = True
        return _message(found)


def _message(found: Counter[Unmatched]) -> str:
    ((chief, count),) = found.most_common(1)
    return (
        f"cache: {found.total()} of {_WINDOW} requests could not get the answer to another "
        f"question with the same meaning. The reason for {count} of them: {chief}. {chief.advice} "
        "(Logged once; stats.unmatched has the counts.)"
    )
