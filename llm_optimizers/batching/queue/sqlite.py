"""Jobs in SQLite: in memory, or in a file that several processes of one machine share.

A claim is one `BEGIN IMMEDIATE` transaction, so two workers never start the same job. Leases let
anybody take over the jobs of a killed process. Write-ahead mode keeps every committed job through
a killed process; only a power cut can lose the last ones.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from llm_optimizers.batching.queue.codec import digest, dump_json
from llm_optimizers.batching.queue.job import Claim, Job, QueueStats, Settlement, turn
from llm_optimizers.batching.queue.polling import poll
from llm_optimizers.batching.queue.sqlite_line import (
    Ended,
    expire,
    find,
    is_late,
    prepare,
    settle,
    start_next,
    take_over,
)
from llm_optimizers.batching.queue.sqlite_rows import (
    INSERT,
    job_of,
    job_or_dead,
    refuse_other_payload,
    row_of,
    stats_of,
    text_of,
)
from llm_optimizers.batching.queue.store import QueueRules, Serve
from llm_optimizers.errors import StoreError

__all__ = ["SQLiteJobStore"]

_BUSY_SECONDS = 20.0


class SQLiteJobStore:
    """A `JobStore` in one file, or in memory without a `path`.

    Used from one event loop at a time; every call is a transaction of well under a millisecond,
    so it does not leave the loop.

    Raises (from `open`):
        StoreError: the file is no job queue of this version, or cannot be opened.
    """

    def __init__(self, queue: str, path: str | Path | None = None, *, poll_s: float = 0.05) -> None:
        self._queue = queue
        self._path = None if path is None else Path(path).expanduser()
        self._poll_s = poll_s
        self._connection: sqlite3.Connection | None = None
        self._changed = asyncio.Event()
        self._settling: list[tuple[Ended, asyncio.Future[bool]]] = []

    async def open(self) -> None:
        """Open the file, making it a queue if it is new."""
        target = ":memory:" if self._path is None else str(self._path)
        try:
            connection = sqlite3.connect(
                target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"the job queue {target} cannot be opened: {error}") from error
        try:
            connection.row_factory = sqlite3.Row
            connection.text_factory = text_of
            prepare(connection, target)
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(
                f"{target} is no SQLite file or cannot be written ({error}); give another path"
            ) from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    async def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs in one transaction."""
        kept: list[Job] = []
        with self._transaction() as db:
            for job in jobs:
                text = dump_json(job.payload, "payload")
                row = find(db, self._queue, job.id)
                if row is None:
                    db.execute(INSERT, row_of(job, text, turn(job, rules.ageing)))
                    kept.append(job)
                else:
                    refuse_other_payload(job.id, row["digest"], digest(text))
                    kept.append(job_of(row))
        self._changed.set()
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs, expiring those whose time ran out."""
        with self._reading() as db:
            rows = [find(db, self._queue, id_) for id_ in ids]
        if any(row is not None and is_late(row, now) for row in rows):
            with self._transaction() as db:
                expire(db, self._queue, now)
                rows = [find(db, self._queue, id_) for id_ in ids]
        return [None if row is None else job_or_dead(row) for row in rows]

    async def claim(self, tickets: Sequence[str], rules: QueueRules, now: float) -> Claim:
        """Start the next jobs in one transaction."""
        with self._transaction() as db:
            expire(db, self._queue, now)
            take_over(db, self._queue, rules.max_attempts, now)
            return start_next(db, self._queue, tickets, rules, now)

    async def renew(self, tickets: Sequence[str], rules: QueueRules, now: float) -> None:
        """Give a sign of life for the jobs of these tickets."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE jobs INDEXED BY leases SET lease_until = ? "
                "WHERE queue = ? AND state = 'running' AND ticket = ?",
                [(now + rules.lease, self._queue, ticket) for ticket in tickets],
            )

    async def settle(self, job: Job, ticket: str, settlement: Settlement, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        ended = Ended.of(job, ticket, settlement, now)
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
            with self._transaction() as db:
                kept = [settle(db, self._queue, ended) for ended, _ in settling]
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
            interval=None if self._path is None else self._poll_s,
        )

    async def dead(self, limit: int) -> list[Job]:
        """The dead letters, the latest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE queue = ? AND state = 'dead' "
                "ORDER BY finished_at DESC, id LIMIT ?",
                (self._queue, limit),
            ).fetchall()
        return [job_or_dead(row) for row in rows]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Let dead jobs wait again, as if submitted now."""
        replayed = 0
        with self._transaction() as db:
            for id_ in ids:
                row = find(db, self._queue, id_)
                if row is None or row["state"] != "dead":
                    continue
                place = turn(replace(job_or_dead(row), submitted_at=now), rules.ageing)
                db.execute(
                    "UPDATE jobs SET state = 'waiting', attempts = 0, not_before = 0, "
                    "expires_at = NULL, error = NULL, error_kind = NULL, finished_at = NULL, "
                    "submitted_at = ?, turn = ? WHERE queue = ? AND id = ?",
                    (now, place, self._queue, id_),
                )
                replayed += 1
        self._changed.set()
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        with self._transaction() as db:
            return sum(
                db.execute(
                    "DELETE FROM jobs WHERE queue = ? AND id = ? AND state = 'dead'",
                    (self._queue, id_),
                ).rowcount
                for id_ in ids
            )

    async def stats(self, now: float) -> QueueStats:
        """Count the queue."""
        with self._transaction() as db:
            expire(db, self._queue, now)
            return stats_of(db, self._queue, now)

    async def forget(self, before: float) -> int:
        """Delete what was done or refused before this time."""
        with self._transaction() as db:
            return db.execute(
                "DELETE FROM jobs WHERE queue = ? AND state IN ('done', 'expired') "
                "AND finished_at < ?",
                (self._queue, before),
            ).rowcount

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("the job queue is not open")
        return self._connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, with its failures said in this package's words."""
        try:
            yield self._db
        except sqlite3.Error as error:
            raise StoreError(
                f"the job queue {self._path or 'in memory'} failed ({error}); is the disk full, "
                "or another program holding the file?"
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing, and nobody else in between."""
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
