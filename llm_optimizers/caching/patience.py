"""What fails is left alone for a while: calls that succeed anyway should not wait for it."""

from __future__ import annotations

from llm_optimizers.types import Clock

__all__ = ["Patience"]

_PAUSE_S = (1.0, 60.0)


class Patience:
    """Pauses after failures: for a second, then for longer, up to a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause = 0.0
        self._failed_at = float("-inf")

    @property
    def over(self) -> bool:
        """Whether it is still too early to try again; a clock set back does not prolong it."""
        return self._pause > 0.0 and 0.0 <= self._clock() - self._failed_at < self._pause

    def failed(self) -> None:
        """Wait before the next try, twice as long as the last time."""
        self._pause = min(max(self._pause * 2, _PAUSE_S[0]), _PAUSE_S[1])
        self._failed_at = self._clock()

    def worked(self) -> None:
        """Forget the failures."""
        self._pause = 0.0
