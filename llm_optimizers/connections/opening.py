"""Opening an SQLite file: for writing, or only to read where it cannot be written.

What every connection needs is set here: the tables, write-ahead logging, the settings.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_optimizers.arguments import refuse
from llm_optimizers.connections.files import (
    Connection,
    How,
    Identity,
    Place,
    copied_to_memory,
    identity,
    leave,
    plain_connection,
)
from llm_optimizers.connections.paths import file_path
from llm_optimizers.connections.schema import Schema
from llm_optimizers.errors import BusyError, StoreError

__all__ = ["BUSY", "Opened", "Opener", "code_of", "database_path"]

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LOG_BYTES = 2**22  # a log that grew larger shrinks to this size when it begins again
_LONGEST_NAME = 240  # of the 255 of most file systems; SQLite's own files have longer names
_SET_UP_S = 5.0  # to wait for other processes that set up the same new file


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection, and what its file was when it was opened.

    A file without SQLite's locks is compared by its content, since nothing else says that it
    changes.
    """

    connection: Connection
    how: How = "memory"
    place: Place | None = None
    file: Identity = ()

    def is_at(self, path: Path | None) -> bool:
        """Whether the path still leads to this file."""
        if path is None or self.place is None:
            return True
        if self.how in ("write", "read"):
            return identity(path, self.place.log) == self.file
        return self.how == "copy" and Place.of(path).content() == self.file

    def close(self, path: Path | None) -> bool:
        """Close the connection; return whether its file is no longer at the path."""
        moved = False
        if self.how == "write" and self.place is not None and path is not None:
            moved = leave(self.connection, path, self.place, self.file)
        self.connection.close()
        return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """How the connections of one database are opened; `name` is for messages, see `Database`."""

    path: Path | None
    name: str
    schema: Schema
    wait: float
    synchronous: Literal["NORMAL", "FULL"]
    undecodable_as_bytes: bool

    def open(self) -> Opened:
        """Open the file, or memory; a new file is created.

        Raises:
            SchemaError: the file belongs to another program or version.
            StoreError, sqlite3.Error, OSError: it cannot be opened.
        """
        if self.path is None:
            return Opened(connection=self._ready(plain_connection(":memory:")))
        place = Place.of(self.path)
        with place.made():
            return self._open_at(place)

    def _open_at(self, place: Place) -> Opened:
        if not place.is_ordinary():
            raise StoreError(f"{self.name} is no file: give another path, or move it away")
        how = place.how()
        if how == "write":
            return self._open_with_locks(place, how)
        if how == "read":
            try:
                return self._open_with_locks(place, how)
            except sqlite3.OperationalError as error:  # the index is of no use
                if code_of(error) in BUSY:
                    raise
        return self._open_without_locks(place, how)

    def _open_with_locks(self, place: Place, how: How) -> Opened:
        before, _ = identity(place.file, place.log)
        try:
            if how == "write":
                connection = self._ready(plain_connection(str(place.file), wait=self.wait))
            else:
                connection = self._ready(self._reading(place, "mode=ro"))
        except sqlite3.Error as error:
            if identity(place.file, place.log)[0] != before:
                raise self._moved() from error
            raise
        file = identity(place.file, place.log)
        if file[0] != before:
            # Which of the two files is open is not known.
            connection.close()
            raise self._moved()
        return Opened(connection=connection, how=how, place=place, file=file)

    def _open_without_locks(self, place: Place, how: How) -> Opened:
        content = place.content()
        if how == "immutable":
            with suppress(sqlite3.OperationalError):  # tables of an earlier version
                connection = self._ready(self._reading(place, "immutable=1"))
                return Opened(connection=connection, how=how, place=place, file=content)
        copy = copied_to_memory(place)
        if place.content() != content:
            copy.close()
            raise BusyError(f"{self.name} is being written just now: try again")
        connection = self._ready(copy)
        connection.execute("PRAGMA query_only = ON")
        return Opened(connection=connection, how="copy", place=place, file=content)

    def _moved(self) -> BusyError:
        return BusyError(f"{self.name} was moved or replaced while it was opened: try again")

    def _reading(self, place: Place, option: str) -> Connection:
        return plain_connection(f"{place.file.as_uri()}?{option}", wait=self.wait, uri=True)

    def _ready(self, connection: Connection) -> Connection:
        try:
            connection.row_factory = sqlite3.Row
            if self.undecodable_as_bytes:
                connection.text_factory = _text_or_bytes
            self._set_up(connection)
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Create or migrate the tables if necessary, and switch to write-ahead logging."""
        deadline = time.monotonic() + _SET_UP_S
        while True:
            try:
                if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                self.schema.ensure(connection, self.name)
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                if mode not in ("wal", "memory"):
                    connection.execute("PRAGMA journal_mode = WAL")
                # Now the log is there, and stays until the file is closed.
                connection.execute("PRAGMA user_version").fetchone()
            except sqlite3.OperationalError as error:
                # SQLite itself does not wait for another process that changes the journal mode.
                if code_of(error) not in BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def database_path(path: object, *, url: str | None = None) -> Path | None:
    """Check the argument `path` of a store; return the absolute path, None for memory.

    `url` is as in `file_path`.

    Raises:
        ConfigurationError: it can be no database's path.
    """
    if path is None or (isinstance(path, str | os.PathLike) and os.fspath(path) == ":memory:"):
        return None
    checked = file_path("path", path, url=url)
    if len(os.fsencode(checked.name)) > _LONGEST_NAME:
        refuse("path", checked.name, f"a name of at most {_LONGEST_NAME} bytes")
    if os.path.exists(checked) and not os.path.isfile(checked):  # noqa: PTH110, PTH113 - no errors
        refuse("path", str(checked), "the path of a file, not of a pipe or a device")
    return checked


def code_of(error: Exception) -> int:
    """Return SQLite's primary result code, 0 for another error."""
    if isinstance(error, OSError):
        return sqlite3.SQLITE_CANTOPEN
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
