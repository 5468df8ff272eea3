"""Detect drift: requests that no longer look like those the router was calibrated on.

Compares the distribution of today's predicted gains with that of the labels, by the population
stability index over deciles. Drift does not mean that answers got worse; it means that the
calibration's bound no longer covers the traffic, and new requests should be labelled.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from llm_optimizers.arguments import number, numbers, refuse, values, whole
from llm_optimizers.evidence.bounds import quantile
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments

__all__ = ["DriftAlarm", "quantile_edges"]

BINS = 10


def quantile_edges(scores: Iterable[float]) -> tuple[float, ...]:
    """Return the nine inner deciles of one or more scores; each bin holds a tenth of them."""
    ordered = sorted(numbers("scores", tuple(values("scores", scores, "numbers")), least=1))
    return tuple(quantile(ordered, 1 / BINS * place) for place in range(1, BINS))


class DriftAlarm(PickledAsArguments):
    """Counts scores by the calibration's deciles and compares the counts once per `window` scores.

    An index above `limit` raises the alarm; 0.25 is the usual limit for a changed population.
    Safe to share between threads.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    def __init__(self, edges: Sequence[float], *, window: int = 500, limit: float = 0.25) -> None:
        self._edges = numbers("edges", edges, least=1)
        if list(self._edges) != sorted(self._edges):
            refuse("edges", edges, "numbers in rising order, as quantile_edges returns them")
        self._window = whole("window", window, least=1)
        self._limit = number("limit", limit, least=0)
        self._seen = 0
        self._counts = [0.0] * (len(self._edges) + 1)
        self._lock = ProcessLock()

    def observe(self, score: float) -> float | None:
        """Count a score; return the window's index if the window ends with an alarm, else None."""
        # Many equal scores make equal edges: such a score is split over the bins between them.
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
        """Return Σ (observed - expected) · ln(observed / expected); empty bins count as half."""
        expected = 1.0 / len(self._counts)
        shares = [max(count, 0.5) / self._window for count in self._counts]
        return sum((share - expected) * math.log(share / expected) for share in shares)
