"""Jobs in SQLite: in memory, or in a file that several processes of one machine share.

A claim is one transaction that no other writer shares, so two workers never start the same job.
Leases let anybody take over the jobs of a killed process. Every committed job outlives a killed
process; only a power cut can lose the last ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from llm_optimizers.batching.queue import sqlite_line as line
from llm_optimizers.batching.queue.job import Claim, Job, QueueStats, Settlement, read_job_or_dead
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.store import Serve
from llm_optimizers.batching.queue.worker import poll
from llm_optimizers.connections.sqlite import Database

__all__ = ["SQLiteJobStore"]

_WAIT = 20.0  # seconds, for another process that is writing: a job must not be lost


class SQLiteJobStore:
    """A `JobStore` in one file, or in memory without a `path`.

    Used from one event loop at a time; every call is a transaction of well under a millisecond,
    so it does not leave the loop.

    Raises (from every method):
        StoreError: the file is no job queue of this version, or cannot be used.
    """

    def __init__(self, queue: str, path: str | Path | None = None, *, poll_s: float = 0.05) -> None:
        self._queue = queue
        self._database = Database(path, line.SCHEMA, wait=_WAIT, undecodable_as_bytes=True)
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self._settling: list[tuple[tuple[object, ...], asyncio.Future[bool]]] = []

    async def open(self) -> None:
        """Open the file, making it a queue if it is new."""
        self._database.open()

    async def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs in one transaction."""
        with self._database.transaction() as db:
            kept = [line.add(db, job, rules.ageing) for job in jobs]
        self._changed.set()
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs, expiring those whose time ran out."""
        with self._database.connection() as db:
            rows = [line.find(db, self._queue, id_) for id_ in ids]
        if any(row is not None and line.is_late(row, now) for row in rows):
            with self._database.transaction() as db:
                line.expire(db, self._queue, now)
                rows = [line.find(db, self._queue, id_) for id_ in ids]
        return [None if row is None else read_job_or_dead(dict(row)) for row in rows]

    async def claim(self, tickets: Sequence[str], rules: QueueRules, now: float) -> Claim:
        """Start the next jobs in one transaction."""
        with self._database.transaction() as db:
            line.expire(db, self._queue, now)
            line.take_over(db, self._queue, rules.retries.max_attempts, now)
            return line.start_next(db, self._queue, tickets, rules, now)

    async def renew(self, tickets: Sequence[str], rules: QueueRules, now: float) -> None:
        """Give a sign of life for the jobs of these tickets."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE jobs INDEXED BY leases SET lease_until = ? "
                "WHERE queue = ? AND state = 'running' AND ticket = ?",
                [(now + rules.lease, self._queue, ticket) for ticket in tickets],
            )

    async def settle(self, job: Job, ticket: str, settlement: Settlement, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        ended = line.ended(job, ticket, settlement, now)
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        if not self._settling:
            loop.call_soon(self._settle_all)
        self._settling.append((ended, told))
        return await told

    def _settle_all(self) -> None:
        """Write down in one transaction all that ended in one turn of the event loop."""
        settling, self._settling = self._settling, []
        try:
            with self._database.transaction() as db:
                kept = [line.settle(db, ended) for ended, _ in settling]
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of any
            for _, told in settling:
                if not told.done():
                    told.set_exception(error)
            return
        self._changed.set()
        for (_, told), was_kept in zip(settling, kept, strict=True):
            if not told.done():
                told.set_result(was_kept)

    async def serve(self, serve: Serve, rules: QueueRules) -> None:
        """Poll for jobs until cancelled or drained."""
        await poll(
            serve,
            renew=lambda tickets, now: self.renew(tickets, rules, now),
            changed=self._changed,
            renew_every=rules.lease / 3,
            interval=None if self._database.path is None else self._poll_s,
        )

    async def dead(self, limit: int) -> list[Job]:
        """The dead letters, the latest first."""
        with self._database.connection() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE queue = ? AND state = 'dead' "
                "ORDER BY finished_at DESC, id LIMIT ?",
                (self._queue, limit),
            ).fetchall()
        return [read_job_or_dead(dict(row)) for row in rows]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Let dead jobs wait again, as if submitted now."""
        with self._database.transaction() as db:
            replayed = sum(line.replay(db, self._queue, id_, rules.ageing, now) for id_ in ids)
        self._changed.set()
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        with self._database.transaction() as db:
            return sum(
                db.execute(
                    "DELETE FROM jobs WHERE queue = ? AND id = ? AND state = 'dead'",
                    (self._queue, id_),
                ).rowcount
                for id_ in ids
            )

    async def stats(self, now: float) -> QueueStats:
        """Count the queue."""
        with self._database.transaction() as db:
            line.expire(db, self._queue, now)
            return line.stats_of(db, self._queue, now)

    async def forget(self, before: float) -> int:
        """Delete what was done or refused before this time."""
        with self._database.transaction() as db:
            return db.execute(
                "DELETE FROM jobs WHERE queue = ? AND state IN ('done', 'expired') "
                "AND finished_at < ?",
                (self._queue, before),
            ).rowcount
