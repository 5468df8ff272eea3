"""A store in one SQLite file: survives restarts, shared by the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from llm_optimizers.caching.stores.protocol import Entry, VectorRow, VectorRows
from llm_optimizers.caching.stores.rows import (
    COLUMNS,
    entry_from_row,
    row_from_entry,
    vector_from_blob,
)
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import StoreError
from llm_optimizers.forks import ProcessLock

__all__ = ["SQLiteStore"]

_WAIT = 0.25  # seconds to wait for another process that is writing
_PENDING_TOUCHES = 64
_EXPIRED_AT_ONCE = 100
_AGE = "(SELECT coalesce(max(CAST(age AS REAL)), 0.0) FROM aging)"  # also if its row is damaged
_SCHEMA = Schema(
    kind="cache file",
    version=1,
    application_id=int.from_bytes(b"LLMa"),
    statements=(
        """CREATE TABLE entries (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE, normalised TEXT, scope TEXT NOT NULL, tenant TEXT NOT NULL,
        question TEXT, payload TEXT NOT NULL, vector BLOB, created REAL NOT NULL, expires REAL,
        model TEXT NOT NULL, usage TEXT, hits INTEGER NOT NULL DEFAULT 0,
        priority REAL NOT NULL, used REAL NOT NULL)""",
        "CREATE INDEX by_normalised ON entries (normalised) WHERE normalised IS NOT NULL",
        "CREATE INDEX by_priority ON entries (priority, used)",
        "CREATE TABLE aging (one INTEGER PRIMARY KEY CHECK (one = 1), age REAL NOT NULL)",
        "INSERT INTO aging VALUES (1, 0.0)",
    ),
)


class SQLiteStore:
    """A store in the file at `path`, which is created with its folders on first use.

    Hits are counted in memory and written in batches, so that a lookup only reads. Entries are
    evicted as in `MemoryStore`; expired ones are deleted, some at each save. The room of deleted
    entries is given back to the disk, and their text is overwritten. `removed` is called with the
    keys of entries that this process replaces, evicts or deletes, but not at a `clear`.
    """

    blocking = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_entries: int = 10_000,
        removed: Callable[[str], None] | None = None,
    ) -> None:
        self._removed = removed or (lambda _: None)
        self._database = Database(path, _SCHEMA, wait=_WAIT, undecodable_as_bytes=True)
        self._max_entries = max_entries
        self._owner = os.getpid()
        self._seen_opening = self._indexed_opening = 0
        self._highest = 0
        self._generations = 0
        self._touches: dict[str, tuple[int, float]] = {}
        self._lock = ProcessLock()

    def fetch(self, key: str, normalised: str | None = None) -> Entry | None:
        """See `Store.fetch`."""
        with self._database.connection() as connection:
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
        return None if row is None else entry_from_row(row)

    def save(self, entry: Entry) -> None:
        """See `Store.save`."""
        with self._database.transaction() as connection:
            removed = self._save(connection, entry)
        self._indexed_opening = self._database.openings
        for key in removed:
            self._removed(key)

    def touch(self, key: str, now: float) -> None:
        """See `Store.touch`."""
        with self._lock:
            touches = self._own_touches()
            hits, _ = touches.get(key, (0, now))
            touches[key] = (hits + 1, now)
            due = len(touches) >= _PENDING_TOUCHES
        if due:
            with self._database.transaction() as connection:
                self._write_touches(connection)

    def delete(self, keys: Collection[str]) -> None:
        """See `Store.delete`."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])
            # A key that is no text was read as bytes, and never equals a text.
            connection.executemany(
                "DELETE FROM entries WHERE CAST(key AS BLOB) = ?",
                [(key,) for key in keys if type(key) is not str],
            )
        for key in keys:
            self._removed(key)

    def clear(self, tenant: str | None = None) -> None:
        """See `Store.clear`."""
        with self._database.transaction() as connection:
            self._take_touches()
            if tenant is None:
                # The pages leave the file at once: a full disk has no room for zeros in them.
                connection.execute("PRAGMA secure_delete = FAST").fetchall()
                try:
                    connection.execute("DELETE FROM entries")
                finally:
                    connection.execute("PRAGMA secure_delete = ON").fetchall()
            else:
                connection.execute("DELETE FROM entries WHERE tenant = ?", (tenant,))
        self._database.shrink()

    def vectors(self, after: int, generation: int = 0) -> VectorRows:
        """See `Store.vectors`."""
        with self._database.connection() as connection:
            now = self._generation(connection)
            rows = connection.execute(
                "SELECT sequence, key, scope, vector FROM entries"
                " WHERE sequence > ? AND vector IS NOT NULL ORDER BY sequence",
                (after if now == generation else 0,),
            ).fetchall()
        return VectorRows(
            generation=now,
            rows=[
                VectorRow(sequence=sequence, key=key, scope=scope, vector=vector_from_blob(blob))
                for sequence, key, scope, blob in rows
            ],
        )

    def stored(self, sequences: Collection[int]) -> Mapping[int, str]:
        """See `Store.stored`."""
        wanted = ", ".join("?" * len(sequences))
        with self._database.connection() as connection:
            return dict(
                connection.execute(
                    f"SELECT sequence, key FROM entries WHERE sequence IN ({wanted})",  # noqa: S608
                    tuple(sequences),
                ).fetchall()
            )

    def _generation(self, connection: sqlite3.Connection) -> int:
        """Return a number that grows when the file may be another, or an older copy of it.

        That is so once it was opened again, or its highest sequence has gone back.
        """
        (highest,) = connection.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'entries'), 0),"
            " coalesce((SELECT max(sequence) FROM entries), 0))"
        ).fetchone()
        with self._lock:
            opened = self._database.openings
            if opened != self._seen_opening or highest < self._highest:
                self._generations += 1
            self._seen_opening, self._highest = opened, highest
            return self._generations

    def __len__(self) -> int:
        with self._database.connection() as connection:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    def close(self) -> None:
        """See `Store.close`."""
        try:
            if self._own_touches():
                with suppress(StoreError), self._database.transaction() as connection:
                    self._write_touches(connection)
        finally:
            self._database.close()

    def _save(self, connection: sqlite3.Connection, entry: Entry) -> list[str]:
        """Write an entry; return the keys of those that are gone for it."""
        self._write_touches(connection)
        removed = self._delete_expired(connection, entry.created)
        (age,) = connection.execute(f"SELECT {_AGE}").fetchone()
        if connection.execute("DELETE FROM entries WHERE key = ?", (entry.key,)).rowcount:
            removed.append(entry.key)
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        if count >= self._max_entries:
            age, evicted = _evict(connection, count - self._max_entries + 1)
            removed += evicted
        connection.execute(
            f"INSERT INTO entries ({COLUMNS}, priority, used)"  # noqa: S608 - a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row_from_entry(entry), age + 1.0, entry.created),
        )
        return removed

    def _delete_expired(self, connection: sqlite3.Connection, now: float) -> list[str]:
        """Delete some expired entries, which nobody may ask for again; return their keys."""
        if self._indexed_opening != self._database.openings:
            # Not in the schema: files of earlier releases get it too, and those can read on.
            connection.execute(
                "CREATE INDEX IF NOT EXISTS by_expiry ON entries (expires)"
                " WHERE expires IS NOT NULL"
            )
        expired = connection.execute(
            "SELECT sequence, key FROM entries WHERE expires <= ? LIMIT ?", (now, _EXPIRED_AT_ONCE)
        ).fetchall()
        connection.executemany("DELETE FROM entries WHERE sequence = ?", [(e[0],) for e in expired])
        return [key for _, key in expired]

    def _write_touches(self, connection: sqlite3.Connection) -> None:
        connection.executemany(
            "UPDATE entries SET hits = hits + ?, used = ?,"  # noqa: S608 - a constant
            f" priority = {_AGE} + 1.0 + hits + ? WHERE key = ?",
            [(hits, used, hits, key) for key, (hits, used) in self._take_touches().items()],
        )

    def _take_touches(self) -> dict[str, tuple[int, float]]:
        with self._lock:
            touches, self._touches = self._own_touches(), {}
            return touches

    def _own_touches(self) -> dict[str, tuple[int, float]]:
        """Return this process's pending hits; a forked child leaves its parent's to the parent."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._touches = {}
        return self._touches


def _evict(connection: sqlite3.Connection, surplus: int) -> tuple[float, list[str]]:
    """Remove the least used entries; return the highest priority among them, and their keys.

    That priority is the new age.
    """
    victims = connection.execute(
        "SELECT sequence, CAST(priority AS REAL), key FROM entries ORDER BY priority, used LIMIT ?",
        (surplus,),
    ).fetchall()
    (age,) = connection.execute(f"SELECT max({_AGE}, ?)", (victims[-1][1],)).fetchone()
    connection.executemany("DELETE FROM entries WHERE sequence = ?", [(v[0],) for v in victims])
    connection.execute("INSERT OR REPLACE INTO aging VALUES (1, ?)", (age,))
    return float(age), [victim[2] for victim in victims]
