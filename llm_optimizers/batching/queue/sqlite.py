"""Jobs in SQLite: in memory, or in a file that several processes of one machine share.

A claim is one transaction, so two workers never start the same job. After a lease any worker takes
over the jobs of a killed process. A committed job outlives its process; only a power cut or a crash
of the machine can lose those of the last moments (SQLite's `synchronous = NORMAL`).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from llm_optimizers.batching.queue import sqlite_statements as statements
from llm_optimizers.batching.queue import sqlite_upkeep as upkeep
from llm_optimizers.batching.queue.gather import MicroBatcher
from llm_optimizers.batching.queue.job import (
    AttemptOutcome,
    Claim,
    Job,
    QueueStats,
    dump_json,
)
from llm_optimizers.batching.queue.leases import LeaseWatch
from llm_optimizers.batching.queue.rules import QueueRules
from llm_optimizers.batching.queue.sqlite_schema import SCHEMA
from llm_optimizers.batching.queue.stored import read_job_or_dead
from llm_optimizers.connections.sqlite import Database
from llm_optimizers.errors import BusyError, StoreError

__all__ = ["SQLiteJobStore"]

T = TypeVar("T")

# Seconds to wait for another process that is writing. The worker tries again, so it waits less: all
# calls of a queue take turns.
_WAIT = 10.0
_WORKER_WAIT = 2.0


class SQLiteJobStore:
    """A `JobStore` in one file, or in memory without a `path`.

    Used from one event loop at a time. A transaction takes well under a millisecond, so it does not
    leave the loop; where another process has locked the file, it waits in a thread.

    Raises (from every method):
        StoreError: the file is not a job queue of this version, or cannot be used.
    """

    def __init__(
        self, queue: str, path: str | os.PathLike[str] | None = None, *, poll_s: float = 0.05
    ) -> None:
        self._queue = queue
        self._database = Database(path, SCHEMA, wait=_WAIT, undecodable_as_bytes=True)
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self._leases = LeaseWatch()
        self._aging = QueueRules().aging
        self._acknowledge = MicroBatcher(self._acknowledge_all)

    async def open(self) -> None:
        """Open the file; create the tables if it is new."""
        self._database.open()

    async def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def time(self) -> float | None:
        """Return the time that the file's users share; None in memory or where there is none."""
        if self._database.path is None or not (boot := _boot()):
            return None
        wall, steady = time.time(), time.monotonic()
        try:
            return await self._write(
                partial(upkeep.shared_time, wall=wall, steady=steady, boot=boot), _WORKER_WAIT
            )
        except StoreError:  # it may be read-only, or the disk full
            return None

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs in one transaction."""
        kept = await self._write(lambda db: [statements.add(db, job, rules.aging) for job in jobs])
        self._changed.set()
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs; those past their deadline expire first."""

        def find(db: sqlite3.Connection, *, expiring: bool = False) -> list[sqlite3.Row | None]:
            if expiring:
                statements.expire(db, self._queue, now)
            return [statements.find(db, self._queue, id_) for id_ in ids]

        rows = await self._read(find)
        if any(row is not None and statements.is_late(row, now) for row in rows):
            with suppress(StoreError):
                rows = await self._write(partial(find, expiring=True), _WORKER_WAIT)
        # Late ones are left where the file cannot be written.
        return [None if row is None else _as_of(row, now) for row in rows]

    async def claim(self, worker: str, slots: int, rules: QueueRules, now: float) -> Claim:
        """Start the next jobs in one transaction."""
        self._changed.clear()
        self._aging = rules.aging
        try:
            claim = await self._write(
                partial(self._claim, worker, slots, rules, now, time.monotonic()), _WORKER_WAIT
            )
        except StoreError:
            # Other workers could not renew either: leases are watched from now on.
            self._leases = LeaseWatch()
            raise
        for job in claim.jobs:
            self._leases.started(job.id, (worker, job.attempts, now, now + rules.lease))
        return claim

    def _claim(
        self,
        worker: str,
        slots: int,
        rules: QueueRules,
        now: float,
        called: float,
        db: sqlite3.Connection,
    ) -> Claim:
        if time.monotonic() - called > rules.lease / 3:
            self._leases = LeaseWatch()  # this worker could not renew while it waited
        statements.expire(db, self._queue, now)
        if self._leases.is_due(rules.lease):
            upkeep.bury_unreachable(db, self._queue, now)
            lapsed = self._leases.lapsed(upkeep.stamps(db, self._queue), rules.lease)
            upkeep.take_over(db, self._queue, lapsed, rules.retries.max_attempts, now)
        return statements.start_next(db, self._queue, worker, slots, rules, now)

    async def changed(self) -> None:
        """Wait for a change by this process; at most `poll_s` seconds if others share the file."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._database.path is None else self._poll_s):
                await self._changed.wait()

    async def renew(self, jobs: Sequence[Job], worker: str, rules: QueueRules, now: float) -> None:
        """Restart the leases of these jobs."""

        def renew(db: sqlite3.Connection) -> None:
            for job in jobs:
                upkeep.renew(db, job, worker, now + rules.lease)

        await self._write(renew, _WORKER_WAIT)

    async def acknowledge(self, job: Job, worker: str, outcome: AttemptOutcome, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        result = dump_json(outcome.result, "result") if outcome.state == "done" else None
        return await self._acknowledge(
            statements.Ended(job=job, worker=worker, outcome=outcome, result=result, now=now)
        )

    async def _acknowledge_all(self, ended: list[statements.Ended]) -> list[bool]:
        kept = await self._write(
            lambda db: [statements.acknowledge(db, each, self._aging) for each in ended],
            _WORKER_WAIT,
        )
        self._changed.set()
        return kept

    async def dead(self, limit: int) -> list[Job]:
        """Return the dead letters, newest first."""
        rows = await self._read(
            lambda db: db.execute(
                "SELECT * FROM jobs WHERE queue = ? AND state = 'dead' "
                "ORDER BY finished_at DESC, id LIMIT ?",
                (self._queue, limit),
            ).fetchall()
        )
        return [read_job_or_dead(dict(row)) for row in rows]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Queue dead jobs again, as if submitted now."""
        replayed = await self._write(
            lambda db: sum(statements.replay(db, self._queue, id_, rules.aging, now) for id_ in ids)
        )
        self._changed.set()
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        purged = await self._write(
            lambda db: sum(
                db.execute(
                    "DELETE FROM jobs WHERE queue = ? AND id = ? AND state = 'dead'",
                    (self._queue, id_),
                ).rowcount
                for id_ in ids
            )
        )
        if purged:
            await asyncio.to_thread(self._database.shrink)
        return purged

    async def stats(self, now: float) -> QueueStats:
        """Return the current statistics of the queue; it only reads."""
        return await self._read(lambda db: statements.stats_of(db, self._queue, now))

    async def forget(self, before: float) -> int:
        """Delete jobs that were done or expired before this time."""
        forgotten = await self._write(
            lambda db: (
                db.execute(
                    "DELETE FROM jobs WHERE queue = ? AND state IN ('done', 'expired') "
                    "AND finished_at < ?",
                    (self._queue, before),
                ).rowcount
            ),
            _WORKER_WAIT,
        )
        if forgotten:
            await asyncio.to_thread(self._database.shrink)
        return forgotten

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        return await self._use(self._database.connection, read, _WAIT)

    async def _write(self, write: Callable[[sqlite3.Connection], T], wait: float = _WAIT) -> T:
        """Run it in a transaction, and once more if it could not begin or be committed at once."""
        return await self._use(self._database.transaction, write, wait)

    async def _use(
        self,
        using: Callable[..., AbstractContextManager[sqlite3.Connection]],
        work: Callable[[sqlite3.Connection], T],
        wait: float,
    ) -> T:
        def run(seconds: float) -> T:
            with using(wait=seconds) as db:
                return work(db)

        with suppress(BusyError):
            return run(0.0)
        return await asyncio.to_thread(run, wait)


def _as_of(row: sqlite3.Row, now: float) -> Job:
    job = read_job_or_dead(dict(row))
    if not statements.is_late(row, now):
        return job
    return replace(job, state="expired", payload=None, finished_at=now)


def _boot() -> str:
    """Return what tells one start of this machine from another; empty where it is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
