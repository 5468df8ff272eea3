"""What keeps a ledger's SQLite file in order: counts, known ids, old notes, damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from llm_optimizers.costs.ledger.fields import text
from llm_optimizers.costs.ledger.store import Counts, Entry
from llm_optimizers.costs.ledger.words import packed
from llm_optimizers.costs.records import LedgerNote

__all__ = ["counts", "delete_notes", "known", "problems", "pruned_hours"]

_AT_ONCE = 500
_SHOWN = 10


def counts(connection: sqlite3.Connection, before: int) -> Counts:
    """Return how many calls and notes are older than a time."""
    (calls,) = connection.execute("SELECT count(*) FROM calls WHERE time < ?", (before,)).fetchone()
    notes = connection.execute(
        "SELECT kind, count(*) FROM notes WHERE time < ? GROUP BY kind", (before,)
    )
    return Counts(calls=calls, notes={str(kind): count for kind, count in notes})


def pruned_hours(connection: sqlite3.Connection) -> frozenset[int]:
    """Return the hours whose calls were deleted."""
    found = connection.execute("SELECT hour FROM hours WHERE pruned")
    return frozenset(hour for (hour,) in found)


def known(connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
    """Return how many of some entries are stored already, by their ids."""
    notes = [text(each.id) for each in entries if isinstance(each, LedgerNote)]
    calls = [packed(text(each.id)) for each in entries if not isinstance(each, LedgerNote)]
    return _found(connection, "notes", notes) + _found(connection, "calls", calls)


def delete_notes(
    connection: sqlite3.Connection, before: int, kinds: Sequence[str], most: int
) -> int:
    """Delete at most `most` notes of some kinds that are older than a time."""
    marks = ",".join("?" * len(kinds))
    done = connection.execute(
        "DELETE FROM notes WHERE seq IN (SELECT seq FROM notes "  # noqa: S608 - marks only
        f"WHERE kind IN ({marks}) AND time < ? LIMIT ?)",
        (*map(text, kinds), before, most),
    )
    return done.rowcount


def problems(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong in the file (https://www.sqlite.org/pragma.html)."""
    found = connection.execute(f"PRAGMA quick_check({_SHOWN})").fetchall()
    return [str(line) for (line,) in found if line != "ok"]


def _found(connection: sqlite3.Connection, table: str, ids: Sequence[object]) -> int:
    total = 0
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        (count,) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE id IN ({marks})",  # noqa: S608 - marks only
            some,
        ).fetchone()
        total += count
    return total
