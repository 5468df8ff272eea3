"""The SQLite connection of every store that has a file.

Write-ahead logging (https://www.sqlite.org/wal.html) lets readers go on while one process writes.
A process killed during a write leaves the last committed state.

A `Database` has one connection for all threads, guarded by a lock. Each use runs a few short
statements, so one connection per thread would save little waiting, cost a file handle per thread,
and could not share a database in memory.

SQLite forbids using a connection after a fork (https://www.sqlite.org/howtocorrupt.html, 2.6), so
files are closed before a fork and reopened on their next use, in the parent or the child. Because
of the same page (2.2), only SQLite itself opens and closes an existing file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_optimizers.connections.forks import ProcessLock, at_fork
from llm_optimizers.connections.schema import Schema, transaction
from llm_optimizers.errors import BusyError, StoreError

__all__ = ["Database", "Schema", "absolute_path"]

_SET_UP_S = 5.0  # to wait for other processes that set up the same new file
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
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


# SQLite forbids even closing an inherited connection; references kept here prevent that.
_inherited: list[sqlite3.Connection] = []


class _Connection(sqlite3.Connection):
    """A connection that closes when nothing refers to it any more; Python 3.13 warns otherwise.

    Closing it from the database's finaliser would be too late: in a reference cycle the garbage
    collector may finalise the connection first.
    """

    pid = 0  # of the process that may close it; 0 until it is open

    def __del__(
        self,
        # Defaults, since a module's names may be gone when the interpreter ends.
        getpid: Callable[[], int] = os.getpid,
        keep: Callable[[sqlite3.Connection], None] = _inherited.append,
    ) -> None:
        if self.pid == getpid():
            self.close()
        elif self.pid:
            keep(self)


@dataclass(slots=True, kw_only=True)
class _Opened:
    """A connection, and the device and inode numbers of its file."""

    connection: _Connection
    file: tuple[int, int] | None = None
    immutable: bool = False


class Database:
    """One SQLite file, or memory without a `path`; opened on first use.

    Safe to share between threads, event loops and forked processes; other processes may use the
    same file. A new file is readable by its owner only (mode 0600, as are SQLite's files beside
    it); missing folders are created. A file that was moved or deleted is replaced by a new one. A
    file that cannot be written can still be read.

    Args:
        path: the file; `~` is the user's home.
        schema: its tables.
        wait: seconds to wait for another process that is writing.
        synchronous: "NORMAL" survives a killed process, "FULL" also a power failure.
        undecodable_as_bytes: text that is not UTF-8 is returned as bytes, so that the store can
            check each row, instead of failing the statement.

    `openings` counts how often the file was opened: each time it may be another file.

    Raises (from every use):
        SchemaError: the file belongs to another program or version; it was not changed.
        BusyError: another process locked the file for longer than `wait`.
        StoreError: the file cannot be opened, read or written; the message says what to do.
    """

    def __init__(
        self,
        path: str | Path | None,
        schema: Schema,
        *,
        wait: float = 1.0,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        undecodable_as_bytes: bool = False,
    ) -> None:
        self.path = absolute_path(path)
        self.name = f"the {schema.kind} {self.path or 'in memory'}"
        self._schema = schema
        self._wait = wait
        self._waiting = wait
        self._synchronous = synchronous
        self._undecodable_as_bytes = undecodable_as_bytes
        self.openings = 0
        self._opened: _Opened | None = None
        self._last_file: tuple[int, int] | None = None
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
                if self._opened is not None and self._opened.immutable:
                    self._release()
        finally:
            self._lock.release()

    @contextmanager
    def transaction(self, *, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """Commit everything in the block or nothing, with no other writer in between."""
        with self.connection(wait=wait) as connection, transaction(connection):
            yield connection

    def open(self) -> None:
        """Open the file now and check it."""
        with self.connection():
            pass

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
        else:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        opened = self._opened
        if opened is not None and _file_at(self.path) != opened.file:
            self._release()
            opened = None
        if opened is None:
            opened = self._opened = self._open()
            # A file that cannot be written is opened for each use; the same one has not changed.
            if not opened.immutable or opened.file != self._last_file:
                self.openings += 1
            self._last_file = opened.file
        return opened.connection

    def _open(self) -> _Opened:
        if self.path is None:
            return _Opened(connection=self._checked(":memory:"))
        _make(self.path)
        try:
            return _Opened(connection=self._checked(str(self.path)), file=_file_at(self.path))
        except sqlite3.OperationalError as error:
            wal = self.path.with_name(f"{self.path.name}-wal")
            writable = os.access(self.path.parent, os.W_OK)
            if _code(error) in _BUSY or writable or wal.exists() or not self.path.is_file():
                raise
        # In a folder that cannot be written, SQLite cannot create its files beside this one.
        # `immutable` makes it do without; there is no write-ahead log whose data would be missed.
        return _Opened(
            connection=self._checked(f"{self.path.as_uri()}?immutable=1", uri=True),
            file=_file_at(self.path),
            immutable=True,
        )

    def _checked(self, target: str, **options: bool) -> _Connection:
        self._waiting = self._wait
        connection = sqlite3.connect(
            target,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
            **options,
        )
        connection.pid = self._pid
        try:
            connection.row_factory = sqlite3.Row
            if self._undecodable_as_bytes:
                connection.text_factory = _text_or_bytes
            self._set_up(connection)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Create or migrate the tables if necessary, and switch to write-ahead logging."""
        deadline = time.monotonic() + _SET_UP_S
        while True:
            try:
                self._schema.ensure(connection, self.name)
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                if mode not in ("wal", "memory"):
                    connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # SQLite itself does not wait for another process that changes the journal mode.
                if _code(error) not in _BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _failure(self, error: sqlite3.Error | OSError) -> StoreError:
        """Return the error to raise; close the file if it must be checked before its next use."""
        code = _code(error)
        if code in _REOPEN and self.path is not None and self._uses == 1:
            self._release()
        advice = _ADVICE.get(code, "see the reason given")
        kind = BusyError if code in _BUSY else StoreError
        return kind(f"{self.name} cannot be used ({error}); {advice}")

    def _release(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.connection.close()

    def _leave_to_parent(self) -> None:
        """In a child forked while a thread used the connection: drop it without closing it."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._uses = 0
        if self._opened is not None:
            _inherited.append(self._opened.connection)
            self._opened = None


def absolute_path(path: str | Path | None) -> Path | None:
    """Return the file that a path means now, in any working directory; None for memory."""
    in_memory = path is None or str(path) == ":memory:"
    return None if in_memory else Path(path or "").expanduser().absolute()


def _make(path: Path) -> None:
    """Create an empty file, and its folders, if there is none; SQLite treats it as new."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _file_at(path: Path | None) -> tuple[int, int] | None:
    """Return the device and inode numbers of the file at the path, None if there is no file."""
    if path is None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat(), paid at every use
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for another error."""
    if isinstance(error, OSError):
        return sqlite3.SQLITE_CANTOPEN
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
