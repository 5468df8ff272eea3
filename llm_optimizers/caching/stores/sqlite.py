"""Entries in one SQLite file: survives restarts, shared by the processes of one machine.

Write-ahead logging (https://www.sqlite.org/wal.html) lets readers go on while one process
writes, and a process killed in the middle of a write leaves the last committed state.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from llm_optimizers.caching.stores.entries import Entry, VectorRow
from llm_optimizers.caching.stores.rows import COLUMNS, entry_of, row_of, text_of, vector_of
from llm_optimizers.connections.forks import ProcessLock
from llm_optimizers.errors import StoreError

__all__ = ["SQLiteStore"]

SCHEMA_VERSION = 1
_BUSY_MS = 250
_PENDING_TOUCHES = 64
# SQLite forbids using and even closing a connection in a forked child; kept here, it never is.
_inherited: list[sqlite3.Connection] = []
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, normalised TEXT, scope TEXT NOT NULL, tenant TEXT NOT NULL,
    question TEXT, payload TEXT NOT NULL, vector BLOB, created REAL NOT NULL, expires REAL,
    model TEXT NOT NULL, usage TEXT, hits INTEGER NOT NULL DEFAULT 0,
    priority REAL NOT NULL, used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_normalised ON entries (normalised) WHERE normalised IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_priority ON entries (priority, used);
CREATE TABLE IF NOT EXISTS aging (one INTEGER PRIMARY KEY CHECK (one = 1), age REAL NOT NULL);
INSERT OR IGNORE INTO aging VALUES (1, 0.0);
"""


class SQLiteStore:
    """A store in the file at `path`, made with its folders when it is first needed.

    Hits are counted in memory and written in batches, so that a lookup only reads. Eviction is
    the same as `MemoryStore`'s.
    """

    blocking = True

    def __init__(self, path: str | Path, max_entries: int = 10_000) -> None:
        self._path = Path(path)
        self._max_entries = max_entries
        self._connection: sqlite3.Connection | None = None
        self._owner = os.getpid()
        self._touches: dict[str, tuple[int, float]] = {}
        self._lock = ProcessLock()

    def fetch(self, key: str, normalised: str | None = None) -> Entry | None:
        """See `Store.fetch`."""
        with self._open() as connection:
            row = connection.execute(
                f"SELECT {COLUMNS} FROM entries WHERE key = ?",  # noqa: S608 - a constant
                (key,),
            ).fetchone()
            if row is None and normalised is not None:
                row = connection.execute(
                    f"SELECT {COLUMNS} FROM entries WHERE normalised = ?"  # noqa: S608 - a constant
                    " ORDER BY sequence DESC LIMIT 1",
                    (normalised,),
                ).fetchone()
        return None if row is None else entry_of(row)

    def save(self, entry: Entry) -> None:
        """See `Store.save`."""
        with self._open() as connection, _transaction(connection):
            self._write_touches(connection)
            (age,) = connection.execute("SELECT age FROM aging").fetchone()
            connection.execute("DELETE FROM entries WHERE key = ?", (entry.key,))
            (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
            if count >= self._max_entries:
                age = _evict(connection, count - self._max_entries + 1)
            connection.execute(
                f"INSERT INTO entries ({COLUMNS}, priority, used)"  # noqa: S608 - a constant
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row_of(entry), age + 1.0, entry.created),
            )

    def touch(self, key: str, now: float) -> None:
        """See `Store.touch`."""
        with self._lock:
            self._disown()
            hits, _ = self._touches.get(key, (0, now))
            self._touches[key] = (hits + 1, now)
            due = len(self._touches) >= _PENDING_TOUCHES
        if due:
            with self._open() as connection, _transaction(connection):
                self._write_touches(connection)

    def delete(self, keys: Collection[str]) -> None:
        """See `Store.delete`."""
        with self._open() as connection, _transaction(connection):
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def clear(self, tenant: str | None = None) -> None:
        """See `Store.clear`."""
        with self._open() as connection, _transaction(connection):
            self._touches.clear()
            if tenant is None:
                connection.execute("DELETE FROM entries")
            else:
                connection.execute("DELETE FROM entries WHERE tenant = ?", (tenant,))

    def vectors(self, after: int) -> Sequence[VectorRow]:
        """See `Store.vectors`."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT sequence, key, scope, vector FROM entries"
                " WHERE sequence > ? AND vector IS NOT NULL ORDER BY sequence",
                (after,),
            ).fetchall()
        return [
            VectorRow(sequence=sequence, key=key, scope=scope, vector=vector)
            for sequence, key, scope, blob in rows
            if (vector := vector_of(blob)) is not None
        ]

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            self._disown()
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                with suppress(sqlite3.Error), _transaction(connection):
                    self._write_touches(connection)
            finally:
                connection.close()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The one connection, under the lock; what SQLite says is raised as `StoreError`."""
        with self._lock:
            try:
                self._disown()
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise StoreError(
                    f"the cache file {self._path} cannot be used ({error}); calls go to the model"
                    " until it can: free it, make room, or move it away to start a new one"
                ) from error

    def _disown(self) -> None:
        """Leave a connection, and the hits to be counted, to the process that this was forked from.

        See https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_.
        """
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._touches = {}
            if self._connection is not None:
                _inherited.append(self._connection)
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_MS / 1000, check_same_thread=False, isolation_level=None
        )
        connection.text_factory = text_of
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._set_up(connection)
            elif version != SCHEMA_VERSION:
                self._refuse(version)
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse(self, version: int) -> NoReturn:
        raise StoreError(
            f"the cache file {self._path} has format {version}, this release reads"
            f" {SCHEMA_VERSION}: give another path, or move the file away"
        )

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Make the tables. Processes that start together wait for one another here."""
        deadline = time.monotonic() + 5.0
        while True:
            try:
                with _transaction(connection):
                    # Looked at again under the lock, for another process may have been faster.
                    (version,) = connection.execute("PRAGMA user_version").fetchone()
                    if version == 0:
                        self._check_empty(connection)
                        for statement in _SCHEMA.split(";"):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                # Changing the journal's mode does not honour the busy timeout.
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _check_empty(self, connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(
                f"{self._path} is a database of something else: give the cache another path"
            )

    def _write_touches(self, connection: sqlite3.Connection) -> None:
        touches, self._touches = self._touches, {}
        connection.executemany(
            "UPDATE entries SET hits = hits + ?1, used = ?2,"
            " priority = (SELECT age FROM aging) + 1.0 + hits + ?1 WHERE key = ?3",
            [(hits, used, key) for key, (hits, used) in touches.items()],
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _evict(connection: sqlite3.Connection, surplus: int) -> float:
    """Drop the least used entries; the highest priority among them is the new age."""
    victims = connection.execute(
        "SELECT sequence, priority FROM entries ORDER BY priority, used LIMIT ?", (surplus,)
    ).fetchall()
    age = float(victims[-1][1])
    connection.executemany("DELETE FROM entries WHERE sequence = ?", [(v[0],) for v in victims])
    connection.execute("UPDATE aging SET age = ?", (age,))
    return age
