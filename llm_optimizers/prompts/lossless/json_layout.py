"""JSON without the blanks between its tokens, after proof that its value is the same.

The text and its shorter form are both parsed and compared: the pairs of objects in order, with
repeated keys, and numbers as they are written. What is not JSON by RFC 8259 (NaN, comments, single
quotes) is not read.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, NoReturn

__all__ = ["Number", "Parsed", "minified", "parsed", "shorter_json"]

_FEWEST_KEYS = 2
"""A text with fewer keys, such as `[1, 2]`, may well be something else than data."""
_BLANKS = " \t\r\n"
_STRING_OR_BLANKS = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))|[ \t\r\n]++', re.DOTALL)


class Number(NamedTuple):
    """A number as it is written, so that 1.10 is not 1.1, and 1e400 is not infinity."""

    written: str


class Parsed(NamedTuple):
    """A JSON value: objects as tuples of their pairs, arrays as lists; and its keys in total."""

    value: object
    keys: int


def minified(text: str) -> str:
    """Return valid JSON without blanks between its tokens; strings stay as they are written."""
    return _STRING_OR_BLANKS.sub(lambda found: found.group(1) or "", text)


def parsed(text: str) -> Parsed | None:
    """Return the value of a text that is JSON as a whole; None for any other text."""
    keys = 0

    def pairs(found: list[tuple[str, object]]) -> tuple[tuple[str, object], ...]:
        nonlocal keys
        keys += len(found)
        return tuple(found)

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        return None
    return Parsed(value, keys)


def shorter_json(text: str) -> str | None:
    """Return JSON, or lines of JSON objects, without blanks between tokens; else None.

    None also if nothing gets shorter, or if the text has fewer than two keys in total.
    """
    if not text.startswith(("{", "[")) or not text.endswith(("}", "]")):
        return None
    whole = parsed(text)
    if whole is not None:
        return _proven([text], [whole])
    lines = text.split("\n")
    values: list[Parsed] = []
    for line in lines:
        value = parsed(line) if line.lstrip(_BLANKS).startswith("{") else None
        if value is None:
            return None
        values.append(value)
    return _proven(lines, values)


def _proven(lines: list[str], values: list[Parsed]) -> str | None:
    """Return the lines minified, if each of them keeps its value."""
    if sum(value.keys for value in values) < _FEWEST_KEYS:
        return None
    shorter = [minified(line) for line in lines]
    try:
        same = [parsed(line) for line in shorter] == values
    except RecursionError:
        return None
    return "\n".join(shorter) if same and shorter != lines else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; write it as a string or null")
