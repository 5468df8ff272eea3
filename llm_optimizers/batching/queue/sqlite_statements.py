"""The SQLite schema of a queue, and the statements on it.

Functions over an open transaction; `sqlite.py` opens and commits it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from llm_optimizers.batching.queue.job import (
    AttemptOutcome,
    Claim,
    Job,
    QueueStats,
    digest,
    dump_json,
    other_payload,
    read_job,
    read_job_or_dead,
)
from llm_optimizers.batching.queue.rules import Bucket, QueueRules, admit, priority_key
from llm_optimizers.connections.sqlite import Schema

__all__ = [
    "SCHEMA",
    "acknowledge",
    "add",
    "ended",
    "expire",
    "find",
    "is_late",
    "replay",
    "start_next",
    "stats_of",
    "take_over",
]

_LATEST = 1_000

SCHEMA = Schema(
    kind="job queue",
    # "JQ" and a number: identifies files of the first releases, which have no application id.
    version=0x4A51_0001,
    application_id=int.from_bytes(b"LLMq"),
    statements=(
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
    ),
)


def add(db: sqlite3.Connection, job: Job, aging: float) -> Job:
    """Store a new job and return it; a known job is returned unchanged.

    Raises:
        ConfigurationError: the id was used for another payload.
    """
    payload = dump_json(job.payload, "payload")
    known = find(db, job.queue, job.id)
    if known is not None:
        if known["digest"] != digest(payload):
            raise other_payload(job.id)
        return read_job_or_dead(dict(known))
    db.execute(
        "INSERT INTO jobs (queue, id, payload, digest, priority, tokens, submitted_at, "
        "expires_at, turn, state, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
        (
            job.queue,
            job.id,
            payload,
            digest(payload),
            job.priority,
            job.tokens,
            job.submitted_at,
            job.expires_at,
            priority_key(job, aging),
            job.not_before,
        ),
    )
    return job


def find(db: sqlite3.Connection, queue: str, id_: str) -> sqlite3.Row | None:
    """Return a job's row."""
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM jobs WHERE queue = ? AND id = ?", (queue, id_)
    ).fetchone()
    return found


def is_late(row: sqlite3.Row, now: float) -> bool:
    """Return whether a waiting job is past its deadline."""
    return row["state"] == "waiting" and row["expires_at"] is not None and row["expires_at"] <= now


def expire(db: sqlite3.Connection, queue: str, now: float) -> None:
    """Expire every waiting job past its deadline."""
    db.execute(
        "UPDATE jobs SET state = 'expired', finished_at = ?, payload = 'null' "
        "WHERE queue = ? AND state = 'waiting' AND expires_at <= ?",
        (now, queue, now),
    )


def take_over(db: sqlite3.Connection, queue: str, max_attempts: int, now: float) -> None:
    """Queue jobs with an ended lease again; after the last attempt they become dead letters."""
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
    db: sqlite3.Connection, queue: str, worker: str, slots: int, rules: QueueRules, now: float
) -> Claim:
    """Start up to `slots` jobs with the smallest priority keys, as far as the rates allow."""
    bucket = known = _bucket(db, queue)
    jobs: list[Job] = []
    held_until: float | None = None
    while len(jobs) < slots:
        job = _next(db, queue, now)
        if job is None:
            break
        bucket, held_until = admit(rules.rates, bucket, tokens=job.tokens, now=now)
        if held_until is not None:
            break
        db.execute(
            "UPDATE jobs SET state = 'running', ticket = ?, lease_until = ?, started_at = ?, "
            "attempts = attempts + 1 WHERE queue = ? AND id = ?",
            (worker, now + rules.lease, now, queue, job.id),
        )
        jobs.append(replace(job, state="running", started_at=now, attempts=job.attempts + 1))
    if bucket is not None and bucket != known:
        db.execute(
            "INSERT OR REPLACE INTO buckets (queue, requests, tokens, at) VALUES (?, ?, ?, ?)",
            (queue, bucket.requests, bucket.tokens, bucket.at),
        )
    return Claim(
        jobs=tuple(jobs),
        retry_at=held_until or _next_event(db, queue, now),
        held=held_until is not None,
    )


def ended(job: Job, worker: str, outcome: AttemptOutcome, now: float) -> tuple[object, ...]:
    """Return the values of `acknowledge` for an attempt.

    Raises:
        ConfigurationError: the result is no JSON.
    """
    done = outcome.state == "done"
    return (
        outcome.state,
        dump_json(outcome.result, "result") if done else None,
        outcome.error,
        outcome.error_kind,
        outcome.not_before,
        None if outcome.state == "waiting" else now,
        done,
        job.queue,
        job.id,
        worker,
        job.attempts,
        job.started_at,
    )


def acknowledge(db: sqlite3.Connection, ended: tuple[object, ...]) -> bool:
    """Store how an attempt ended; False if the job has been taken over."""
    cursor = db.execute(
        "UPDATE jobs SET state = ?, result = ?, error = ?, error_kind = ?, not_before = ?, "
        "finished_at = ?, ticket = NULL, lease_until = NULL, "
        "payload = CASE WHEN ? THEN 'null' ELSE payload END "
        "WHERE queue = ? AND id = ? AND ticket = ? AND attempts = ? AND started_at = ?",
        ended,
    )
    return cursor.rowcount == 1


def replay(db: sqlite3.Connection, queue: str, id_: str, aging: float, now: float) -> bool:
    """Queue a dead job again, as if submitted now; False if there is none."""
    row = find(db, queue, id_)
    if row is None or row["state"] != "dead":
        return False
    key = priority_key(replace(read_job_or_dead(dict(row)), submitted_at=now), aging)
    db.execute(
        "UPDATE jobs SET state = 'waiting', attempts = 0, not_before = 0, "
        "expires_at = NULL, error = NULL, error_kind = NULL, finished_at = NULL, "
        "submitted_at = ?, turn = ? WHERE queue = ? AND id = ?",
        (now, key, queue, id_),
    )
    return True


def stats_of(db: sqlite3.Connection, queue: str, now: float) -> QueueStats:
    """Count a queue's jobs, and measure the last finished ones."""
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
    return QueueStats.of(queue, states, waiting, oldest, latest, now)


def _next(db: sqlite3.Connection, queue: str, now: float) -> Job | None:
    """Return the next job; a job whose stored text is damaged becomes a dead letter."""
    while True:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM jobs WHERE queue = ? AND state = 'waiting' AND not_before <= ? "
            "ORDER BY turn LIMIT 1",
            (queue, now),
        ).fetchone()
        if row is None:
            return None
        try:
            return read_job(dict(row))
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
    """Return when the next retry is due or the next lease ends."""
    (soonest,) = db.execute(
        "SELECT min(at) FROM ("
        "SELECT min(not_before) AS at FROM jobs "
        "WHERE queue = ? AND state = 'waiting' AND not_before > 0 AND not_before > ? UNION ALL "
        "SELECT min(lease_until) FROM jobs WHERE queue = ? AND state = 'running')",
        (queue, now, queue),
    ).fetchone()
    return None if soonest is None else float(soonest)
