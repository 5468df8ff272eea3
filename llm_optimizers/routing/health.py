"""Cooldowns of models that failed recently: the only state that routing keeps between requests."""

from __future__ import annotations

from llm_optimizers.arguments import number
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["Health"]


class Health(PickledAsArguments):
    """Cooldowns by model, safe to share between threads and event loops.

    A model that sent `Retry-After` cools down for that long; otherwise for `cooldown_s` seconds.
    A clock that is set back makes no cooldown longer than it was at its start.
    """

    def __init__(self, *, cooldown_s: float = 30.0) -> None:
        self._cooldown_s = number("cooldown_s", cooldown_s, least=0)
        self._until: dict[str, tuple[float, float]] = {}
        self._lock = ProcessLock()

    def failed(self, model: str, *, now: float, retry_after_s: float | None = None) -> None:
        """Start a model's cooldown at `now`; a running one that ends later is kept."""
        seconds = self._cooldown_s if retry_after_s is None else retry_after_s
        with self._lock:
            running = self._left(now).get(model, 0.0)
            if seconds > running:
                self._until[model] = (now + seconds, seconds)

    def served(self, model: str) -> None:
        """End a model's cooldown, because it just answered."""
        with self._lock:
            self._until.pop(model, None)

    def cooling(self, *, now: float) -> dict[str, float]:
        """Return the seconds left of each running cooldown, by model."""
        with self._lock:
            return self._left(now)

    def _left(self, now: float) -> dict[str, float]:
        """Return the seconds left by model, and forget the cooldowns that have ended."""
        left = {m: min(until - now, seconds) for m, (until, seconds) in self._until.items()}
        left = {model: seconds for model, seconds in left.items() if seconds > 0}
        self._until = {m: (now + left[m], self._until[m][1]) for m in left}
        return left
