"""JSON written with fewer tokens: without blanks, or as a table when its records are alike.

Both keep every value. Minifying drops blanks between tokens and nothing else, so numbers,
escapes and the order of keys stay as they were written. A table names the keys once, the way
a spreadsheet does.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["minified", "to_table"]

_STRING_OR_BLANK = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_PLAIN = re.compile(r"[^\W\d_][^|\n\r\t\\\"]*")
_KEY = re.compile(r"[^|\n\r\t\\\"]+")
_WORDS = ("null", "true", "false", "NaN", "Infinity")


def minified(text: str) -> str:
    """Valid JSON without the blanks between its tokens; strings untouched."""
    return _STRING_OR_BLANK.sub(lambda m: m.group(1) or "", text)


def to_table(text: str) -> str | None:
    """A JSON array of two or more alike, flat objects as a table; None for anything else.

    The first line is the keys, each further line one record, `|` between. Strings that could be
    taken for something else, and all other values, are JSON, a `|` inside them escaped.
    """
    try:
        records = json.loads(text, parse_float=_Written, parse_int=_Written)
    except (ValueError, RecursionError):
        return None
    if not _alike(records):
        return None
    keys = list(records[0])
    rows = ["|".join(_cell(record[key]) for key in keys) for record in records]
    return "\n".join(["|".join(keys), *rows])


class _Written(str):
    """A number as it was written, so that 1.10 stays 1.10."""

    __slots__ = ()


def _alike(records: Any) -> bool:
    if not isinstance(records, list) or len(records) < 2:
        return False
    if not all(isinstance(record, dict) for record in records) or not records[0]:
        return False
    keys = list(records[0])
    if not all(_KEY.fullmatch(key) for key in keys):
        return False
    return all(
        list(record) == keys and not any(isinstance(v, dict | list) for v in record.values())
        for record in records
    )


def _cell(value: str | bool | None) -> str:
    if isinstance(value, _Written):
        return str(value)
    if isinstance(value, str) and (
        _PLAIN.fullmatch(value) and value not in _WORDS and value == value.strip()
    ):
        return value
    return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")
