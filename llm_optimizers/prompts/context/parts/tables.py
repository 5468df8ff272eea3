"""The rows of a table as parts that need its header.

Tables are those of Markdown, reStructuredText, HTML and databases, CSV, and text in columns.

A header is the first row with the line below it. Without its header a row does not say what its
values mean.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import TypeAlias

from llm_optimizers.prompts.context.parts.part import Part, part

__all__ = ["html_table_parts", "table_at"]

Found: TypeAlias = tuple[int, list[Part]]
"""How many lines a table has, and its parts."""

_RULE = frozenset("|:-+= \t")
_COLUMNS = re.compile(r"(?<=\S)(?: {2,}|[ ]*\t[ \t]*)(?=\S)")
_ROW = re.compile(r"<tr\b", re.IGNORECASE)
_HEAD_CELL = re.compile(r"<th\b", re.IGNORECASE)
_FEWEST = 3
"""Lines from which text in columns, or with commas, is a table."""
_LONGEST = 1_000
"""Characters of the longest line that is looked at as a row."""


def table_at(lines: Sequence[str], at: int) -> Found | None:
    """Return the table that begins at a line, if one does."""
    line = lines[at].strip()
    following = lines[at + 1].strip() if at + 1 < len(lines) else ""
    if not following or not line or len(line) > _LONGEST:
        return None
    if line.startswith("+-") and _is_rule(line):
        return _grid(lines, at)
    if _is_columns_rule(line, "="):
        return _simple(lines, at)
    if "|" in line and "|" in following and _is_rule(following) and "-" in following:
        return _piped(lines, at, header=2)
    if line.startswith("|") and following.startswith("|"):
        return _piped(lines, at, header=0)
    if "-" in following and _is_rule(following):
        return _ruled(lines, at)
    return _separated(lines, at) or _aligned(lines, at)


def html_table_parts(text: str) -> list[Part]:
    """Split `<table>...</table>` into rows; rows of head cells at its start are the header."""
    starts = [found.start() for found in _ROW.finditer(text)]
    rows = [text[a:b] for a, b in pairwise([*starts, len(text)])]
    head = 0
    while head < len(rows) and _HEAD_CELL.search(rows[head]) and "<td" not in rows[head].lower():
        head += 1
    if not rows or head == len(rows):
        return [part(text, style="block")]
    end = rows[-1].lower().rfind("</tr>")
    if end < 0:
        return [part(text, style="block")]
    cut = end + len("</tr>")
    footer, rows[-1] = rows[-1][cut:], rows[-1][:cut]
    return _rows([text[: starts[head]]], rows[head:], [footer])


def _rows(header: Sequence[str], rows: Sequence[str], footer: Sequence[str] = ()) -> list[Part]:
    """Return header, rows and footer as parts; every row needs the other two."""
    top, bottom = "".join(header), "".join(footer)
    needs = ((0,) if top else ()) + ((len(rows) + bool(top),) if bottom else ())
    parts = [part(row, style="block", needs=needs) for row in rows]
    if top:
        parts.insert(0, part(top, style="block", alone=not rows))
    if bottom:
        parts.append(part(bottom, style="block", alone=False))
    return parts


def _is_rule(line: str) -> bool:
    return len(line) > 1 and ("-" in line or "=" in line) and _RULE.issuperset(line)


def _is_columns_rule(line: str, mark: str) -> bool:
    """Return whether a line is two or more runs of one character, as `====  ====`."""
    runs = line.split()
    return len(runs) > 1 and all(len(run) > 1 and set(run) == {mark} for run in runs)


def _until(lines: Sequence[str], at: int, inside: str) -> int:
    """Return where the lines that contain a character end."""
    while at < len(lines) and inside in lines[at] and lines[at].strip():
        at += 1
    return at


def _piped(lines: Sequence[str], at: int, header: int) -> Found:
    end = _until(lines, at, "|")
    found = lines[at:end]
    return len(found), _rows(found[:header], found[header:])


def _grid(lines: Sequence[str], at: int) -> Found | None:
    """A table of `+---+` borders; the border below the header is of `=`."""
    end = at
    while end < len(lines) and lines[end].lstrip()[:1] in ("+", "|"):
        end += 1
    borders = [n for n in range(end - at) if lines[at + n].lstrip().startswith("+")]
    if len(borders) < _FEWEST:
        return None
    found = lines[at : at + borders[-1] + 1]
    head = next((n for n in borders if "=" in found[n]), borders[1])
    edges = [n + 1 for n in borders if n >= head]
    rows = ["".join(found[a:b]) for a, b in pairwise(edges)]
    if not rows:
        return len(found), [part("".join(found), style="block")]
    return len(found), _rows(found[: head + 1], rows)


def _simple(lines: Sequence[str], at: int) -> Found | None:
    """A reStructuredText table between `====  ====` borders; a row may go over several lines."""
    borders = [at]
    end = at + 1
    while end < len(lines):
        line = lines[end].strip()
        if _is_columns_rule(line, "="):
            borders.append(end)
            if end + 1 == len(lines) or not lines[end + 1].strip() or len(borders) == _FEWEST:
                break
        elif not line and not lines[end - 1].strip():
            return None
        end += 1
    if len(borders) == 1:
        return None
    head = borders[1] if len(borders) == _FEWEST else borders[0]
    last = borders[-1]
    indent = len(lines[at]) - len(lines[at].lstrip())
    rows: list[str] = []
    for line in lines[head + 1 : last]:
        if rows and line[indent : indent + 1].strip() == "":
            rows[-1] += line
        else:
            rows.append(line)
    if not rows:
        return None
    return last + 1 - at, _rows(lines[at : head + 1], rows, lines[last : last + 1])


def _ruled(lines: Sequence[str], at: int) -> Found | None:
    """A table with a header above a line of dashes, as databases print them."""
    rule = lines[at + 1].strip()
    mark = "|" if "+" in rule else ""
    if not mark and not _is_columns_rule(rule, "-"):
        return None
    end = at + 2
    while end < len(lines) and lines[end].strip() and (mark in lines[end]):
        end += 1
    if end == at + 2:
        return None
    return end - at, _rows(lines[at : at + 2], lines[at + 2 : end])


def _separated(lines: Sequence[str], at: int) -> Found | None:
    """Rows of equally many fields between tabs, commas or semicolons; quoted ones may have both."""
    for mark, fewest in (("\t", 2), (",", 2), (";", 2)):
        if lines[at].count(mark) < fewest - (mark == "\t"):
            continue
        if mark == "," and _is_sentence(lines[at]):
            continue
        used, rows = _records(lines, at, mark)
        if len(rows) >= _FEWEST or (len(rows) == 2 and mark == "\t"):
            return used, _rows(rows[:1], rows[1:])
    return None


def _records(lines: Sequence[str], at: int, mark: str) -> tuple[int, list[str]]:
    """Return the rows that have as many fields as the first, and how many lines they take."""
    until_blank = takewhile(str.strip, (lines[n] for n in range(at, len(lines))))
    reader = csv.reader(until_blank, delimiter=mark)
    rows: list[str] = []
    used = width = 0
    try:
        for fields in reader:
            width = width or len(fields)
            text = "".join(lines[at + used : at + reader.line_num])
            if len(fields) != width or (mark == "," and _is_sentence(text)):
                break
            rows.append(text)
            used = reader.line_num
    except csv.Error:
        pass
    return used, rows


def _is_sentence(line: str) -> bool:
    """Return whether most commas have a blank behind them, as in prose."""
    return 2 * line.count(", ") > line.count(",")


def _aligned(lines: Sequence[str], at: int) -> Found | None:
    """Text in columns that all lines begin at the same places."""
    if "  " not in lines[at].strip() and "\t" not in lines[at]:
        return None
    places = {found.end() for found in _COLUMNS.finditer(lines[at].rstrip())}
    if len(places) < 2:
        return None
    end = at + 1
    while end < len(lines) and lines[end].strip() and len(lines[end]) < _LONGEST:
        own = {found.end() for found in _COLUMNS.finditer(lines[end].rstrip())}
        if not own & places:
            break
        end += 1
    if end - at < _FEWEST:
        return None
    return end - at, _rows(lines[at : at + 1], lines[at + 1 : end])
