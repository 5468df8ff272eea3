"""The SQLite tables of a queue."""

from __future__ import annotations

from llm_optimizers.connections.sqlite import Schema

__all__ = ["SCHEMA"]

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
