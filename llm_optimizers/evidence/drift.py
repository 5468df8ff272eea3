"""Drift: notices when requests no longer look like those the router was calibrated on.

Compares how predicted gains spread today with how they spread over the labels, by the population
stability index over deciles. It cannot tell whether answers got worse; it tells when the
calibration's promise no longer covers the traffic, so that other requests should be labelled.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.bounds import quantile

__all__ = ["DriftAlarm", "quantile_edges"]

BINS = 10


def quantile_edges(scores: Iterable[float]) -> tuple[float, ...]:
    """The inner deciles of one score or more; bins between them hold a tenth each."""
    ordered = sorted(float(score) for score in scores)
    return tuple(quantile(ordered, 1 / BINS * number) for number in range(1, BINS))


class DriftAlarm:
    """Counts scores into the calibration's deciles, and compares the two once a window.

    An index above `limit` is an alarm: 0.25 is the customary sign of a changed population. Safe
    to share between threads.

    Raises:
        ConfigurationError: the window holds no score.
    """

    def __init__(self, edges: Sequence[float], *, window: int = 500, limit: float = 0.25) -> None:
        if window < 1:
            raise ConfigurationError(f"`window` is {window}; give the number of scores to compare")
        self._edges = tuple(edges)
        self._window = window
        self._limit = limit
        self._seen = 0
        self._counts = [0.0] * (len(self._edges) + 1)
        self._lock = threading.Lock()

    def observe(self, score: float) -> float | None:
        """Count a score; at a window's end its index if that is an alarm, else None."""
        # Many equal scores make equal edges: such a score belongs to all the bins between them.
        first, last = bisect_left(self._edges, score), bisect_right(self._edges, score)
        with self._lock:
            for place in range(first, last + 1):
                self._counts[place] += 1.0 / (last + 1 - first)
            self._seen += 1
            if self._seen < self._window:
                return None
            index = self._index()
            self._seen = 0
            self._counts = [0.0] * len(self._counts)
        return index if index > self._limit else None

    def _index(self) -> float:
        """Σ (observed - expected) · ln(observed / expected); empty bins count half a score."""
        expected = 1.0 / len(self._counts)
        shares = [max(count, 0.5) / self._window for count in self._counts]
        return sum((share - expected) * math.log(share / expected) for share in shares)
