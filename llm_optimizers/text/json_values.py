"""Where the JSON values in a text begin and end, in time linear in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

__all__ = ["json_spans"]

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
"""Numbers as they are written: Python refuses to read an integer of more than 4,300 digits."""
_WINDOW = 4_096
_GROWTH = 8
_LONGEST_TOKEN = 16
"""Characters before the end of a window in which an error may be due to that end."""


def json_spans(text: str, start: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield start and end of the JSON values whose bracket is the last character of a match.

    What was read up to an error is not read again. A value nested too deep for the decoder ends
    the search.
    """
    at = 0
    while (candidate := start.search(text, at)) is not None:
        begins = candidate.end() - 1
        try:
            valid, at = _decoded(text, begins)
        except RecursionError:
            return
        if valid:
            yield begins, at


def _decoded(text: str, start: int) -> tuple[bool, int]:
    """Return whether a value begins here, and where it, or its valid beginning, ends.

    An error of the decoder costs time by all the text it was given, so it is given little at first.
    """
    size = _WINDOW
    while True:
        window = text[start : start + size]
        try:
            return True, start + _DECODER.raw_decode(window)[1]
        except json.JSONDecodeError as error:
            was_cut = error.pos > size - _LONGEST_TOKEN or error.msg.startswith("Unterminated")
            if start + size >= len(text) or not was_cut:
                return False, start + max(1, error.pos)
        size *= _GROWTH
