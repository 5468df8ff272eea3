"""The SQLite schema of a queue, and the statements on it.

Functions over an open transaction; `sqlite.py` opens and commits it.
"""

from __future__ import annotations

import math
import sqlite3
import uuid
from dataclasses import dataclass, replace
from typing import Any

from llm_optimizers.batching.queue.job import (
    AttemptOutcome,
    Claim,
    Job,
    QueueStats,
    digest,
    dump_json,
    other_payload,
)
from llm_optimizers.batching.queue.rules import (
    Bucket,
    QueueRules,
    admit,
    priority_key,
    too_large,
)
from llm_optimizers.batching.queue.stored import (
    DAMAGED,
    DamagedJobError,
    read_job,
    read_job_or_dead,
)

__all__ = [
    "WORKER_LOST",
    "Ended",
    "acknowledge",
    "add",
    "bury",
    "expire",
    "find",
    "is_late",
    "is_usable_id",
    "replay",
    "start_next",
    "stats_of",
]

_LATEST = 1_000
WORKER_LOST = "WorkerLost"


def add(db: sqlite3.Connection, job: Job, aging: float) -> Job:
    """Store a new job and return it; a known job is returned unchanged, a damaged one replaced.

    Raises:
        ConfigurationError: the id was used for another payload.
    """
    payload = dump_json(job.payload, "payload")
    row = find(db, job.queue, job.id)
    if row is not None:
        known = read_job_or_dead(dict(row))
        if known.state != "dead" or known.error_kind not in DAMAGED:
            if row["digest"] != digest(payload):
                raise other_payload(job.id)
            return known
        db.execute("DELETE FROM jobs WHERE queue = ? AND id = ?", (job.queue, job.id))
    insert(db, job, payload, aging)
    return job


def insert(db: sqlite3.Connection, job: Job, payload: str, aging: float) -> None:
    """Store a job as it is."""
    values = {
        "queue": job.queue,
        "id": job.id,
        "payload": payload,
        "digest": digest(payload),
        "priority": job.priority,
        "tokens": job.tokens,
        "submitted_at": job.submitted_at,
        "expires_at": job.expires_at,
        "turn": priority_key(job, aging),
        "state": job.state,
        "attempts": job.attempts,
        "not_before": job.not_before,
        "started_at": job.started_at,
    }
    places = ", ".join("?" * len(values))
    db.execute(
        f"INSERT INTO jobs ({', '.join(values)}) VALUES ({places})",  # noqa: S608 - no data
        tuple(values.values()),
    )


def find(db: sqlite3.Connection, queue: str, id_: str) -> sqlite3.Row | None:
    """Return a job's row."""
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM jobs WHERE queue = ? AND id = ?", (queue, id_)
    ).fetchone()
    return found


def is_late(row: sqlite3.Row, now: float) -> bool:
    """Return whether a waiting job is past its deadline."""
    deadline = row["expires_at"]
    return row["state"] == "waiting" and isinstance(deadline, float) and deadline <= now


def expire(db: sqlite3.Connection, queue: str, now: float) -> None:
    """Expire every waiting job past its deadline."""
    db.execute(
        "UPDATE jobs SET state = 'expired', finished_at = ?, payload = 'null' "
        "WHERE queue = ? AND state = 'waiting' AND expires_at <= ?",
        (now, queue, now),
    )


def is_usable_id(id_: object) -> bool:
    """Whether a stored id is a text that is not empty."""
    return isinstance(id_, str) and id_ != ""


def bury(db: sqlite3.Connection, queue: str, id_: str, kind: str, reason: str, now: float) -> None:
    """Make a dead letter of a job; it gets another id where its own cannot be given."""
    if not is_usable_id(id_):
        known, id_ = id_, f"damaged-{uuid.uuid4().hex}"
        db.execute(
            "UPDATE jobs SET id = ? WHERE queue = ? AND CAST(id AS BLOB) = CAST(? AS BLOB)",
            (id_, queue, known),
        )
    db.execute(
        "UPDATE jobs SET state = 'dead', finished_at = ?, ticket = NULL, error_kind = ?, "
        "error = ? WHERE queue = ? AND id = ?",
        (now, kind, reason, queue, id_),
    )


def start_next(
    db: sqlite3.Connection, queue: str, worker: str, slots: int, rules: QueueRules, now: float
) -> Claim:
    """Start up to `slots` jobs with the smallest priority keys, as far as the rates allow."""
    bucket = known = _bucket(db, queue)
    jobs: list[Job] = []
    held_until: float | None = None
    while len(jobs) < slots:
        job = _next(db, queue, rules, now)
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
        retry_at=held_until or _next_event(db, queue, rules, now),
        held=held_until is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended; `result` is JSON."""

    job: Job
    worker: str
    outcome: AttemptOutcome
    result: str | None
    now: float

    def is_own(self, row: sqlite3.Row) -> bool:
        """Whether the job is still this worker's."""
        attempt = (self.worker, self.job.attempts, self.job.started_at)
        return attempt == (row["ticket"], row["attempts"], row["started_at"])

    def is_first_result(self, row: sqlite3.Row) -> bool:
        """Whether it is a result of a job that was taken over and has none yet.

        It was paid for, so it is kept: the other attempt may fail, or was not started.
        """
        unfinished = row["state"] in ("running", "waiting") or row["error_kind"] == WORKER_LOST
        same = row["digest"] == digest(dump_json(self.job.payload, "payload"))
        return self.outcome.state == "done" and row["state"] != "done" and unfinished and same


def acknowledge(db: sqlite3.Connection, ended: Ended, aging: float) -> bool:
    """Store how an attempt ended; False if another attempt ended or does the job.

    A job that is no longer in the file was deleted with it: it is stored again.
    """
    job, outcome = ended.job, ended.outcome
    row = db.execute(
        "SELECT ticket, attempts, started_at, state, error_kind, digest FROM jobs "
        "WHERE queue = ? AND id = ?",
        (job.queue, job.id),
    ).fetchone()
    if row is None:
        insert(db, job, dump_json(job.payload, "payload"), aging)
    elif not ended.is_own(row) and not ended.is_first_result(row):
        return False
    db.execute(
        "UPDATE jobs SET state = ?, result = ?, error = ?, error_kind = ?, not_before = ?, "
        "finished_at = ?, ticket = NULL, lease_until = NULL, "
        "payload = CASE WHEN ? THEN 'null' ELSE payload END WHERE queue = ? AND id = ?",
        (
            outcome.state,
            ended.result,
            outcome.error,
            outcome.error_kind,
            outcome.not_before,
            None if outcome.state == "waiting" else ended.now,
            outcome.state == "done",
            job.queue,
            job.id,
        ),
    )
    return True


def replay(db: sqlite3.Connection, queue: str, id_: str, aging: float, now: float) -> bool:
    """Queue a dead job again, as if submitted now; False if there is none."""
    row = find(db, queue, id_)
    if row is None or row["state"] != "dead":
        return False
    key = priority_key(replace(read_job_or_dead(dict(row)), submitted_at=now), aging)
    db.execute(
        "UPDATE jobs SET state = 'waiting', attempts = 0, not_before = 0, "
        "expires_at = NULL, error = NULL, error_kind = NULL, started_at = NULL, "
        "finished_at = NULL, "
        "submitted_at = ?, turn = ? WHERE queue = ? AND id = ?",
        (now, key, queue, id_),
    )
    return True


def stats_of(db: sqlite3.Connection, queue: str, now: float) -> QueueStats:
    """Count a queue's jobs, those past their deadline as expired, and measure the last ones."""
    states = dict(
        db.execute("SELECT state, count(*) FROM jobs WHERE queue = ? GROUP BY state", (queue,))
    )
    by_priority = "SELECT priority, count(*) FROM jobs WHERE queue = ? AND state = 'waiting'"
    waiting = dict(db.execute(f"{by_priority} GROUP BY priority", (queue,)))
    late = db.execute(f"{by_priority} AND expires_at <= ? GROUP BY priority", (queue, now))
    for priority, count in late:
        waiting[priority] -= count
        states["expired"] = states.get("expired", 0) + count
    (oldest,) = db.execute(
        "SELECT min(submitted_at) FROM jobs WHERE queue = ? AND state = 'waiting' "
        "AND (expires_at IS NULL OR expires_at > ?)",
        (queue, now),
    ).fetchone()
    latest = db.execute(
        "SELECT submitted_at, started_at, finished_at FROM jobs "
        "WHERE queue = ? AND state = 'done' ORDER BY finished_at DESC LIMIT ?",
        (queue, _LATEST),
    ).fetchall()
    return QueueStats.of(queue, states, waiting, oldest, latest, now)


def _next(db: sqlite3.Connection, queue: str, rules: QueueRules, now: float) -> Job | None:
    """Return the next job; one that is damaged or too large becomes a dead letter."""
    while True:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM jobs WHERE queue = ? AND state = 'waiting' AND not_before <= ? "
            "ORDER BY turn LIMIT 1",
            (queue, now),
        ).fetchone()
        if row is None:
            return None
        try:
            job = read_job(dict(row))
        except DamagedJobError as error:
            bury(db, queue, row["id"], error.kind, str(error), now)
            continue
        reason = too_large(rules.rates, job.tokens)
        if reason is None:
            return job
        bury(db, queue, job.id, "TooManyTokens", reason, now)


def _bucket(db: sqlite3.Connection, queue: str) -> Bucket | None:
    row = db.execute(
        "SELECT requests, tokens, at FROM buckets WHERE queue = ?", (queue,)
    ).fetchone()
    sound = row is not None and all(_is_finite(value) for value in row)
    return Bucket(**dict(row)) if sound else None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _next_event(db: sqlite3.Connection, queue: str, rules: QueueRules, now: float) -> float | None:
    """Return when the next retry is due, or when to look at the leases of running jobs."""
    (retry,) = db.execute(
        "SELECT min(not_before) FROM jobs "
        "WHERE queue = ? AND state = 'waiting' AND not_before > 0 AND not_before > ?",
        (queue, now),
    ).fetchone()
    (running,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE queue = ? AND state = 'running')", (queue,)
    ).fetchone()
    events = [float(retry)] if _is_finite(retry) else []
    return min([*events, *([now + rules.lease] if running else [])], default=None)
