"""Which running jobs were not renewed for a lease, measured where they are watched.

A renewal changes a job's stamp in the store. Two processes need not agree on the time: each
measures by its monotonic clock how long it has seen the same stamp.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

__all__ = ["LeaseWatch"]

_LOOKS_PER_LEASE = 10


class LeaseWatch:
    """The stamps that this process has seen, and since when."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, float]] = {}
        self._looked = float("-inf")

    def is_due(self, lease: float) -> bool:
        """Whether to look again."""
        return time.monotonic() - self._looked >= lease / _LOOKS_PER_LEASE

    def started(self, id_: str, stamp: object) -> None:
        """Watch a job from its start."""
        self._seen[id_] = (stamp, time.monotonic())

    def lapsed(self, stamps: Mapping[str, object], lease: float) -> list[str]:
        """Look at all running jobs; return those with the same stamp for a lease."""
        self._looked = now = time.monotonic()
        known, self._seen = self._seen, {}
        for id_, stamp in stamps.items():
            before = known.get(id_)
            since = before[1] if before is not None and before[0] == stamp else now
            self._seen[id_] = (stamp, since)
        return [id_ for id_, (_, since) in self._seen.items() if now - since >= lease]
