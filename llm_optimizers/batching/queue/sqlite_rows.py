"""How jobs lie in SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any

from llm_optimizers.batching.queue.codec import digest, load_json
from llm_optimizers.batching.queue.job import PRIORITIES, Job, QueueStats, Times
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "INSERT",
    "SCHEMA",
    "VERSION",
    "job_of",
    "job_or_dead",
    "refuse_other_payload",
    "row_of",
    "stats_of",
    "text_of",
]

# "JQ" and a number, so that another program's file is not taken for a queue.
VERSION = 0x4A51_0001
_LATEST = 1_000

SCHEMA = (
    """CREATE TABLE jobs (
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        payload TEXT NOT NULL,
        digest TEXT NOT NULL,
        priority TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        submitted_at REAL NOT NULL,
        expires_at REAL,
        turn REAL NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0,
        ticket TEXT,
        lease_until REAL,
        started_at REAL,
        finished_at REAL,
        result TEXT,
        error TEXT,
        error_kind TEXT,
        PRIMARY KEY (queue, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX line ON jobs (queue, turn) WHERE state = 'waiting'",
    "CREATE INDEX expiring ON jobs (queue, expires_at) "
    "WHERE state = 'waiting' AND expires_at IS NOT NULL",
    "CREATE INDEX later ON jobs (queue, not_before) WHERE state = 'waiting' AND not_before > 0",
    "CREATE INDEX leases ON jobs (queue, lease_until) WHERE state = 'running'",
    "CREATE INDEX settled ON jobs (queue, state, finished_at)",
    """CREATE TABLE buckets (
        queue TEXT PRIMARY KEY,
        requests REAL NOT NULL,
        tokens REAL NOT NULL,
        at REAL NOT NULL
    )""",
)

INSERT = (
    "INSERT INTO jobs (queue, id, payload, digest, priority, tokens, submitted_at, expires_at, "
    "turn, state, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)"
)


def text_of(raw: bytes) -> str | bytes:
    """A text column's value; bytes that are no text stay bytes, for `job_of` to refuse."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def row_of(job: Job, payload: str, place: float) -> tuple[Any, ...]:
    """The values of `INSERT`."""
    return (
        job.queue,
        job.id,
        payload,
        digest(payload),
        job.priority,
        job.tokens,
        job.submitted_at,
        job.expires_at,
        place,
        job.not_before,
    )


def job_of(row: sqlite3.Row) -> Job:
    """Read a job; raises ValueError when its stored JSON is damaged."""
    return Job(
        id=row["id"],
        queue=row["queue"],
        payload=load_json(row["payload"]),
        submitted_at=row["submitted_at"],
        priority=row["priority"],
        tokens=row["tokens"],
        expires_at=row["expires_at"],
        state=row["state"],
        attempts=row["attempts"],
        not_before=row["not_before"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        result=None if row["result"] is None else load_json(row["result"]),
        error=row["error"],
        error_kind=row["error_kind"],
    )


def job_or_dead(row: sqlite3.Row) -> Job:
    """Read a job; one whose stored JSON is damaged is shown as dead instead of failing others."""
    try:
        return job_of(row)
    except ValueError:
        return Job(
            id=row["id"],
            queue=row["queue"],
            payload=None,
            submitted_at=row["submitted_at"],
            priority=row["priority"],
            attempts=row["attempts"],
            finished_at=row["finished_at"],
            state="dead",
            error="its stored text is not JSON",
            error_kind="PoisonedPayload",
        )


def refuse_other_payload(id_: str, known: str, given: str) -> None:
    """An idempotency key names one payload; raises ConfigurationError for a second one."""
    if known != given:
        raise ConfigurationError(
            f"the key {id_!r} was used for another payload; a key stands for one piece of work"
        )


def stats_of(db: sqlite3.Connection, queue: str, now: float) -> QueueStats:
    """Count a queue and time the jobs it finished last."""
    states = dict(
        db.execute("SELECT state, count(*) FROM jobs WHERE queue = ? GROUP BY state", (queue,))
    )
    waiting = dict(
        db.execute(
            "SELECT priority, count(*) FROM jobs WHERE queue = ? AND state = 'waiting' "
            "GROUP BY priority",
            (queue,),
        )
    )
    (oldest,) = db.execute(
        "SELECT min(submitted_at) FROM jobs WHERE queue = ? AND state = 'waiting'", (queue,)
    ).fetchone()
    latest = db.execute(
        "SELECT submitted_at, started_at, finished_at FROM jobs "
        "WHERE queue = ? AND state = 'done' ORDER BY finished_at DESC LIMIT ?",
        (queue, _LATEST),
    ).fetchall()
    return QueueStats(
        queue=queue,
        waiting={priority: waiting.get(priority, 0) for priority in PRIORITIES},
        running=states.get("running", 0),
        done=states.get("done", 0),
        dead=states.get("dead", 0),
        expired=states.get("expired", 0),
        oldest_waiting_s=None if oldest is None else max(0.0, now - oldest),
        waited=Times.of([started - submitted for submitted, started, _ in latest]),
        ran=Times.of([finished - started for _, started, finished in latest]),
    )
