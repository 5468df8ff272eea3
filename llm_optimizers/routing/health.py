"""Cooldowns of models that failed recently: the only state that routing keeps between requests."""

from __future__ import annotations

from llm_optimizers.arguments import number
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["Health"]


class Health(PickledAsArguments):
    """Cooldowns by model, safe to share between threads and event loops.

    A model that sent `Retry-After` cools down for that long; otherwise for `cooldown_s` seconds.
    """

    def __init__(self, *, cooldown_s: float = 30.0) -> None:
        self._cooldown_s = number("cooldown_s", cooldown_s, least=0)
        self._until: dict[str, float] = {}
        self._lock = ProcessLock()

    def failed(self, model: str, *, now: float, retry_after_s: float | None = None) -> None:
        """Start a model's cooldown at `now`; a running one that ends later is kept."""
        seconds = self._cooldown_s if retry_after_s is None else retry_after_s
        with self._lock:
            self._until[model] = max(self._until.get(model, 0.0), now + seconds)

    def served(self, model: str) -> None:
        """End a model's cooldown, because it just answered."""
        with self._lock:
            self._until.pop(model, None)

    def cooling(self, *, now: float) -> dict[str, float]:
        """Return the seconds left of each running cooldown, by model."""
        with self._lock:
            self._until = {m: until for m, until in self._until.items() if until > now}
            return {model: until - now for model, until in self._until.items()}
