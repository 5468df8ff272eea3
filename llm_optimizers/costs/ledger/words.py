"""Small cells of a ledger's SQLite file: texts that recur as numbers, UUIDs as 16 bytes.

A model's name, a user, a run: each text is stored once, in the table `words`, and rows have its
number. A cell that holds a text instead, as a migrated or hand-written row does, is read as well.
Nothing is remembered between transactions: another process may have changed the table.
"""

from __future__ import annotations

import json
import re
import sqlite3
from binascii import crc32
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_optimizers.costs.parts import KIND, MODEL, PRICED_BY, REASON, TAG

__all__ = ["OWN_RUN", "RUN", "WORD_COLUMNS", "Words", "packed", "unpacked"]

STRATEGY = "strategy"
WORD_COLUMNS: Mapping[str, str] = {
    "model": MODEL,
    "baseline_model": MODEL,
    "provider": "provider",
    "tier": "tier",
    "hit_strategy": STRATEGY,
    "status": "status",
    "error": "error",
    "priced_by": PRICED_BY,
    "unpriced": REASON,
    "kind": KIND,
}
"""The kind of word in each column that holds one."""
RUN = "run"
"""The tag that has a column of its own, with an index."""
OWN_RUN = 0
"""The number in that column if the run is a single call, whose id is the run's."""
_AT_ONCE = 500
_HYPHENS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGITS = re.compile(r"[0-9a-f]{32}")
_SAVING = re.compile(r"([0-9]{1,18}):([^:]*)")
_PLAIN = b"\0"  # after the bytes of an id without hyphens


def packed(text: str) -> str | bytes:
    """Return a UUID as 16 bytes (17 if it has no hyphens), another text as it is."""
    if len(text) == 36 and _HYPHENS.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    if len(text) == 32 and _DIGITS.fullmatch(text):
        return bytes.fromhex(text) + _PLAIN
    return text


def unpacked(cell: object) -> object:
    """Return the text that was packed; what was not is returned as it is."""
    if not isinstance(cell, bytes):
        return cell
    digits = cell[:16].hex()
    if len(cell) == 16:
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return digits if len(cell) == 17 and cell.endswith(_PLAIN) else cell


class Words:
    """The words of one transaction: numbers for texts and texts for numbers."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[tuple[str, str], int] = {}
        self._texts: dict[int, tuple[str, str]] = {}

    def find(self, kind: str, text: str) -> int | None:
        """Return the number of a word, None if it has none."""
        found = self._connection.execute(
            "SELECT id FROM words WHERE hash = ? AND kind = ? AND text = ?",
            (_hash(kind, text), kind, text),
        ).fetchone()
        return None if found is None else int(found[0])

    def number(self, kind: str, text: str) -> int:
        """Return the number of a word; a new one is written."""
        key = kind, text
        number = self._numbers.get(key)
        if number is None:
            number = self.find(kind, text)
            if number is None:
                added = self._connection.execute(
                    "INSERT INTO words (kind, text, hash) VALUES (?, ?, ?)",
                    (kind, text, _hash(kind, text)),
                )
                number = int(added.lastrowid or 0)
            self._numbers[key] = number
        return number

    def load(self, numbers: Iterable[int]) -> None:
        """Read words, for `text`."""
        wanted = list(set(numbers) - self._texts.keys())
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(
                f"SELECT id, kind, text FROM words WHERE id IN ({marks})",  # noqa: S608
                some,
            )
            self._texts.update((row[0], (row[1], row[2])) for row in rows)

    def word(self, number: int) -> tuple[str, str] | None:
        """Return the kind and text of a word that was loaded, None if there is no such word."""
        return self._texts.get(number)

    def small(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a call with numbers for its words."""
        cells = {**values, "id": packed(values["id"])}
        for column, kind in WORD_COLUMNS.items():
            if cells[column] is not None:
                cells[column] = self.number(kind, cells[column])
        tags = dict(values["tags"])
        run = tags.pop(RUN, None)
        if run is not None:
            run = OWN_RUN if run == values["id"] else self.number(TAG + RUN, run)
        cells[RUN] = run
        cells["savings"] = self._small_savings(values["savings"])
        numbers = [str(self.number(TAG + name, text)) for name, text in tags.items()]
        cells["tags"] = f"[{','.join(numbers)}]"
        return cells

    def _small_savings(self, text: str) -> str:
        """Return a single measured saving as its strategy's number and its amount."""
        if text == "[]" or "\\" in text:  # half a surrogate pair can only be kept in JSON
            return text
        found: list[list[str]] = json.loads(text)
        if len(found) != 1 or found[0][2] != "measured":
            return text
        return f"{self.number(STRATEGY, found[0][0])}:{found[0][1]}"

    def full(self, rows: Sequence[sqlite3.Row]) -> list[dict[str, Any]]:
        """Return rows of calls with the texts of their words."""
        found = [dict(row) for row in rows]
        for row in found:
            row["tags"] = _numbers(row["tags"])
            row["savings"] = _saving(row["savings"])
        columns = (*WORD_COLUMNS, RUN)
        self.load(
            number
            for row in found
            for number in (
                *(row[column] for column in columns),
                *_listed(row["tags"]),
                *_listed(row["savings"]),
            )
            if type(number) is int
        )
        for row in found:
            self._fill(row)
        return found

    def _fill(self, row: dict[str, Any]) -> None:
        row["id"] = unpacked(row["id"])
        for column, kind in WORD_COLUMNS.items():
            number = row[column]
            if type(number) is int:
                found, text = self._texts.get(number, ("", ""))
                row[column] = text if found == kind else number
        if isinstance(row["savings"], list):
            number, amount = row["savings"]
            strategy = self._texts.get(number, ("", None))[1]
            row["savings"] = json.dumps([[strategy, amount, "measured"]])
        if isinstance(row["tags"], list):
            row["tags"] = dict(self._tag(number) for number in row["tags"])
        run = row[RUN]
        if run is not None and isinstance(row["tags"], dict):
            own = row["id"] if run == OWN_RUN else run
            name, value = self._tag(run) if type(run) is int and run != OWN_RUN else (RUN, own)
            row["tags"][name] = value

    def _tag(self, number: object) -> tuple[str, str | None]:
        """Return the name and value of a tag; without a value if there is no such word."""
        kind, text = self._texts.get(number, ("", "")) if type(number) is int else ("", "")
        if not kind.startswith(TAG):
            return f"word {number}", None
        return kind.removeprefix(TAG), text


def _hash(kind: str, text: str) -> int:
    return crc32(f"{kind}\0{text}".encode()) - 2**31  # four bytes with a sign


def _numbers(cell: object) -> object:
    """Return the list in a cell of tags; what holds none is returned as it is."""
    if not isinstance(cell, str) or not cell.startswith("["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _saving(cell: object) -> object:
    """Return the number and amount in a cell of one saving; another is returned as it is."""
    found = _SAVING.fullmatch(cell) if isinstance(cell, str) else None
    return cell if found is None else [int(found[1]), found[2]]


def _listed(cell: object) -> Iterable[object]:
    return cell if isinstance(cell, list) else ()
