"""The ledger's SQLite tables, and the conversion of records to rows and back.

Dollars are stored as exact decimal text and times in microseconds. Token counts have separate
columns, so that a ledger can be queried with plain SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, cast, get_args

from llm_optimizers.connections.sqlite import Schema
from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.ledger.fields import (
    RowFields,
    micros,
    seconds,
    tags,
    text,
    text_or_none,
)
from llm_optimizers.costs.ledger.store import Entry
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import CallRecord, LedgerNote, PricedBy, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.secrets import redacted, without_secrets

__all__ = [
    "COLUMNS",
    "COUNTS",
    "NOTE_COLUMNS",
    "SCHEMA",
    "SELECT_CALLS",
    "SELECT_NOTES",
    "call_values",
    "note_values",
    "read_call",
    "read_note",
    "row_of",
]

COUNTS = tuple(Usage().as_dict())
COLUMNS = (
    "id",
    "time",
    "model",
    "provider",
    "tier",
    *COUNTS,
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
    "priced_by",
    "unpriced",
    "suspicious",
    "held_out",
    "bucket",
    "baseline_low",
)
NOTE_COLUMNS = ("id", "time", "kind", "payload")
_NEW_COUNTS = COUNTS[8:]  # since version 2


def _to_version_2(connection: sqlite3.Connection) -> None:
    numbers = (*_NEW_COUNTS, "suspicious")
    columns = [f"{name} INTEGER NOT NULL DEFAULT 0" for name in numbers]
    columns += ["held_out INTEGER", "bucket INTEGER"]
    for column in (*columns, "priced_by TEXT", "unpriced TEXT", "baseline_low TEXT"):
        connection.execute(f"ALTER TABLE calls ADD COLUMN {column}")


SCHEMA = Schema(
    kind="cost ledger",
    version=2,
    application_id=int.from_bytes(b"LLMc"),
    statements=(
        f"""CREATE TABLE calls (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
        model TEXT NOT NULL, provider TEXT, tier TEXT NOT NULL,
        {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)},
        cost TEXT, baseline_model TEXT NOT NULL, baseline_cost TEXT, baseline_usage TEXT,
        hit_strategy TEXT, savings TEXT NOT NULL, tags TEXT NOT NULL, latency_s REAL,
        status TEXT NOT NULL, estimated INTEGER NOT NULL, error TEXT, priced_by TEXT, unpriced TEXT,
        suspicious INTEGER NOT NULL, held_out INTEGER, bucket INTEGER, baseline_low TEXT)""",
        "CREATE INDEX calls_by_time ON calls (time)",
        """CREATE TABLE notes (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
        kind TEXT NOT NULL, payload TEXT NOT NULL)""",
        "CREATE INDEX notes_by_kind ON notes (kind, time)",
    ),
    migrations={1: _to_version_2},
)
# Everything interpolated below is a constant of this file. A second record with the same id is
# ignored, with one exception: the framework's record of a cache hit (with a latency) replaces the
# cache's own record of it (without), since it holds more.
_INSERT_CALL = (
    f"INSERT INTO calls ({', '.join(COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in COLUMNS)} "
    "WHERE calls.hit_strategy IS NOT NULL AND calls.latency_s IS NULL "
    "AND excluded.hit_strategy IS NOT NULL AND excluded.latency_s IS NOT NULL"
)
_INSERT_NOTE = "INSERT OR IGNORE INTO notes (id, time, kind, payload) VALUES (?, ?, ?, ?)"
SELECT_CALLS = (
    f"SELECT seq, {', '.join(COLUMNS)} FROM calls "  # noqa: S608
    "WHERE seq > ? AND (time >= ? AND time < ? OR typeof(time) <> 'integer') ORDER BY seq LIMIT ?"
)
SELECT_NOTES = (
    "SELECT seq, id, time, kind, payload FROM notes "
    "WHERE seq > ? AND kind = ? AND time >= ? ORDER BY seq LIMIT ?"
)

_counts = attrgetter(*Usage().as_dict())


def row_of(entry: Entry) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that inserts an entry, and its values."""
    if isinstance(entry, LedgerNote):
        return _INSERT_NOTE, note_values(entry)
    return _INSERT_CALL, call_values(entry)


def call_values(record: CallRecord) -> tuple[Any, ...]:
    """Return the values for `_INSERT_CALL`; what cannot be stored is repaired, so none is lost.

    Tags lose secrets, and text that has no bytes (half a surrogate pair) is escaped.
    """
    savings = [[s.strategy, _amount(s.amount), s.basis] for s in record.savings]
    baseline = record.baseline_usage
    return (
        text(record.id),
        micros(record.time),
        text(record.model),
        text_or_none(record.provider),
        text(record.tier),
        *_counts(record.usage),
        _amount(record.cost),
        text(record.baseline_model),
        _amount(record.baseline_cost),
        None if baseline is None else _json(baseline.as_dict()),
        text_or_none(record.hit_strategy),
        _json(savings) if savings else "[]",
        _json(tags(record.tags)) if record.tags else "{}",
        seconds(record.latency_s),
        text(record.status),
        int(bool(record.estimated)),
        None if record.error is None else redacted(text(record.error)),
        record.priced_by,
        None if record.unpriced is None else redacted(text(record.unpriced)),
        int(bool(record.suspicious)),
        None if record.held_out is None else int(record.held_out),
        record.bucket,
        _amount(record.baseline_low),
    )


def read_call(row: Mapping[str, Any]) -> tuple[CallRecord | None, bool]:
    """Return the record in a row of `SELECT_CALLS`, and whether the row is damaged.

    A damaged row counts as far as it can be read: a cost that is none is unknown, a count that is
    none is 0. Without a time there is no record.
    """
    fields = RowFields(row)
    time = fields.time()
    if time is None:
        return None, True
    record = CallRecord(
        id=fields.text("id"),
        time=time,
        model=fields.text("model"),
        provider=fields.optional_text("provider"),
        tier=cast("ServiceTier", fields.one_of("tier", get_args(ServiceTier), "standard")),
        usage=fields.usage(COUNTS),
        cost=fields.amount("cost"),
        baseline_model=fields.text("baseline_model"),
        baseline_cost=fields.amount("baseline_cost"),
        baseline_usage=fields.baseline_usage(),
        hit_strategy=fields.optional_text("hit_strategy"),
        savings=fields.savings(),
        tags=fields.tags(),
        latency_s=fields.seconds(),
        status=cast("Status", fields.one_of("status", get_args(Status), "ok")),
        estimated=bool(row["estimated"]),
        error=fields.optional_text("error"),
        priced_by=cast("PricedBy | None", fields.one_of_or_none("priced_by", get_args(PricedBy))),
        unpriced=fields.optional_text("unpriced"),
        suspicious=bool(row["suspicious"]),
        held_out=None if row["held_out"] is None else bool(row["held_out"]),
        bucket=fields.number_or_none("bucket"),
        baseline_low=fields.amount("baseline_low"),
    )
    return record, fields.damaged


def note_values(note: LedgerNote) -> tuple[Any, ...]:
    """Return the values for `_INSERT_NOTE`."""
    return note.id, micros(note.time), note.kind, _json(without_secrets(dict(note.payload)))


def read_note(row: Mapping[str, Any]) -> tuple[LedgerNote | None, bool]:
    """Return the note in a row of `SELECT_NOTES`, None and True if it is damaged."""
    fields = RowFields(row)
    time, payload = fields.time(), fields.mapping("payload")
    name, kind = fields.text("id"), fields.text("kind")
    if fields.damaged or time is None:
        return None, True
    return LedgerNote(id=name, time=time, kind=kind, payload=payload), False


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else str(EXACT.plus(amount))
