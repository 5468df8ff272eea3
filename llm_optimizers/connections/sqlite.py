"""The SQLite connection of every store that has a file.

Write-ahead logging (https://www.sqlite.org/wal.html) lets readers go on while one process writes.
A process killed during a write leaves the last committed state.

A `Database` has one connection for all threads, guarded by a lock. Each use runs a few short
statements, so one connection per thread would save little waiting, cost a file handle per thread,
and could not share a database in memory.

SQLite forbids using a connection after a fork (https://www.sqlite.org/howtocorrupt.html, 2.6), so
files are closed before a fork and reopened on their next use, in the parent or the child. Because
of the same page (2.2), only SQLite itself opens and closes an existing file that can be written.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

from llm_optimizers.connections.files import Identity, Place, inherited, size_of
from llm_optimizers.connections.forks import at_fork
from llm_optimizers.connections.opening import BUSY, Opened, Opener, code_of, database_path
from llm_optimizers.connections.paths import advice_for
from llm_optimizers.connections.schema import Schema, transaction
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.events import Notice, emit
from llm_optimizers.forks import ProcessLock

__all__ = ["Database", "Schema", "database_path"]


_SHRINK_WAIT_S = 0.25
_PAGES_TO_WRITE_AGAIN = 16_384  # 64 MB
_INCREMENTAL = 2  # the number of this kind of auto_vacuum
_PAGES_KEPT = 256  # 1 MB of free pages is soon used again
_PAGES_AT_ONCE = 1_000  # given back in one transaction, so that other writers do not wait
_LOG_BYTES = 2**23  # a log that is larger is written into the file and emptied
_LOG_MORE = 2**22
_LOG_WAIT_S = 0.1  # for those that read an older state; other writers wait meanwhile
_ADVICE: Mapping[int, str] = {
    sqlite3.SQLITE_ERROR: "its tables are damaged: move it away to start a new one",
    sqlite3.SQLITE_PERM: "let this user read and write it",
    sqlite3.SQLITE_BUSY: "another process has locked it: wait for that process or stop it",
    sqlite3.SQLITE_READONLY: "let this user write to it and to its folder",
    sqlite3.SQLITE_IOERR: "is the disk full or gone?",
    sqlite3.SQLITE_CORRUPT: "it is damaged: move it away to start a new one",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_CANTOPEN: "is it a file, and may this user write to its folder?",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file: give another path, or move it away",
}
# After any other error the file is reopened and checked: it may have been repaired or replaced.
_KEEP_OPEN = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL})
_REOPEN = _ADVICE.keys() - _KEEP_OPEN


class Database:
    """One SQLite file, or memory without a `path`; opened on first use.

    Safe to share between threads, event loops and forked processes; other processes may use the
    same file. A new file is readable by its owner only (mode 0600, as are SQLite's files beside
    it); missing folders are created (0700); what exists keeps its mode. A file that was moved or
    deleted is followed by a new one, and keeps all that was committed before. A file that cannot
    be written can still be read. What is deleted from a file is overwritten.

    Args:
        path: the file, see `file_path`; None or ":memory:" for memory.
        schema: its tables.
        wait: seconds to wait for another process that is writing.
        synchronous: "NORMAL" survives a killed process, "FULL" also a power failure.
        undecodable_as_bytes: text that is not UTF-8 is returned as bytes, so that the store can
            check each row, instead of failing the statement.

    `openings` counts how often the file was opened: each time it may be another file.

    Raises:
        ConfigurationError: the path can be no file's.

    Raises (from every use):
        SchemaError: the file belongs to another program or version; it was not changed.
        BusyError: another process locked the file for longer than `wait`.
        StoreError: the file cannot be opened, read or written; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        schema: Schema,
        *,
        wait: float = 1.0,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        undecodable_as_bytes: bool = False,
    ) -> None:
        self.path = database_path(path)
        self.name = f"the {schema.kind} {self.path or 'in memory'}"
        self._opener = Opener(
            path=self.path,
            name=self.name,
            schema=schema,
            wait=wait,
            synchronous=synchronous,
            undecodable_as_bytes=undecodable_as_bytes,
        )
        self._wait = self._waiting = wait
        self.openings = 0
        self._opened: Opened | None = None
        self._last_file: Identity = ()
        self._said_moved = False
        self._log_left = 0  # the size of a log that could not be emptied
        self._uses = 0
        self._pid = os.getpid()
        self._lock = ProcessLock()
        at_fork(self)

    @contextmanager
    def connection(self, *, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """Use the connection in this thread only; every statement is committed separately.

        `wait` replaces the database's own for this use, and also limits the wait for threads.
        """
        if not self._lock.acquire(-1 if wait is None else wait):
            raise BusyError(f"{self.name} is in use by another thread")
        try:
            self._leave_to_parent()
            self._uses += 1
            try:
                connection = self._connected()
                seconds = self._wait if wait is None else wait
                if self._waiting != seconds:
                    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
                    self._waiting = seconds
                yield connection
            except (sqlite3.Error, OSError) as error:
                raise self._failure(error) from error
            finally:
                self._uses -= 1
                if not self._uses and self._opened is not None and self._opened.how == "immutable":
                    self._release()
        finally:
            self._lock.release()

    @contextmanager
    def transaction(self, *, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """Commit everything in the block or nothing, with no other writer in between.

        If most of the file is free then, some of it is given back to the disk.
        """
        with self.connection(wait=wait) as connection:
            with transaction(connection):
                yield connection
            self._give_some_back(connection)
            self._keep_log_small(connection)

    def last_change(self) -> Identity | None:
        """Return what differs once any process has written to the file; None in memory."""
        return None if self.path is None else Place.of(self.path).content()

    def open(self) -> None:
        """Open the file now and check it."""
        with self.connection():
            pass

    def shrink(self) -> None:
        """Give free pages back to the disk, and empty the log, which still holds deleted text.

        Best effort: if the file is locked, read or cannot be written just now, the next call does
        it. A file of an earlier release is written again as a whole, unless that takes seconds.
        """
        with suppress(StoreError), self.connection(wait=_SHRINK_WAIT_S) as connection:
            _give_back_all(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; a later use reopens it. A database in memory is lost."""
        with self._lock:
            self._leave_to_parent()
            self._release()

    def before_fork(self, timeout: float) -> bool:
        """See `ForkAware`: acquire the lock and close the file; False if it stays in use."""
        if not self._lock.acquire(timeout):
            return False
        self._leave_to_parent()
        if self._uses:
            self._lock.release()
            return False
        if self.path is not None:
            self._release()
        return True

    def after_fork(self, *, child: bool) -> None:
        """See `ForkAware`."""
        if child:
            # The child has its own copy of memory, which no thread was changing.
            self._pid = os.getpid()
            if self._opened is not None:
                self._opened.connection.pid = self._pid
        # The thread that forks holds it in the child too, whose other threads need it.
        self._lock.release()

    def _give_some_back(self, connection: sqlite3.Connection) -> None:
        """Take some milliseconds at most, and never raise: what was written is written."""
        with suppress(sqlite3.Error):
            free = _number_of(connection, "freelist_count")
            if free > _PAGES_KEPT and 2 * free > _number_of(connection, "page_count"):
                connection.execute("PRAGMA busy_timeout = 0")
                self._waiting = 0.0
                _vacuum(connection)

    def _keep_log_small(self, connection: sqlite3.Connection) -> None:
        """Empty a log that has grown large; never raise: what was written is written.

        SQLite by itself begins the log again only when nobody reads or writes, a moment that does
        not come while several processes write without pause. Somebody who reads an older state for
        long keeps the log from being emptied; then it is tried again after some more writes.
        """
        opened = self._opened
        if opened is None or opened.place is None or opened.how != "write":
            return
        size = size_of(opened.place.log)
        if size < self._log_left:
            self._log_left = 0
        if size < max(_LOG_BYTES, self._log_left + _LOG_MORE):
            return
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout = {round(_LOG_WAIT_S * 1000)}")
            self._waiting = _LOG_WAIT_S
            failed, pages, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            # -1 pages: another process is at it, which took no time to find out.
            self._log_left = size if failed and pages >= 0 else 0

    def _connected(self) -> sqlite3.Connection:
        opened = self._opened
        if opened is not None and self._uses == 1 and not opened.is_at(self.path):
            self._release()
            opened = None
        if opened is None:
            opened = self._opened = self._open()
            self._waiting = self._wait
            # A file that cannot be written is opened for each use; the same one has not changed.
            if opened.how in ("write", "read") or opened.file != self._last_file:
                self.openings += 1
            self._last_file = opened.file
        return opened.connection

    def _open(self) -> Opened:
        """Open the file; once more if it was moved just then."""
        try:
            return self._opener.open()
        except BusyError:
            return self._opener.open()

    def _failure(self, error: sqlite3.Error | OSError) -> StoreError:
        """Return the error to raise; close the file if it must be checked before its next use."""
        code = code_of(error)
        if code in _REOPEN and self.path is not None and self._uses == 1:
            self._release()
        advice = _ADVICE.get(code, "see the reason given")
        if isinstance(error, OSError):
            advice = advice_for(error)
        kind = BusyError if code in BUSY else StoreError
        return kind(f"{self.name} cannot be used ({error}); {advice}")

    def _release(self) -> None:
        """Close the file; say so once if it is no longer at its path."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if opened.close(self.path) and not self._said_moved:
            self._said_moved = True
            message = (
                f"{self.name} was moved, deleted or replaced: what was in it is no longer used; "
                "from now on the file at this path is, or a new one"
            )
            emit(Notice(component=__name__, message=message))

    def _leave_to_parent(self) -> None:
        """In a child forked while a thread used the connection: drop it without closing it."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._uses = 0
        if self._opened is not None:
            inherited.append(self._opened.connection)
            self._opened = None


def _give_back_all(connection: sqlite3.Connection) -> None:
    free = _number_of(connection, "freelist_count")
    if _number_of(connection, "auto_vacuum") != _INCREMENTAL:
        if free and _number_of(connection, "page_count") - free < _PAGES_TO_WRITE_AGAIN:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
        return
    while free > 0:
        _vacuum(connection)
        before, free = free, _number_of(connection, "freelist_count")
        if free >= before:
            return


def _vacuum(connection: sqlite3.Connection) -> None:
    # As a script: `execute` would end this statement, which returns no rows, after its first page.
    connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")


def _number_of(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
