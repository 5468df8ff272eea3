"""Uniform JSON records as a table, which names their keys once, and the way back.

    [{"id": 1, "city": "Lisbon"}, {"id": 2, "city": "Porto"}]

    id|city
    1|Lisbon
    2|Porto

Cells are JSON, but for strings that can be nothing else: those lose their quotes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from llm_optimizers.prompts.lossless.json_layout import Number, minified, parsed

__all__ = ["from_table", "shorter_table", "to_table"]

_PLAIN = re.compile(r"[^\W\d_][^|\n\r\t\\\"]*")
_KEY = re.compile(r"[^|\n\r\t\\\"]+")
_WORDS = ("null", "true", "false", "NaN", "Infinity")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARGIN = 2
"""Characters that a table must be shorter than minified JSON to be worth its other form."""


def to_table(text: str) -> str | None:
    """Return a JSON array of two or more flat objects with the same keys as a table, else None.

    The first line has the keys, each further line one record, separated by `|`. `from_table` gives
    the same value back, numbers as they were written; a text of which that is not true gives None.
    """
    read = parsed(text)
    if read is None or not _is_uniform(read.value):
        return None
    records: Any = read.value
    rows = ["|".join(_cell(value) for _, value in record) for record in records]
    table = "\n".join(["|".join(key for key, _ in records[0]), *rows])
    if _SURROGATE.search(table):
        return None  # It was written as an escape: as it is, it could not be sent.
    return table if parsed(_json_of(table)) == read else None


def from_table(table: str) -> list[dict[str, Any]]:
    """Return the records that `to_table` wrote as a table.

    Raises:
        ValueError: the text is not such a table.
    """
    records: list[dict[str, Any]] = json.loads(_json_of(table))
    return records


def shorter_table(text: str) -> str | None:
    """Return the table of a JSON array that is longer even without blanks, else None."""
    table = to_table(text)
    return table if table is not None and len(table) + _MARGIN < len(minified(text)) else None


def _is_uniform(records: object) -> bool:
    """Return whether a parsed value is an array of flat objects with the same keys in one order."""
    if not isinstance(records, list) or len(records) < 2:
        return False
    if not all(isinstance(each, tuple) and not isinstance(each, Number) for each in records):
        return False
    keys = [key for key, _ in records[0]]
    if not keys or len(set(keys)) < len(keys) or not all(map(_KEY.fullmatch, keys)):
        return False
    return all(
        [key for key, _ in record] == keys and all(_is_flat(value) for _, value in record)
        for record in records
    )


def _is_flat(value: object) -> bool:
    return isinstance(value, Number) or not isinstance(value, list | tuple)


def _cell(value: object) -> str:
    if isinstance(value, Number):
        return value.written
    if isinstance(value, str) and (
        _PLAIN.fullmatch(value) and value not in _WORDS and value == value.strip()
    ):
        return value
    return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")


def _json_of(table: str) -> str:
    """Return the JSON that a table stands for.

    Raises:
        ValueError: a row has more or fewer cells than the first line, or a cell is no JSON.
    """
    header, *rows = table.split("\n")
    keys = [json.dumps(key) for key in header.split("|")]
    records = [
        ",".join(f"{key}:{_value(c)}" for key, c in zip(keys, row.split("|"), strict=True))
        for row in rows
    ]
    return "[" + ",".join(f"{{{record}}}" for record in records) + "]"


def _value(cell: str) -> str:
    """Return the JSON that a cell stands for."""
    if cell not in _WORDS and _PLAIN.fullmatch(cell):
        return json.dumps(cell)
    if parsed(cell) is None:
        raise ValueError("a cell of the table is neither JSON nor a plain word; was it cut?")
    return cell
