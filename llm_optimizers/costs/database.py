"""One SQLite file shared by threads, forks and processes, or one in memory.

Each write is committed by itself in write-ahead mode: a killed process loses at most the row it
was writing, and readers never wait. Nothing here decides what a failure means.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_optimizers.costs.rows import SCHEMA, SCHEMA_VERSION
from llm_optimizers.errors import StoreError

__all__ = ["Database"]

_WAIT_MS = 1_000  # for another process that is writing
_WAIT_AFTER_FAILURE_MS = 20  # a file that stays locked must not slow every call
_PAGE = 1_000
# SQLite forbids using and even closing a connection in a forked child; kept here, it never is.
_inherited: list[sqlite3.Connection] = []


class Database:
    """A ledger's tables, opened on first use and once in each process.

    Every method raises `sqlite3.Error` or `OSError` when the file fails, and `StoreError` when
    it holds no ledger of this version or was closed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wait_ms = _WAIT_MS
        self._closed = False
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file now, making it a ledger if it is new."""
        with self._own_lock(), self._patience():
            self._connected()

    def append(self, statement: str, row: tuple[Any, ...]) -> None:
        """Insert one row and commit it."""
        with self._own_lock(), self._patience():
            self._connected().execute(statement, row)

    def read(self, select: str, where: tuple[Any, ...]) -> Iterator[sqlite3.Row]:
        """Rows in the order of their `seq`, page by page, so that no writer waits for a reader.

        `select` takes the last `seq` seen, then `where`, then the size of a page.
        """
        seen = 0
        while True:
            with self._own_lock():
                page = self._connected().execute(select, (seen, *where, _PAGE)).fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            seen = page[-1]["seq"]

    def close(self) -> None:
        """Close the file for good."""
        with self._own_lock():
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _own_lock(self) -> threading.Lock:
        """The lock of this process: after a fork the old one may be held by nobody alive."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()
            if self._path is not None and self._connection is not None:
                _inherited.append(self._connection)
                self._connection = None
        return self._lock

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Wait for other writers, but only briefly while writing keeps failing."""
        try:
            yield
        except sqlite3.Error:
            self._wait(_WAIT_AFTER_FAILURE_MS)
            raise
        self._wait(_WAIT_MS)

    def _wait(self, wait_ms: int) -> None:
        if self._wait_ms != wait_ms:
            self._wait_ms = wait_ms
            if self._connection is not None:
                self._connection.execute(f"PRAGMA busy_timeout = {wait_ms}")

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError("the ledger is closed")
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        target = ":memory:" if self._path is None else str(self._path)
        connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA busy_timeout = {self._wait_ms}")
            _prepare(connection, target)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, target: str) -> None:
    """Make a new file a ledger, or check that it is one."""
    if _version(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        # Looked at again under the lock, for another process may have made the tables meanwhile.
        if _version(connection) == 0:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(f"{target} is a database of something else; give another path")
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    version = _version(connection)
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{target} is a ledger of version {version} and this package reads version "
            f"{SCHEMA_VERSION}; upgrade llm-optimizers or give another path"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    # Safe against a killed process; only a power cut can lose the last rows.
    connection.execute("PRAGMA synchronous = NORMAL")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
