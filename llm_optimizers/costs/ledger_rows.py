"""The ledger's SQLite tables, and the conversion of records to rows and back.

Dollars are stored as exact decimal text and times in microseconds. Token counts have separate
columns, so that a ledger can be queried with plain SQL.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any

from llm_optimizers.arguments import instance
from llm_optimizers.connections.sqlite import Schema
from llm_optimizers.costs.records import CallRecord, LedgerNote, Saving
from llm_optimizers.costs.usage import Usage

__all__ = [
    "INSERT_CALL",
    "INSERT_NOTE",
    "SCHEMA",
    "SELECT_CALLS",
    "SELECT_NOTES",
    "call_row",
    "micros",
    "note_row",
    "read_call",
    "read_note",
]

_COUNTS = tuple(Usage().as_dict())
_COLUMNS = (
    "id",
    "time",
    "model",
    "provider",
    "tier",
    *_COUNTS,
    "cost",
    "baseline_model",
    "baseline_cost",
    "baseline_usage",
    "hit_strategy",
    "savings",
    "tags",
    "latency_s",
    "status",
    "estimated",
    "error",
)
SCHEMA = Schema(
    kind="cost ledger",
    version=1,
    application_id=int.from_bytes(b"LLMc"),
    statements=(
        f"""CREATE TABLE calls (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
        model TEXT NOT NULL, provider TEXT, tier TEXT NOT NULL,
        {", ".join(f"{name} INTEGER NOT NULL" for name in _COUNTS)},
        cost TEXT, baseline_model TEXT NOT NULL, baseline_cost TEXT, baseline_usage TEXT,
        hit_strategy TEXT, savings TEXT NOT NULL, tags TEXT NOT NULL, latency_s REAL,
        status TEXT NOT NULL, estimated INTEGER NOT NULL, error TEXT)""",
        "CREATE INDEX calls_by_time ON calls (time)",
        """CREATE TABLE notes (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
        kind TEXT NOT NULL, payload TEXT NOT NULL)""",
        "CREATE INDEX notes_by_kind ON notes (kind, time)",
    ),
)
# Everything interpolated below is a constant of this file. A second record with the same id is
# ignored, with one exception: the framework's record of a cache hit (with a latency) replaces the
# cache's own record of it (without), since it holds more.
INSERT_CALL = (
    f"INSERT INTO calls ({', '.join(_COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)} "
    "WHERE calls.hit_strategy IS NOT NULL AND calls.latency_s IS NULL "
    "AND excluded.hit_strategy IS NOT NULL AND excluded.latency_s IS NOT NULL"
)
INSERT_NOTE = "INSERT OR IGNORE INTO notes (id, time, kind, payload) VALUES (?, ?, ?, ?)"
SELECT_CALLS = (
    f"SELECT seq, {', '.join(_COLUMNS)} FROM calls "  # noqa: S608
    "WHERE seq > ? AND time >= ? AND time < ? ORDER BY seq LIMIT ?"
)
SELECT_NOTES = (
    "SELECT seq, id, time, kind, payload FROM notes "
    "WHERE seq > ? AND kind = ? AND time >= ? ORDER BY seq LIMIT ?"
)

_counts = attrgetter(*Usage().as_dict())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime, name: str = "time") -> int:
    """Return whole microseconds since 1970; a time without a zone is taken as UTC.

    Raises:
        ConfigurationError: it is no datetime. `name` is the argument's.
    """
    instance(name, time, datetime, give="a datetime, such as datetime.now(UTC)")
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (aware - _EPOCH) // _MICROSECOND


def call_row(record: CallRecord) -> tuple[Any, ...]:
    """Return the values for `INSERT_CALL`."""
    savings = [[s.strategy, str(s.amount), s.basis] for s in record.savings]
    baseline = record.baseline_usage
    return (
        record.id,
        micros(record.time),
        record.model,
        record.provider,
        record.tier,
        *_counts(record.usage),
        _text(record.cost),
        record.baseline_model,
        _text(record.baseline_cost),
        None if baseline is None else _json(baseline.as_dict()),
        record.hit_strategy,
        _json(savings) if savings else "[]",
        _json(dict(record.tags)) if record.tags else "{}",
        record.latency_s,
        record.status,
        int(record.estimated),
        record.error,
    )


def read_call(row: sqlite3.Row) -> CallRecord:
    """Return the record in a row of `SELECT_CALLS`.

    Raises:
        ValueError, TypeError, ArithmeticError: the row was not written by `call_row`.
    """
    baseline = row["baseline_usage"]
    return CallRecord(
        id=row["id"],
        time=_EPOCH + timedelta(microseconds=row["time"]),
        model=row["model"],
        provider=row["provider"],
        tier=row["tier"],
        usage=Usage(**{name: row[name] for name in _COUNTS}),
        cost=_decimal(row["cost"]),
        baseline_model=row["baseline_model"],
        baseline_cost=_decimal(row["baseline_cost"]),
        baseline_usage=None if baseline is None else Usage(**json.loads(baseline)),
        hit_strategy=row["hit_strategy"],
        savings=tuple(
            Saving(strategy=strategy, amount=Decimal(amount), basis=basis)
            for strategy, amount, basis in json.loads(row["savings"])
        ),
        tags=json.loads(row["tags"]),
        latency_s=row["latency_s"],
        status=row["status"],
        estimated=bool(row["estimated"]),
        error=row["error"],
    )


def note_row(note: LedgerNote) -> tuple[Any, ...]:
    """Return the values for `INSERT_NOTE`."""
    return note.id, micros(note.time), note.kind, _json(dict(note.payload))


def read_note(row: sqlite3.Row) -> LedgerNote:
    """Return the note in a row of `SELECT_NOTES`."""
    time = _EPOCH + timedelta(microseconds=row["time"])
    return LedgerNote(id=row["id"], time=time, kind=row["kind"], payload=json.loads(row["payload"]))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
