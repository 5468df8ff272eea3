"""The line of waiting jobs in SQLite: who is next, who is late, whose worker is gone.

Functions over an open transaction; `sqlite.py` opens and commits it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_optimizers.batching.queue.codec import dump_json
from llm_optimizers.batching.queue.job import Claim, Job, Settlement
from llm_optimizers.batching.queue.rates import Bucket, admit
from llm_optimizers.batching.queue.sqlite_rows import SCHEMA, VERSION, job_of
from llm_optimizers.batching.queue.store import QueueRules
from llm_optimizers.errors import StoreError

__all__ = [
    "Ended",
    "expire",
    "find",
    "is_late",
    "prepare",
    "settle",
    "start_next",
    "take_over",
]


def prepare(connection: sqlite3.Connection, target: str) -> None:
    """Make a new file a queue, or check that it is one; raises StoreError."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and tables == 0:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        connection.execute("ROLLBACK")
        raise StoreError(
            f"{target} is no job queue of version {VERSION} (its version is {version}); let the "
            "version that wrote it finish its jobs, or give another path"
        )
    connection.execute("COMMIT")


def find(db: sqlite3.Connection, queue: str, id_: str) -> sqlite3.Row | None:
    """One job's row."""
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM jobs WHERE queue = ? AND id = ?", (queue, id_)
    ).fetchone()
    return found


def is_late(row: sqlite3.Row, now: float) -> bool:
    """Whether a waiting job's time ran out."""
    return row["state"] == "waiting" and row["expires_at"] is not None and row["expires_at"] <= now


def expire(db: sqlite3.Connection, queue: str, now: float) -> None:
    """Refuse every waiting job whose time ran out."""
    db.execute(
        "UPDATE jobs SET state = 'expired', finished_at = ?, payload = 'null' "
        "WHERE queue = ? AND state = 'waiting' AND expires_at <= ?",
        (now, queue, now),
    )


def take_over(db: sqlite3.Connection, queue: str, max_attempts: int, now: float) -> None:
    """Let jobs whose lease ran out wait again, or die after the last attempt."""
    db.execute(
        "UPDATE jobs SET state = 'dead', finished_at = ?, ticket = NULL, "
        "error_kind = 'WorkerLost', error = 'its worker died at every attempt' "
        "WHERE queue = ? AND state = 'running' AND lease_until <= ? AND attempts >= ?",
        (now, queue, now, max_attempts),
    )
    db.execute(
        "UPDATE jobs SET state = 'waiting', ticket = NULL "
        "WHERE queue = ? AND state = 'running' AND lease_until <= ?",
        (queue, now),
    )


def start_next(
    db: sqlite3.Connection, queue: str, tickets: Sequence[str], rules: QueueRules, now: float
) -> Claim:
    """Start the first jobs in line, one a ticket, as far as the rates allow."""
    bucket = _bucket(db, queue)
    jobs: list[Job] = []
    held_until: float | None = None
    for ticket in tickets:
        job = _next(db, queue, now)
        if job is None:
            break
        bucket, held_until = admit(rules.rates, bucket, tokens=job.tokens, now=now)
        if held_until is not None:
            break
        db.execute(
            "UPDATE jobs SET state = 'running', ticket = ?, lease_until = ?, started_at = ?, "
            "attempts = attempts + 1 WHERE queue = ? AND id = ?",
            (ticket, now + rules.lease, now, queue, job.id),
        )
        jobs.append(replace(job, state="running", started_at=now, attempts=job.attempts + 1))
    if jobs and bucket is not None:
        db.execute(
            "INSERT OR REPLACE INTO buckets (queue, requests, tokens, at) VALUES (?, ?, ?, ?)",
            (queue, bucket.requests, bucket.tokens, bucket.at),
        )
    return Claim(
        jobs=tuple(jobs),
        retry_at=held_until or _next_event(db, queue, now),
        held=held_until is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt that ended, as the values of its row; `result` is JSON text."""

    job: Job
    ticket: str
    settlement: Settlement
    result: str | None
    finished_at: float | None

    @classmethod
    def of(cls, job: Job, ticket: str, settlement: Settlement, now: float) -> Ended:
        """Raises ConfigurationError when the result is no JSON."""
        done = settlement.state == "done"
        return cls(
            job=job,
            ticket=ticket,
            settlement=settlement,
            result=dump_json(settlement.result, "result") if done else None,
            finished_at=None if settlement.state == "waiting" else now,
        )


def settle(db: sqlite3.Connection, queue: str, ended: Ended) -> bool:
    """Write down how an attempt ended; False when the job has been taken from its ticket."""
    settlement = ended.settlement
    cursor = db.execute(
        "UPDATE jobs SET state = ?, result = ?, error = ?, error_kind = ?, not_before = ?, "
        "finished_at = ?, ticket = NULL, lease_until = NULL, "
        "payload = CASE WHEN ? THEN 'null' ELSE payload END "
        "WHERE queue = ? AND id = ? AND ticket = ? AND attempts = ?",
        (
            settlement.state,
            ended.result,
            settlement.error,
            settlement.error_kind,
            settlement.not_before,
            ended.finished_at,
            settlement.state == "done",
            queue,
            ended.job.id,
            ended.ticket,
            ended.job.attempts,
        ),
    )
    return cursor.rowcount == 1


def _next(db: sqlite3.Connection, queue: str, now: float) -> Job | None:
    """The next job in line; one whose stored text is damaged dies instead of its worker."""
    while True:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM jobs WHERE queue = ? AND state = 'waiting' AND not_before <= ? "
            "ORDER BY turn LIMIT 1",
            (queue, now),
        ).fetchone()
        if row is None:
            return None
        try:
            return job_of(row)
        except ValueError:
            db.execute(
                "UPDATE jobs SET state = 'dead', finished_at = ?, "
                "error_kind = 'PoisonedPayload', error = 'its stored text is not JSON' "
                "WHERE queue = ? AND id = ?",
                (now, queue, row["id"]),
            )


def _bucket(db: sqlite3.Connection, queue: str) -> Bucket | None:
    row = db.execute(
        "SELECT requests, tokens, at FROM buckets WHERE queue = ?", (queue,)
    ).fetchone()
    return None if row is None else Bucket(**dict(row))


def _next_event(db: sqlite3.Connection, queue: str, now: float) -> float | None:
    """When a retry falls due or a lease runs out."""
    (soonest,) = db.execute(
        "SELECT min(at) FROM ("
        "SELECT min(not_before) AS at FROM jobs "
        "WHERE queue = ? AND state = 'waiting' AND not_before > 0 AND not_before > ? UNION ALL "
        "SELECT min(lease_until) FROM jobs WHERE queue = ? AND state = 'running')",
        (queue, now, queue),
    ).fetchone()
    return None if soonest is None else float(soonest)
