"""SQLite files: which file is at a path, how it may be opened, and what lies beside it.

SQLite keeps a file's latest changes in a log beside it (`-wal`) with an index of the log (`-shm`),
found by name (https://www.sqlite.org/wal.html). If only the file itself is moved or replaced, its
log stays behind, and SQLite would read it as the log of the next file of that name.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Literal, TypeAlias

from llm_optimizers.connections.paths import make_file, make_folders
from llm_optimizers.events import Notice, emit

__all__ = [
    "How",
    "Identity",
    "Place",
    "copied_to_memory",
    "inherited",
    "leave",
    "plain_connection",
    "size_of",
]


Identity: TypeAlias = tuple[tuple[int, ...] | None, ...]
"""What tells files apart: of the file and of its log, None where there is none."""
How: TypeAlias = Literal["memory", "write", "read", "immutable", "copy"]
"""How a database is open."""

_WAL_HEADER = 32  # bytes; a log of this size holds no change
_LARGEST_COPY = 2**28
_FOLDER_LOCK_S = 1.0
_LEAVE_MS = 250

inherited: list[sqlite3.Connection] = []
"""Connections of a parent process. SQLite forbids even closing them; references prevent that."""


class Connection(sqlite3.Connection):
    """A connection that closes when nothing refers to it any more; Python 3.13 warns otherwise.

    Closing it from the database's finaliser would be too late: in a reference cycle the garbage
    collector may finalise the connection first.
    """

    pid = 0  # of the process that may close it; 0 until it is open

    def __del__(
        self,
        # Defaults, since a module's names may be gone when the interpreter ends.
        getpid: Callable[[], int] = os.getpid,
        keep: Callable[[sqlite3.Connection], None] = inherited.append,
    ) -> None:
        if self.pid == getpid():
            self.close()
        elif self.pid:
            keep(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a path leads now: the file itself, its log, and the log's index.

    The path may be a symbolic link; SQLite's own files lie beside what it leads to.
    """

    file: Path
    log: str
    index: str
    journal: str

    @classmethod
    def of(cls, path: Path) -> Place:
        """Return the place of a path."""
        real = os.path.realpath(path)
        return cls(
            file=Path(real), log=f"{real}-wal", index=f"{real}-shm", journal=f"{real}-journal"
        )

    @contextmanager
    def made(self) -> Iterator[None]:
        """Create an empty file, and its folders, if there is none; SQLite treats it as new.

        No other process creates one during the block, in which the file is to be opened: SQLite
        opens the file and then, by name, its log, which must not be another file's by then.
        """
        make_folders(self.file.parent)
        with _folder_locked(self.file.parent):
            if not self.file.exists():
                _put_left_log_aside(self)
                make_file(self.file)
            yield

    def is_ordinary(self) -> bool:
        """Whether a file is here: no folder, no pipe, no device."""
        return self.file.is_file()

    def how(self) -> How:
        """Return how to open the file.

        Where the file or its folder cannot be written, nothing is changed. SQLite reads the file
        if the index of its log is there, which it must not create. Without a log, `immutable=1`
        makes it do without an index. A log without an index can only be read in a copy.
        """
        if _writable(self.file) and _writable(self.file.parent):
            return "write"
        if size_of(self.index) and os.path.exists(self.log):  # noqa: PTH110 - a text
            return "read"
        left = size_of(self.log) > _WAL_HEADER or size_of(self.journal)
        return "copy" if left else "immutable"

    def content(self) -> Identity:
        """Return what changes whenever the file or its log does."""
        return (_content(self.file), _content(self.log))


def identity(file: str | Path, log: str) -> Identity:
    """Return the device and inode numbers of a file and its log; paid at every use."""
    return (_inode(file), _inode(log))


def leave(connection: sqlite3.Connection, path: Path, place: Place, opened: Identity) -> bool:
    """Prepare to close a connection; return whether its file is no longer at its path.

    The log of a file that was moved is written into the file, and removed where it was, before
    SQLite takes it for the next file's. It stays if another process reads it just now.
    """
    if identity(path, place.log) == opened:
        return False
    with _folder_locked(place.file.parent):
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout = {_LEAVE_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        moved = _inode(path) != opened[0]
        if moved and opened[1] is not None and _inode(place.log) == opened[1]:
            for name in (place.log, place.index):
                with suppress(OSError):
                    os.unlink(name)  # noqa: PTH108 - a text
    return moved


def copied_to_memory(place: Place) -> Connection:
    """Return a copy of a file, with the changes in its log, as a database in memory.

    Raises:
        OSError: the file or the copy's folder fails, or the file is too large.
    """
    sizes = size_of(place.file) + size_of(place.log)
    if sizes > _LARGEST_COPY:
        raise OSError(
            f"its log was never written into it, and it is too large ({sizes:,} bytes) for a copy "
            "in memory; open it once where it can be written"
        )
    memory = plain_connection(":memory:")
    try:
        with tempfile.TemporaryDirectory(prefix="llm-optimizers-") as folder:
            copy = Place.of(Path(folder) / "copy")
            for source, target in (
                (place.file, copy.file),
                (place.log, copy.log),
                (place.journal, copy.journal),
            ):
                if os.path.exists(source):  # noqa: PTH110 - some are texts
                    copyfile(source, target)
            with closing(plain_connection(str(copy.file))) as opened:
                opened.backup(memory)
    except BaseException:
        memory.close()
        raise
    return memory


def plain_connection(target: str, *, wait: float = 0.0, **options: bool) -> Connection:
    """Return a connection for all threads, whose statements are committed separately."""
    connection = sqlite3.connect(
        target,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
        **options,
    )
    connection.pid = os.getpid()
    return connection


def _put_left_log_aside(place: Place) -> None:
    """Keep a log whose file is gone: SQLite would delete it when it opens the next file here."""
    with suppress(OSError):
        os.unlink(place.index)  # noqa: PTH108 - a text
    if size_of(place.log) > _WAL_HEADER:
        kept = f"{place.log}.{uuid.uuid4().hex[:8]}"
        os.replace(place.log, kept)  # noqa: PTH105 - as above
        message = (
            f"{place.file} is gone and its log was left behind, with changes that are in no other "
            f"file. It was kept as {kept}: to read them, put it beside the moved file, with that "
            "file's name and -wal at its end."
        )
        emit(Notice(component=__name__, message=message))


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Let one process at a time create files in the folder; go on without a lock that fails."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        deadline = time.monotonic() + _FOLDER_LOCK_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                break  # a file system without such locks
        yield
    finally:
        os.close(descriptor)


def _writable(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)


def _inode(path: str | Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat(), paid at every use
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _content(path: str | Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def size_of(path: str | Path) -> int:
    """Return the size of a file, 0 if there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as above
    except OSError:
        return 0
