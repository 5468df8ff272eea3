"""Jobs in SQLite: in memory, or in a file that several processes of one machine share.

A claim is one transaction, so two workers never start the same job. After a lease any worker takes
over the jobs of a killed process. A committed job outlives its process; only a power cut can lose
the last ones.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

from llm_optimizers.batching.queue import sqlite_statements as statements
from llm_optimizers.batching.queue.gather import MicroBatcher
from llm_optimizers.batching.queue.job import (
    AttemptOutcome,
    Claim,
    Job,
    QueueStats,
    read_job_or_dead,
)
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.connections.sqlite import Database
from llm_optimizers.errors import StoreError

__all__ = ["SQLiteJobStore"]

_WAIT = 20.0  # seconds, for another process that is writing: a job must not be lost


class SQLiteJobStore:
    """A `JobStore` in one file, or in memory without a `path`.

    Used from one event loop at a time; every call is a transaction of well under a millisecond,
    so it does not leave the loop.

    Raises (from every method):
        StoreError: the file is not a job queue of this version, or cannot be used.
    """

    def __init__(
        self, queue: str, path: str | os.PathLike[str] | None = None, *, poll_s: float = 0.05
    ) -> None:
        self._queue = queue
        self._database = Database(path, statements.SCHEMA, wait=_WAIT, undecodable_as_bytes=True)
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self._acknowledge = MicroBatcher(self._acknowledge_all)

    async def open(self) -> None:
        """Open the file; create the tables if it is new."""
        self._database.open()

    async def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs in one transaction."""
        with self._database.transaction() as db:
            kept = [statements.add(db, job, rules.aging) for job in jobs]
        self._changed.set()
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs; those past their deadline expire first."""
        with self._database.connection() as db:
            rows = [statements.find(db, self._queue, id_) for id_ in ids]
        if any(row is not None and statements.is_late(row, now) for row in rows):
            with self._database.transaction() as db:
                statements.expire(db, self._queue, now)
                rows = [statements.find(db, self._queue, id_) for id_ in ids]
        return [None if row is None else read_job_or_dead(dict(row)) for row in rows]

    async def claim(self, worker: str, slots: int, rules: QueueRules, now: float) -> Claim:
        """Start the next jobs in one transaction."""
        self._changed.clear()
        with self._database.transaction() as db:
            statements.expire(db, self._queue, now)
            statements.take_over(db, self._queue, rules.retries.max_attempts, now)
            return statements.start_next(db, self._queue, worker, slots, rules, now)

    async def changed(self) -> None:
        """Wait for a change by this process; at most `poll_s` seconds if others share the file."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._database.path is None else self._poll_s):
                await self._changed.wait()

    async def renew(self, jobs: Sequence[Job], worker: str, rules: QueueRules, now: float) -> None:
        """Restart the leases of these jobs."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE jobs SET lease_until = ? "
                "WHERE queue = ? AND id = ? AND state = 'running' AND ticket = ? AND attempts = ?",
                [(now + rules.lease, self._queue, job.id, worker, job.attempts) for job in jobs],
            )

    async def acknowledge(self, job: Job, worker: str, outcome: AttemptOutcome, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        return await self._acknowledge(statements.ended(job, worker, outcome, now))

    async def _acknowledge_all(self, ended: list[tuple[object, ...]]) -> list[bool]:
        with self._database.transaction() as db:
            kept = [statements.acknowledge(db, values) for values in ended]
        self._changed.set()
        return kept

    async def dead(self, limit: int) -> list[Job]:
        """Return the dead letters, newest first."""
        with self._database.connection() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE queue = ? AND state = 'dead' "
                "ORDER BY finished_at DESC, id LIMIT ?",
                (self._queue, limit),
            ).fetchall()
        return [read_job_or_dead(dict(row)) for row in rows]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Queue dead jobs again, as if submitted now."""
        with self._database.transaction() as db:
            replayed = sum(statements.replay(db, self._queue, id_, rules.aging, now) for id_ in ids)
        self._changed.set()
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        with self._database.transaction() as db:
            purged = sum(
                db.execute(
                    "DELETE FROM jobs WHERE queue = ? AND id = ? AND state = 'dead'",
                    (self._queue, id_),
                ).rowcount
                for id_ in ids
            )
        if purged:
            self._database.shrink()
        return purged

    async def stats(self, now: float) -> QueueStats:
        """Return the current statistics of the queue."""
        with suppress(StoreError), self._database.transaction() as db:
            statements.expire(db, self._queue, now)
            return statements.stats_of(db, self._queue, now)
        # The file can only be read: jobs past their deadline still count as waiting.
        with self._database.connection() as db:
            return statements.stats_of(db, self._queue, now)

    async def forget(self, before: float) -> int:
        """Delete jobs that were done or expired before this time."""
        with self._database.transaction() as db:
            forgotten = db.execute(
                "DELETE FROM jobs WHERE queue = ? AND state IN ('done', 'expired') "
                "AND finished_at < ?",
                (self._queue, before),
            ).rowcount
        if forgotten:
            self._database.shrink()
        return forgotten
