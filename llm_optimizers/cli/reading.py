"""Read a store's file without changing anything on disk.

Opening a store may create, migrate or lock its file, and SQLite leaves files beside it. So commands
that only show something open a copy in a temporary folder of this user. It works on a read-only
disk, on another user's file, and beside a process that is writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from llm_optimizers.costs.ledger.endings import known_writers
from llm_optimizers.errors import BusyError, StoreError

__all__ = ["copy_to_read", "existing_file"]

_WAIT_S = 2.0  # for a process that has locked the file
_TRIES = 5  # while a process that has just started writes to it
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def existing_file(path: Path, kind: str) -> None:
    """Check that there is a file with something in it; `kind` is what it should be.

    Raises:
        StoreError: there is none, or it is empty; says what to do.
    """
    if not path.is_file():
        raise StoreError(f"there is no {kind} at {path}; give the path that the app writes to")
    if path.stat().st_size == 0:
        raise StoreError(f"{path} is empty; give the path of a {kind} that was written")


@contextmanager
def copy_to_read(path: Path, kind: str) -> Iterator[Path]:
    """Yield a copy of an SQLite file, with the changes in its log; errors name the file itself.

    Args:
        path: the file.
        kind: what it should be, for messages, such as "cost ledger".

    Raises:
        BusyError: another process has locked it.
        StoreError: there is no such file, or it cannot be read; says what to do.
    """
    known_writers.write_all()  # what a program that runs commands itself has recorded
    existing_file(path, kind)
    with TemporaryDirectory(prefix="llm-optimizers-") as folder:
        copy = Path(folder) / "copy"
        try:
            _copy(path, copy)
        except (sqlite3.Error, OSError) as error:
            raise _failure(error, path, kind) from error
        try:
            yield copy
        except StoreError as error:
            raise StoreError(str(error).replace(str(copy), str(path))) from error


def _copy(path: Path, copy: Path) -> None:
    """Copy the file as of one moment, in the way that leaves nothing beside it."""
    for _ in range(_TRIES):
        before = _state(path)
        _beside(copy, "-wal").unlink(missing_ok=True)
        log, index, journal = (_beside(path, end) for end in ("-wal", "-shm", "-journal"))
        if (log.exists() and index.exists()) or journal.exists():
            _back_up(path, copy)
            return
        if log.exists():
            # Of a process that was killed; SQLite would create the index to read the log.
            copyfile(log, _beside(copy, "-wal"))
        copyfile(path, copy)
        # Without locks: it was not written to in between, or it is read again.
        if _state(path) == before:
            return
    raise StoreError(f"{path} is being written to; try again")


def _back_up(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    source = f"{path.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True, timeout=_WAIT_S)) as opened,
        closing(sqlite3.connect(copy)) as target,
    ):
        # The lock is taken here, where it is waited for only so long.
        opened.execute("BEGIN")
        opened.execute("SELECT count(*) FROM sqlite_master").fetchone()
        opened.backup(target)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _state(path: Path) -> tuple[object, ...]:
    found = path.stat()
    beside = tuple(_beside(path, end).exists() for end in ("-wal", "-shm", "-journal"))
    return found.st_ino, found.st_size, found.st_mtime_ns, beside


def _failure(error: sqlite3.Error | OSError, path: Path, kind: str) -> StoreError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
        return BusyError(f"{path} is locked by another process; wait for it or stop it")
    advice = f"give the path of a {kind}"
    if isinstance(error, PermissionError):
        advice = "let this user read it"
    return StoreError(f"{path} cannot be read ({error}); {advice}")
