"""The tables of a ledger's SQLite file, and the statements that use them.

`calls` has a row for each call, with numbers of `words` for texts that recur. `readable_calls` is a
view of it for plain SQL. `hours` and `parts` hold the totals by hour. They are written with the
calls and can be made from them again: an hour whose calls were changed or deleted by a program
other than the ledger loses its totals (by the triggers), and one with other calls than it counted
is not believed.
"""

from __future__ import annotations

import sqlite3

from llm_optimizers.connections.sqlite import Schema
from llm_optimizers.costs.ledger.rollups import HOUR, PART_COLUMNS
from llm_optimizers.costs.ledger.rows import COUNTS
from llm_optimizers.costs.ledger.words import OWN_RUN, RUN, WORD_COLUMNS, packed

__all__ = ["COLUMNS", "SCHEMA"]

_OLD_COLUMNS = (
    *("id", "time", "model", "provider", "tier"),
    *COUNTS[:8],
    *("cost", "baseline_model", "baseline_cost", "baseline_usage", "hit_strategy", "savings"),
    *("tags", "latency_s", "status", "estimated", "error"),
)
_NEW_NUMBERS = (*COUNTS[8:], "suspicious")
_NEW_COLUMNS = (
    *(*_NEW_NUMBERS, RUN, "priced_by", "unpriced", "held_out", "bucket", "baseline_low"),
    *("at_least", "kind"),
)
COLUMNS = (*_OLD_COLUMNS, *_NEW_COLUMNS)
"""The columns of `calls`, without `seq`."""

_UNTYPED = frozenset({"id", "tags", RUN, *WORD_COLUMNS})  # a number or a text, as it is
_REAL = frozenset({"latency_s"})
_TEXT = frozenset(
    {"cost", "baseline_cost", "baseline_usage", "savings", "baseline_low", "at_least"}
)


def _column(name: str) -> str:
    if name == "kind":
        return "kind DEFAULT 'answer'"
    if name in _UNTYPED:
        return name
    if name in _NEW_NUMBERS:
        return f"{name} INTEGER DEFAULT 0"
    kind = "TEXT" if name in _TEXT else "REAL" if name in _REAL else "INTEGER"
    return f"{name} {kind}"


def _id() -> str:
    part = "substr(lower(hex(id)), {}, {})".format
    hyphens = " || '-' || ".join(
        part(start, length) for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    )
    return (
        "CASE WHEN typeof(id) <> 'blob' THEN id "
        f"WHEN length(id) = 16 THEN {hyphens} ELSE {part(1, 32)} END"
    )


def _word(column: str) -> str:
    return (
        f"CASE WHEN typeof({column}) = 'integer' THEN "  # noqa: S608
        f"(SELECT text FROM words WHERE words.id = {column}) ELSE {column} END"
    )


def _readable(column: str) -> str:
    if column in WORD_COLUMNS:
        return f"{_word(column)} AS {column}"
    if column == RUN:
        return f"CASE WHEN {RUN} = {OWN_RUN} THEN {_id()} ELSE {_word(RUN)} END AS {RUN}"
    if column == "id":
        return f"{_id()} AS id"
    if column == "tags":
        return (
            "CASE WHEN tags GLOB '[[]*' THEN (SELECT json_group_object(substr(kind, 2), text) "
            "FROM json_each(tags) JOIN words ON words.id = value) ELSE tags END AS tags"
        )
    if column == "savings":
        return (
            "CASE WHEN savings GLOB '[0-9]*:*' THEN json_array(json_array("
            "(SELECT text FROM words WHERE words.id = CAST(savings AS INTEGER)), "
            "substr(savings, instr(savings, ':') + 1), 'measured')) ELSE savings END AS savings"
        )
    return column


_HOUR = f"({{0}}.time - (({{0}}.time % {HOUR}) + {HOUR}) % {HOUR}) / {HOUR}"  # rounded down
_RUN_IN_TAGS = (
    "CASE WHEN {0}tags LIKE '%\"run\"%' AND json_valid({0}tags) AND json_type({0}tags, '$.run') = "
    "'text' THEN json_extract({0}tags, '$.run') END"
)
_CALLS = f"CREATE TABLE calls (seq INTEGER PRIMARY KEY, {', '.join(map(_column, COLUMNS))})"
_TABLES = (
    _CALLS,
    "CREATE UNIQUE INDEX calls_by_id ON calls (id)",
    "CREATE INDEX calls_by_time ON calls (time)",
    "CREATE INDEX calls_by_run ON calls (run) WHERE run <> 0",
    "CREATE TABLE words (id INTEGER PRIMARY KEY, kind TEXT, text TEXT, hash INTEGER)",
    "CREATE INDEX words_by_hash ON words (hash)",
    """CREATE TABLE hours (
        hour INTEGER PRIMARY KEY, calls INTEGER, totals TEXT,
        pruned INTEGER DEFAULT 0, first INTEGER, last INTEGER)""",
    f"""CREATE TABLE parts (hour INTEGER, word INTEGER, {", ".join(PART_COLUMNS)},
        PRIMARY KEY (hour, word)) WITHOUT ROWID""",
    f"""CREATE TRIGGER calls_changed AFTER UPDATE ON calls BEGIN
        DELETE FROM hours WHERE pruned = 0
        AND hour IN ({_HOUR.format("old")}, {_HOUR.format("new")}); END""",  # noqa: S608
    f"""CREATE TRIGGER calls_deleted AFTER DELETE ON calls BEGIN
        DELETE FROM hours WHERE pruned = 0 AND hour = {_HOUR.format("old")}; END""",  # noqa: S608
    # REPLACE deletes a call without a trigger.
    f"""CREATE TRIGGER calls_replaced BEFORE INSERT ON calls
        WHEN EXISTS (SELECT 1 FROM calls WHERE id = new.id OR seq = new.seq) BEGIN
        DELETE FROM hours WHERE pruned = 0 AND hour IN
        (SELECT {_HOUR.format("calls")} FROM calls WHERE id = new.id OR seq = new.seq); END""",  # noqa: S608
    # A process of an earlier release that had the file open before goes on inserting.
    f"""CREATE TRIGGER calls_of_before AFTER INSERT ON calls
        WHEN new.run IS NULL AND new.tags LIKE '{{%"run"%' BEGIN
        UPDATE calls SET run = {_RUN_IN_TAGS.format("new.")} WHERE seq = new.seq; END""",  # noqa: S608
    f"CREATE VIEW readable_calls AS SELECT seq, {', '.join(map(_readable, COLUMNS))} FROM calls",  # noqa: S608
)
_NOTES = (
    """CREATE TABLE notes (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
        kind TEXT NOT NULL, payload TEXT NOT NULL)""",
    "CREATE INDEX notes_by_kind ON notes (kind, time)",
)


def _to_version_2(connection: sqlite3.Connection) -> None:
    """Copy the calls; their texts stay as they are, and the first summary makes the totals."""
    connection.create_function("packed", 1, _packed_cell, deterministic=True)
    connection.execute("DROP INDEX IF EXISTS calls_by_time")
    connection.execute("ALTER TABLE calls RENAME TO old_calls")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(
        f"INSERT INTO calls (seq, {', '.join(_OLD_COLUMNS)}, {RUN}) "  # noqa: S608
        f"SELECT seq, packed(id), {', '.join(_OLD_COLUMNS[1:])}, {_RUN_IN_TAGS.format('')} "
        "FROM old_calls"
    )
    connection.execute("DROP TABLE old_calls")


def _packed_cell(cell: str | bytes | float | None) -> str | bytes | float | None:
    return packed(cell) if isinstance(cell, str) else cell


SCHEMA = Schema(
    kind="cost ledger",
    version=2,
    application_id=int.from_bytes(b"LLMc"),
    statements=(*_TABLES, *_NOTES),
    migrations={1: _to_version_2},
)
