"""What a queue needs of the place that keeps its jobs; one protocol, in memory, SQLite or Redis.

Everything is JSON: nothing stored is ever unpickled or evaluated. Every change is one atomic
step, so a process may be killed between any two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_optimizers.batching.queue.job import Claim, Job, QueueStats, Settlement
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.types import Clock

__all__ = ["JobStore", "Serve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """How a store hands work to a worker.

    `claim(tickets)` takes jobs under these names, as many as may start now; `perform(job,
    ticket)` does one. `slots` is how many may be under way; once `draining` is set, nothing new
    is started.
    """

    claim: Callable[[Sequence[str]], Awaitable[Claim]]
    perform: Callable[[Job, str], Coroutine[Any, Any, None]]
    slots: int
    draining: asyncio.Event
    clock: Clock


class JobStore(Protocol):
    """Jobs of one queue. Times are the caller's, in seconds since the epoch."""

    async def open(self) -> None:
        """Connect, in the event loop that will use the store; raises StoreError."""

    async def close(self) -> None:
        """Let go of the connection."""

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store jobs; one whose id is known stays as it is and is returned as it is.

        Raises ConfigurationError when a known id comes with another payload.
        """

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """The jobs as they are, in this order; those whose time ran out are expired first."""

    async def claim(self, tickets: Sequence[str], rules: QueueRules, now: float) -> Claim:
        """Start jobs, at most one a ticket, in the order of their turn within the rates.

        Jobs of workers that gave no sign of life for a lease are started again, under any
        ticket or under theirs, or die with `WorkerLost` after the last attempt.
        """

    async def settle(self, job: Job, ticket: str, settlement: Settlement, now: float) -> bool:
        """End an attempt; False when the job has been taken from this ticket meanwhile."""

    async def serve(self, serve: Serve, rules: QueueRules) -> None:
        """Hand jobs to a worker, and renew its leases, until cancelled or drained."""

    async def dead(self, limit: int) -> list[Job]:
        """The dead letters, the latest first."""

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Let dead jobs wait again with all their attempts; returns how many there were."""

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs for good; returns how many there were."""

    async def stats(self, now: float) -> QueueStats:
        """The queue at this moment."""

    async def forget(self, before: float) -> int:
        """Delete jobs that were done or refused before this time."""
