"""The storage protocol of a queue, which the SQLite and the Redis store implement.

Everything is JSON: nothing stored is unpickled or evaluated. Every change is one atomic step, so a
process may be killed between any two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llm_optimizers.batching.queue.job import AttemptOutcome, Claim, Job, QueueStats
from llm_optimizers.batching.queue.rules import QueueRules

__all__ = ["JobStore"]


class JobStore(Protocol):
    """Jobs of one queue. Times are the caller's, in seconds since the epoch.

    A worker has a unique name. It holds a job from `claim` to `acknowledge`, as long as it renews
    the job at least once per lease.
    """

    async def open(self) -> None:
        """Connect, in the event loop that will use the store; raises StoreError."""

    async def close(self) -> None:
        """Close the connection."""

    async def time(self) -> float | None:
        """Return the time that all users of the store share; None if this process is the only one.

        It is in seconds since the epoch, and no computer's clock that is set moves it.
        """

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store jobs and return them; a job whose id is known is not changed.

        Raises ConfigurationError if a known id has another payload.
        """

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Return the stored jobs, in this order; those past their deadline expire first."""

    async def claim(self, worker: str, slots: int, rules: QueueRules, now: float) -> Claim:
        """Start up to `slots` jobs in the order of their priority keys, within the rates.

        Jobs that were not renewed for a lease are started again; after the last attempt they
        become dead letters with the error `WorkerLost`. Damaged jobs become dead letters with the
        reason, as do those with more tokens than a minute's limit.
        """

    async def changed(self) -> None:
        """Wait until there may be jobs that the last claim did not find."""

    async def renew(self, jobs: Sequence[Job], worker: str, rules: QueueRules, now: float) -> None:
        """Restart the leases of these jobs, except of those that were taken over."""

    async def acknowledge(self, job: Job, worker: str, outcome: AttemptOutcome, now: float) -> bool:
        """End an attempt; False if the job has been taken over.

        A result is kept even then, unless another attempt was faster: it was paid for. A job that
        the store no longer has, as its file or hash was deleted, is stored again as it ended.
        """

    async def dead(self, limit: int) -> list[Job]:
        """Return the dead letters, newest first."""

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Queue dead jobs again with all their attempts; return how many there were."""

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs permanently; return how many there were."""

    async def stats(self, now: float) -> QueueStats:
        """Return the current statistics of the queue."""

    async def forget(self, before: float) -> int:
        """Delete jobs that were done or expired before this time; return how many."""
