"""The tables of the batch journal, a SQLite file, and its queries.

They give the progress of jobs and the results of requests; `journal.py` writes them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

from llm_optimizers.batching.provider.client import BatchStatus, ShardStatus
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import ConfigurationError

__all__ = ["BatchJournalReader"]

_WAIT = 20.0  # seconds to wait for another process: what was sent must be recorded
_PAGE = 1_000


def _add_context(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE requests ADD COLUMN source TEXT")
    db.execute("ALTER TABLE requests ADD COLUMN context TEXT")
    db.execute("ALTER TABLE jobs ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 0")


_SCHEMA = Schema(
    kind="batch journal",
    # "PB" and a number, which identifies files of the first releases: they have no application id.
    version=0x5042_0002,
    application_id=int.from_bytes(b"LLMb"),
    statements=(
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            provider TEXT NOT NULL,
            created_at REAL NOT NULL,
            cancelled INTEGER NOT NULL DEFAULT 0,
            handed_over INTEGER NOT NULL DEFAULT 0,
            driver TEXT,
            driven_until REAL NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE requests (
            job TEXT NOT NULL,
            position INTEGER NOT NULL,
            id TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            model TEXT NOT NULL,
            body TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting',
            attempts INTEGER NOT NULL DEFAULT 0,
            shard INTEGER,
            answer TEXT,
            usage TEXT,
            error TEXT,
            error_kind TEXT,
            ended_at REAL,
            recorded INTEGER NOT NULL DEFAULT 0,
            source TEXT,
            context TEXT,
            PRIMARY KEY (job, position)
        ) WITHOUT ROWID""",
        "CREATE INDEX states ON requests (job, state, recorded)",
        "CREATE INDEX shard_members ON requests (job, shard)",
        """CREATE TABLE shards (
            job TEXT NOT NULL,
            number INTEGER NOT NULL,
            remote_id TEXT,
            state TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (job, number)
        ) WITHOUT ROWID""",
    ),
    migrations={0x5042_0001: _add_context},
)


class BatchJournalReader:
    """Queries of the batch journal; every method raises StoreError if the file fails."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Records must also survive a power cut, since the provider bills what was sent.
        self._database = Database(path, _SCHEMA, wait=_WAIT, synchronous="FULL")
        self._database.open()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def find_job(self, db: sqlite3.Connection, job: str) -> sqlite3.Row:
        """Return a job's row; raises ConfigurationError if there is none."""
        row: sqlite3.Row | None = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            raise ConfigurationError(
                f"{self._database.path} has no batch {job!r}; check the id and the path"
            )
        return row

    def status(self, job: str) -> BatchStatus:
        """Count a job's requests and list its shards."""
        with self._database.connection() as db:
            self.find_job(db, job)
            states = dict(
                db.execute(
                    "SELECT state, count(*) FROM requests WHERE job = ? GROUP BY state", (job,)
                )
            )
            shards = db.execute(
                "SELECT number, remote_id, state, (SELECT count(*) FROM requests "
                "WHERE requests.job = shards.job AND shard = number) AS requests "
                "FROM shards WHERE job = ? ORDER BY number",
                (job,),
            ).fetchall()
        return BatchStatus(
            id=job,
            total=sum(states.values()),
            answered=states.get("answered", 0),
            failed=states.get("failed", 0),
            cancelled=states.get("cancelled", 0),
            shards=tuple(ShardStatus(**dict(row)) for row in shards),
        )

    def results(self, job: str) -> Iterator[sqlite3.Row]:
        """Iterate over all requests with their results, in the order submitted."""
        last = -1
        while True:
            with self._database.connection() as db:
                self.find_job(db, job)
                page = db.execute(
                    "SELECT * FROM requests WHERE job = ? AND position > ? "
                    "ORDER BY position LIMIT ?",
                    (job, last, _PAGE),
                ).fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]["position"]

    def unrecorded(self, job: str) -> list[sqlite3.Row]:
        """Return the answers that may not be in the ledger yet."""
        with self._database.connection() as db:
            return db.execute(
                "SELECT * FROM requests WHERE job = ? AND state = 'answered' AND recorded = 0 "
                "ORDER BY position",
                (job,),
            ).fetchall()

    def jobs(self) -> list[str]:
        """Return the ids of all jobs, newest first."""
        with self._database.connection() as db:
            return [row["id"] for row in db.execute("SELECT id FROM jobs ORDER BY created_at DESC")]
