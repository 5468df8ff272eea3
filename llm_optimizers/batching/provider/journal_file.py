"""The journal's SQLite file: its tables, its version, its transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_optimizers.errors import StoreError

__all__ = ["JournalFile"]

# "PB" and a number, so that another program's file is not taken for a journal.
_VERSION = 0x5042_0001
_BUSY_SECONDS = 20.0

_SCHEMA = (
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        provider TEXT NOT NULL,
        created_at REAL NOT NULL,
        cancelled INTEGER NOT NULL DEFAULT 0,
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
)


class JournalFile:
    """One SQLite file, safe to share between threads.

    Raises:
        StoreError: the file is no journal of this version, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path} is no batch journal or cannot be opened: {error}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, with its failures said in this package's words."""
        try:
            with self._lock:
                yield self._db
        except sqlite3.Error as error:
            raise StoreError(
                f"the batch journal {self.path} failed ({error}); is the disk full?"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing, and nobody else in between."""
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            self._db.execute("ROLLBACK")
            raise StoreError(
                f"{self.path} is no batch journal of version {_VERSION} (its version is "
                f"{version}); collect it with the version that wrote it, or give another path"
            )
        self._db.execute("COMMIT")
