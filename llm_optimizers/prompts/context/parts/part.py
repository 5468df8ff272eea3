"""A part of a document that may be kept alone, and the text of those that are kept.

A part names the others that must be kept with it: the header of a table's row, both lines of a
fence, the brackets around a JSON member. Every place where text was left out is marked. Inside
code, tables and data no mark may stand, since they would no longer parse: there it follows them,
on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = ["GAP", "Part", "Style", "gathered", "joined", "lines_of", "part"]

GAP = " \u2026 "
"""Marks the sentences left out between two others."""

Style: TypeAlias = Literal["sentence", "line", "block"]

_MARKS: dict[Style, tuple[str, str]] = {
    "sentence": (" ", " "),
    "line": ("\n", "\n"),
    "block": ("\n\n", "\n\n"),
}
"""What stands before and after a mark beside a part of that style."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_LEADING = re.compile(r"(?:[ \t]*\n)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a document: `text`, then `tail`, are exactly what is written there.

    `tail` is a separator and is left out at the end of what is kept, and before a part that is
    `closing` (a comma does not stand before a bracket). `needs` are the positions of the parts
    that must be kept with this one. `alone` is False if the part says nothing by itself. Parts of
    style "block" with the same `block` have no mark between them.
    """

    text: str
    tail: str = ""
    needs: tuple[int, ...] = ()
    alone: bool = True
    closing: bool = False
    style: Style = "line"
    heading: bool = False
    block: int = 0


def part(
    text: str,
    *,
    style: Style = "line",
    needs: tuple[int, ...] = (),
    alone: bool = True,
    heading: bool = False,
) -> Part:
    """Return a part of whole lines or sentences; the blanks at its end are its tail."""
    own = text.rstrip() or text
    return Part(
        text=own, tail=text[len(own) :], needs=needs, alone=alone, style=style, heading=heading
    )


def lines_of(text: str) -> list[str]:
    """Return the lines with their ends; unlike `str.splitlines`, only a line feed ends one."""
    return _LINE.findall(text)


def gathered(blocks: Iterable[Sequence[Part]]) -> list[Part]:
    """Return the parts of all blocks in one row; `needs` count from the row's start.

    Blank text is no part of its own: it is added to its neighbour.
    """
    row: list[Part] = []
    lead = ""
    for number, block in enumerate(blocks):
        start = len(row)
        for each in block:
            if len(block) == 1 and not each.text.strip():
                lead += each.text + each.tail
                continue
            if row and lead:
                row[-1] = replace(row[-1], tail=row[-1].tail + lead)
                lead = ""
            if lead or each.style == "block":
                needs = tuple(start + at for at in each.needs)
                each = replace(each, text=lead + each.text, block=number, needs=needs)
                lead = ""
            row.append(each)
    if lead and row:
        row[-1] = replace(row[-1], tail=row[-1].tail + lead)
    return row or ([Part(text=lead)] if lead else [])


def joined(parts: Sequence[Part], kept: Collection[int]) -> str:
    """Return the text of the kept parts, with a mark for everything that is left out."""
    if len(kept) == len(parts):
        return "".join(each.text + each.tail for each in parts)
    written: list[str] = []
    cut = False
    before: Part | None = None
    for at, each in enumerate(parts):
        if at not in kept:
            cut = True
            continue
        if before is not None and _unmarked(before, each):
            written.append("" if each.closing else before.tail)
        elif cut:
            _mark(written, before, each)
            cut = False
        elif before is not None:
            written.append(before.tail)
        written.append(each.text)
        before = each
    if cut:
        _mark(written, before, None)
    text = "".join(written).rstrip()
    leading = _LEADING.match(text)
    return text[leading.end() :] if leading else text


def _unmarked(before: Part, after: Part) -> bool:
    return before.style == after.style == "block" and before.block == after.block


def _mark(written: list[str], before: Part | None, after: Part | None) -> None:
    """Write a mark; the blanks around it are those of the stricter of its neighbours."""
    styles = {each.style for each in (before, after) if each is not None}
    style: Style = "block" if "block" in styles else "line" if "line" in styles else "sentence"
    left, right = _MARKS[style]
    if written:
        written[-1] = written[-1].rstrip()
    written.append(
        (left if before is not None else "") + GAP.strip() + (right if after is not None else "")
    )
