"""Telling somebody that a queue falls behind, once and not every second."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from llm_optimizers.batching.queue.job import QueueStats

__all__ = ["BacklogAlert"]

logger = logging.getLogger(__name__)


def _log(stats: QueueStats) -> None:
    logger.warning(
        "queue %r falls behind: %d jobs wait, the oldest for %.0f s",
        stats.queue,
        stats.depth,
        stats.oldest_waiting_s or 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogAlert:
    """Calls `notify` (a log warning unless given) when a queue is deeper or older than this.

    It is silent again until both have fallen below half.
    """

    depth: int = 1_000
    oldest_s: float = 3_600.0
    notify: Callable[[QueueStats], None] = _log

    def tell(self, stats: QueueStats) -> None:
        """Call `notify`; what it raises is logged, for a queue goes on without its alert."""
        try:
            self.notify(stats)
        except Exception as error:  # noqa: BLE001 - it is the user's own code
            logger.warning("the backlog alert could not be told: %s", type(error).__name__)

    def raised(self, stats: QueueStats, *, before: bool) -> bool:
        """Whether the alert is on, given whether it was."""
        scale = 0.5 if before else 1.0
        age = stats.oldest_waiting_s or 0.0
        return stats.depth >= self.depth * scale or age >= self.oldest_s * scale
