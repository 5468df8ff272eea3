"""Write JSON with fewer tokens: without whitespace, or as a table if all records have equal keys.

Both keep every value. Minifying removes only the whitespace between tokens, so numbers, escapes and
the order of keys stay as written. A table names the keys once, as a spreadsheet does.
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
    """Return valid JSON without whitespace between its tokens; strings stay as they are."""
    return _STRING_OR_BLANK.sub(lambda m: m.group(1) or "", text)


def to_table(text: str) -> str | None:
    """Return a JSON array of two or more flat objects with the same keys as a table, else None.

    The first line has the keys, each further line one record, separated by `|`. Strings that
    could be mistaken for another value, and all other values, are written as JSON, with any `|`
    escaped.
    """
    try:
        records = json.loads(text, parse_float=_Number, parse_int=_Number)
    except (ValueError, RecursionError):
        return None
    if not _is_uniform(records):
        return None
    keys = list(records[0])
    rows = ["|".join(_cell(record[key]) for key in keys) for record in records]
    return "\n".join(["|".join(keys), *rows])


class _Number(str):
    """A number kept as written, so that 1.10 stays 1.10."""

    __slots__ = ()


def _is_uniform(records: Any) -> bool:
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
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str) and (
        _PLAIN.fullmatch(value) and value not in _WORDS and value == value.strip()
    ):
        return value
    return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")
