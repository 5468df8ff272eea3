"""Sentences over wrapped lines, list items and single lines as parts.

A line break ends a sentence unless the line was broken because the next word did not fit: then it
is a blank. So wrapped prose is read as prose, while addresses, poems and lists stay line by line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

from llm_optimizers.prompts.context.parts.part import Part, lines_of, part
from llm_optimizers.text import sentences

__all__ = ["prose_parts"]

_BULLET = r"[ \t]*(?:[-*+\u2022\u25e6\u2013] |\d{1,3}[.)][ \t]|[a-zA-Z][.)][ \t]"
_ITEM = re.compile(_BULLET + ")")
_MARKED = re.compile(_BULLET + r"|\(\w{1,3}\) |>|#|\||\.\. |::?\w)")
_HARD = ("  ", "\\", "<br>", "<br/>")
_NARROWEST = 40
"""Columns below which lines are not taken for wrapped."""
_WIDE = "\u2e80"
"""From this character on, most take two columns."""


def prose_parts(text: str) -> list[Part]:
    """Split a text without code and tables into its sentences and lines."""
    parts: list[Part] = []
    for paragraph in _paragraphs(text):
        for line in _logical_lines(paragraph):
            parts += _sentences(line)
    return parts


def _paragraphs(text: str) -> list[list[str]]:
    """Return the lines of each paragraph, with the blank lines behind it."""
    found: list[list[str]] = [[]]
    blank = False
    for line in lines_of(text):
        if blank and line.strip() and any(map(str.strip, found[-1])):
            found.append([])
        blank = not line.strip()
        found[-1].append(line)
    return found


def _logical_lines(lines: Sequence[str]) -> list[list[str]]:
    """Return the lines that belong together: one that was wrapped, and its continuations."""
    if len(lines) == 1:
        return [list(lines)]
    widths = [_width(line) for line in lines]
    widest = max(widths, default=0)
    found: list[list[str]] = []
    item = blank = False
    for at, line in enumerate(lines):
        if found and (
            blank
            or not line.strip()
            or _continues(lines[at - 1], line, widths[at - 1], widest, item=item)
        ):
            found[-1].append(line)
            blank = blank and not line.strip()
        else:
            blank = not line.strip()
            item = _ITEM.match(line) is not None
            found.append([line])
    return found


def _continues(before: str, line: str, width: int, widest: int, *, item: bool) -> bool:
    """Return whether a line continues the one before it."""
    if _MARKED.match(line) or not before.strip():
        return False
    if item and line[:1] in (" ", "\t"):
        return True
    if widest < _NARROWEST or before.rstrip("\n").endswith(_HARD):
        return False
    own = line.strip()
    return width + 1 + _width(own.split(None, 1)[0]) > widest or own[0].islower()


def _width(line: str) -> int:
    own = line.rstrip()
    return len(own) if own.isascii() else len(own) + sum(letter >= _WIDE for letter in own)


def _sentences(lines: Sequence[str]) -> list[Part]:
    """Split lines that belong together into sentences."""
    text = joined = "".join(lines)
    if len(lines) > 1:
        # A blank for each line break, so that the sentences are as long as in the text.
        joined = text.rstrip().replace("\n", " ")
        joined += text[len(joined) :]
    # "1. Open the box." is one sentence.
    bullet = _ITEM.match(text)
    start = bullet.end() if bullet is not None else 0
    ends = [start + end for end in accumulate(map(len, sentences(joined[start:])))]
    if len(ends) < 2:
        marked = len(lines) == 1 and _MARKED.match(text) is not None
        return [part(text, style="line" if marked else "sentence", alone=_has_words(text[start:]))]
    return [
        part(text[a:b], style="sentence", alone=_has_words(text[a:b]))
        for a, b in pairwise([0, *ends])
    ]


def _has_words(text: str) -> bool:
    """Return whether a text says anything; a rule ("---") or a number of a list says nothing."""
    return any(map(str.isalnum, text))
