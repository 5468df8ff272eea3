"""The tables of a ledger in a PostgreSQL database.

They stand in a schema of their own, which is created on first use: no table of another program is
touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import UserDefinedType

from llm_optimizers.costs.ledger import rows
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.errors import SchemaError, StoreError

__all__ = ["KIND", "Tables", "call_row", "key_of", "note_row", "part_key"]

KIND = "cost ledger"
_VERSION = 1
_LOCKS = int.from_bytes(b"LLMc")  # the first half of the advisory lock's number
_LONGEST_KEY = 600  # characters, of up to four bytes; an index takes 2,704 bytes
_NUMBERS = frozenset({"time", "bucket", *rows.COUNTS})
_AMOUNTS = frozenset({"cost", "baseline_cost", "baseline_low", "at_least"})
_FLAGS = frozenset({"estimated", "suspicious", "held_out"})
_JSON = frozenset({"baseline_usage", "savings", "tags"})
_OPTIONAL = frozenset(
    {"provider", "baseline_usage", "hit_strategy", "latency_s", "error", "priced_by", "unpriced"}
    | {"held_out", "bucket", "run", *_AMOUNTS}
)
_COUNTS = ("calls", "requests", "hits", "unpriced")
_SUMS = ("tokens", "cost", "saved")


class _JSONText(UserDefinedType[str]):
    """JSON that is written and read as text, so that all stores read a row in the same way."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the column's type."""
        return "JSON"

    def column_expression(self, colexpr: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Select the text."""
        return sa.cast(colexpr, sa.Text)


class Tables:
    """The tables in one schema, and what is written to them.

    `calls` can be queried with plain SQL: times are microseconds since 1970, amounts are exact.
    `hours` and `parts` hold the totals by hour; see `hours.py`.
    """

    def __init__(self, schema: str, place: str, *, create: bool) -> None:
        self._schema = schema
        self._may_create = create
        self._name = f"the schema {schema} of the database at {place}"
        self.all = sa.MetaData(schema=schema)
        self.about = sa.Table(
            "ledger_version",
            self.all,
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("version", sa.Integer, nullable=False),
        )
        self.calls = self._entries("calls", map(_column, (*_CALL_COLUMNS, "run")))
        self.notes = self._entries("notes", map(_column, ("id", "time", "kind", "payload")))
        self.hours = sa.Table(
            "hours",
            self.all,
            sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("calls", sa.BigInteger, nullable=False),
            sa.Column("pruned", sa.Boolean, nullable=False, server_default=sa.false()),
            sa.Column("totals", sa.Text, nullable=False),
            sa.Column("first", sa.BigInteger),
            sa.Column("last", sa.BigInteger),
        )
        self.parts = sa.Table(
            "parts",
            self.all,
            sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("dimension", sa.Text, nullable=False),
            sa.Column("value", sa.Text, nullable=False),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
            *(sa.Column(name, sa.Numeric, nullable=False) for name in _SUMS),
        )
        sa.Index("calls_by_time", self.calls.c.time)
        sa.Index("calls_by_run", self.calls.c.run, postgresql_where=self.calls.c.run.is_not(None))
        sa.Index("notes_by_kind", self.notes.c.kind, self.notes.c.time)
        self.insert_note = insert(self.notes).on_conflict_do_nothing()
        self.add_part = self._add_part()

    def ensure(self, connection: sa.Connection) -> None:
        """Create the tables where there are none, and check whose they are.

        Raises:
            SchemaError: they are another program's or another version's; nothing was changed.
            StoreError: there are none, and none are to be created.
        """
        if not self._is_there(connection):
            if not self._may_create:
                raise StoreError(f"{self._name} holds no {KIND}; give the URL that the app uses")
            self.lock_writers(connection)
            if not self._is_there(connection):  # another process may have been faster
                self._create(connection)
        found = self._versions(connection)
        if [kind for kind, _ in found] != [KIND]:
            raise self._foreign()
        if (version := found[0][1]) != _VERSION:
            raise SchemaError(
                f"the {KIND} in {self._name} is of version {version} and this release reads "
                f"version {_VERSION}; upgrade llm-optimizers or give another schema (?schema=NAME)"
            )

    def lock_writers(self, connection: sa.Connection) -> None:
        """Let no other process write before this transaction ends."""
        number = sa.func.hashtext(self._schema)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, number)))

    def _is_there(self, connection: sa.Connection) -> bool:
        return sa.inspect(connection).has_table(self.about.name, schema=self._schema)

    def _create(self, connection: sa.Connection) -> None:
        looked = sa.inspect(connection)
        if not looked.has_schema(self._schema):
            connection.execute(sa.schema.CreateSchema(self._schema))
        elif looked.get_table_names(self._schema) or looked.get_view_names(self._schema):
            raise self._foreign()
        self.all.create_all(connection, checkfirst=False)
        connection.execute(sa.insert(self.about).values(kind=KIND, version=_VERSION))

    def _versions(self, connection: sa.Connection) -> list[tuple[str, int]]:
        columns = sa.inspect(connection).get_columns(self.about.name, schema=self._schema)
        if not {"kind", "version"} <= {each["name"] for each in columns}:
            return []
        asked = sa.select(self.about.c.kind, self.about.c.version)
        return [(kind, version) for kind, version in connection.execute(asked)]

    def _foreign(self) -> SchemaError:
        return SchemaError(
            f"{self._name} holds tables of something else; give the {KIND} another one "
            "(?schema=NAME)"
        )

    def _entries(self, name: str, columns: Any) -> sa.Table:
        seq = sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True)
        return sa.Table(name, self.all, seq, *columns)

    def _add_part(self) -> sa.Insert:
        """Insert a part of an hour, or add to the one that is there."""
        old, new = self.parts.c, (made := insert(self.parts)).excluded
        sums = {name: old[name] + new[name] for name in (*_COUNTS, *_SUMS)}
        return made.on_conflict_do_update(index_elements=["hour", "key"], set_=sums)


_CALL_COLUMNS = (
    *("id", "time", "model", "provider", "tier", *rows.COUNTS, "cost", "baseline_model"),
    *("baseline_cost", "baseline_low", "baseline_usage", "hit_strategy", "savings", "tags"),
    *("latency_s", "status", "estimated", "error", "priced_by", "unpriced", "suspicious"),
    *("held_out", "bucket", "at_least", "kind"),
)


def _column(name: str) -> sa.Column[Any]:
    kind: Any = sa.Text
    if name in _NUMBERS:
        kind = sa.BigInteger
    elif name in _AMOUNTS:
        kind = sa.Numeric
    elif name in _JSON or name == "payload":
        kind = _JSONText
    elif name in _FLAGS:
        kind = sa.SmallInteger
    elif name == "latency_s":
        kind = sa.Double
    return sa.Column(name, kind, nullable=name in _OPTIONAL, unique=name == "id")


def call_row(record: CallRecord) -> tuple[CallRecord, dict[str, Any]]:
    """Return a record as it will be read back, and a value for each column of `calls`."""
    values = rows.call_values(record)
    tags = {_text(name): _text(value) for name, value in values["tags"].items()}
    run = tags.get("run")
    row = {**_storable(values), "tags": tags, "run": None if run is None else key_of(run)}
    return rows.as_stored(record, row), {**row, "tags": json.dumps(tags)}


def note_row(note: LedgerNote) -> dict[str, Any]:
    """Return a value for each column of `notes`."""
    found = _storable(rows.note_values(note))
    return {**found, "kind": key_of(found["kind"])}


def key_of(text: str) -> str:
    """Return a text that fits into an index; the end of a long one is its digest."""
    text = _text(text)
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[:_LONGEST_KEY]}…{hashlib.sha256(text.encode()).hexdigest()}"


def part_key(dimension: str, value: str) -> str:
    """Return the key of a part."""
    return key_of(json.dumps([dimension, value]))


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        name: _text(value) if isinstance(value, str) else value for name, value in values.items()
    }
    return {**found, "id": key_of(found["id"])}


def _text(value: str) -> str:
    r"""Return a text without what PostgreSQL cannot keep: \0, and half a surrogate pair."""
    value = value.replace("\0", "\\x00")
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()
