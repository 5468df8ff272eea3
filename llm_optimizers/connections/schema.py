"""The tables of an SQLite file: created in a new file, checked or migrated in an existing one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from llm_optimizers.errors import SchemaError

__all__ = ["Migration", "Schema", "transaction"]

Migration: TypeAlias = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of one kind of file.

    `kind` names it in messages ("cost ledger"). `version` and `application_id` are written into
    the file's header (https://www.sqlite.org/pragma.html: user_version, application_id).
    `migrations[n]` changes a file from version n to n + 1; all needed run in one transaction.
    """

    kind: str
    version: int
    application_id: int
    statements: tuple[str, ...]
    migrations: Mapping[int, Migration] = field(default_factory=dict)

    def ensure(self, connection: sqlite3.Connection, name: str) -> None:
        """Create the tables of an empty file, or migrate those of an older version.

        Raises:
            SchemaError: the file (called `name` in the message) cannot be used; it was not changed.
        """
        # In a transaction, because another process may be creating the tables right now.
        with transaction(connection, begin="BEGIN"):
            version = self._version(connection, name)
        if version == self.version:
            return
        with transaction(connection):
            # Read again under the lock, because another process may have been faster.
            version = self._version(connection, name)
            if version == 0:
                for statement in self.statements:
                    connection.execute(statement)
            else:
                for step in range(version, self.version):
                    self.migrations[step](connection)
            connection.execute(f"PRAGMA application_id = {self.application_id}")
            connection.execute(f"PRAGMA user_version = {self.version}")

    def _version(self, connection: sqlite3.Connection, name: str) -> int:
        """Return the file's version, 0 if it is empty."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if version == 0:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            foreign = tables > 0
        else:
            # Files of the first releases have no application id.
            foreign = application not in (0, self.application_id)
        if foreign:
            raise SchemaError(
                f"{name} is a database of something else; give the {self.kind} another path"
            )
        if version and not self._can_read(version):
            raise SchemaError(
                f"{name} is of version {version} and this release reads version {self.version}; "
                "upgrade llm-optimizers or give another path"
            )
        return int(version)

    def _can_read(self, version: int) -> bool:
        steps = range(version, self.version)
        return version <= self.version and all(step in self.migrations for step in steps)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Commit everything in the block or nothing, with no other writer in between.

    After "BEGIN" the block only reads, all of it one state of the file.
    """
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A failed statement may have ended the transaction already.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
