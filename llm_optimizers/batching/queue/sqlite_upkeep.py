"""What an SQLite queue needs besides its jobs: leases, the shared time, damaged rows.

Functions over an open transaction; `sqlite.py` opens and commits it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from llm_optimizers.batching.queue.job import STATES, Job
from llm_optimizers.batching.queue.rules import LONGEST_PAUSE
from llm_optimizers.batching.queue.sqlite_statements import WORKER_LOST, bury, is_usable_id
from llm_optimizers.batching.queue.stored import read_job_or_dead

__all__ = ["bury_unreachable", "renew", "shared_time", "stamps", "take_over"]

_DAY = 86_400.0
_STATES_IN_USE = """
    WITH RECURSIVE used (state) AS (
        SELECT min(state) FROM jobs WHERE queue = ?1
        UNION ALL  -- one step in the index for each state, not one for each job
        SELECT (SELECT min(state) FROM jobs WHERE queue = ?1 AND state > used.state)
        FROM used WHERE used.state IS NOT NULL
    )
    SELECT state FROM used WHERE state IS NOT NULL"""


def stamps(db: sqlite3.Connection, queue: str) -> dict[str, tuple[object, ...]]:
    """Return what a renewal changes of each running job."""
    rows = db.execute(
        "SELECT id, ticket, attempts, started_at, lease_until FROM jobs "
        "WHERE queue = ? AND state = 'running'",
        (queue,),
    )
    return {id_: tuple(stamp) for id_, *stamp in rows}


def renew(db: sqlite3.Connection, job: Job, worker: str, until: float) -> None:
    """Change the stamp of a job, also while the clock stands still or after it was set back."""
    db.execute(
        "UPDATE jobs SET lease_until = CASE WHEN lease_until < ?1 OR lease_until >= ?1 + 1e9 "
        "OR lease_until IS NULL THEN ?1 ELSE lease_until + 0.001 END "
        "WHERE queue = ? AND id = ? AND state = 'running' AND ticket = ? AND attempts = ?",
        (until, job.queue, job.id, worker, job.attempts),
    )


def take_over(
    db: sqlite3.Connection, queue: str, ids: Sequence[str], max_attempts: int, now: float
) -> None:
    """Queue jobs whose worker died again; after the last attempt they become dead letters."""
    for id_ in ids:
        if not is_usable_id(id_):
            bury(db, queue, id_, "DamagedJob", "its stored data are damaged: `id`", now)
        db.execute(
            "UPDATE jobs SET state = 'dead', finished_at = ?, ticket = NULL, error_kind = ?, "
            "error = 'its worker died at every attempt' WHERE queue = ? AND id = ? "
            "AND state = 'running' AND typeof(attempts) = 'integer' AND attempts >= ?",
            (now, WORKER_LOST, queue, id_, max_attempts),
        )
        db.execute(
            "UPDATE jobs SET state = 'waiting', ticket = NULL "
            "WHERE queue = ? AND id = ? AND state = 'running'",
            (queue, id_),
        )


def bury_unreachable(db: sqlite3.Connection, queue: str, now: float) -> None:
    """Make dead letters of damaged jobs that no claim would come to."""
    found: list[sqlite3.Row] = []
    for (state,) in db.execute(_STATES_IN_USE, (queue,)).fetchall():
        if state not in STATES:
            found += db.execute("SELECT * FROM jobs WHERE queue = ? AND state = ?", (queue, state))
    # In SQLite a text is more than any number.
    found += db.execute(
        "SELECT * FROM jobs WHERE queue = ? AND state = 'waiting' AND not_before > 0 "
        "AND not_before > ?",
        (queue, now + LONGEST_PAUSE),
    )
    for row in found:
        dead = read_job_or_dead(dict(row))
        reason = dead.error or "its stored data are damaged: `not_before` is years away"
        bury(db, queue, row["id"], dead.error_kind or "DamagedJob", reason, now)


def shared_time(db: sqlite3.Connection, *, wall: float, steady: float, boot: str) -> float:
    """Return the time that all processes on this file share, in seconds since the epoch.

    The wall clock's when the file was first used since the machine started, carried on by the
    monotonic clock, which all its processes share. Where the wall clock is days ahead, that first
    time was wrong, as on a machine that starts without one.
    """
    db.execute("CREATE TABLE IF NOT EXISTS clock (boot TEXT, wall REAL, steady REAL)")
    for known, began, since in db.execute("SELECT boot, wall, steady FROM clock"):
        if known == boot and isinstance(began, float) and isinstance(since, float):
            now = began + steady - since
            if steady >= since and wall - now < _DAY:
                return now
    db.execute("DELETE FROM clock")
    db.execute("INSERT INTO clock (boot, wall, steady) VALUES (?, ?, ?)", (boot, wall, steady))
    return wall
