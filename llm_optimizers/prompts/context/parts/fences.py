"""Find the fenced blocks of a text, also those of which one end is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Fence", "fences"]

_FENCE = re.compile(r"^[ \t>]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<label>[^\n`]*)(?:\n|\Z)", re.MULTILINE)
_USUAL = 3
"""Characters of nearly every fence."""


class Fence(NamedTuple):
    """Where a fenced block, its content and its closing line begin, and where it ends."""

    start: int
    body: int
    closing: int
    end: int
    label: str


def fences(text: str) -> Iterator[Fence]:
    """Yield the fenced blocks; a single line is one of which the other end is missing.

    So it is in a chunk of a longer text: a fence without a label that is followed by one with a
    label, or by none, is an end; one with a label that is followed by no end is a beginning.
    """
    lines = list(_FENCE.finditer(text))
    titles = {at for at, line in enumerate(lines) if _underlines(text, line)}
    endless: dict[str, int] = {}
    at = 0
    while at < len(lines):
        opening = lines[at]
        mark, label = opening["mark"], opening["label"].strip()
        at += 1
        if at - 1 in titles:
            continue
        closing = None
        if len(mark) < endless.get(mark[0], len(text)):
            closing = _closing(lines, at, mark, labelled=bool(label))
            if closing is None:
                endless[mark[0]] = len(mark)
        if closing is not None and not lines[closing]["label"].strip():
            ended = lines[closing]
            at = closing + 1
            yield Fence(opening.start(), opening.end(), ended.start(), ended.end(), label)
        elif label and closing is None and " " not in label:
            yield Fence(opening.start(), opening.end(), len(text), len(text), label)
            return
        elif not label:
            yield Fence(opening.start(), opening.end(), opening.end(), opening.end(), label)


def _closing(lines: Sequence[re.Match[str]], at: int, mark: str, *, labelled: bool) -> int | None:
    """Return the line that ends a fence, or a labelled one that shows that it is no beginning."""
    for place in range(at, len(lines)):
        ends = not labelled or not lines[place]["label"].strip()
        if ends and lines[place]["mark"].startswith(mark):
            return place
    return None


def _underlines(text: str, line: re.Match[str]) -> bool:
    """Return whether a line is the underline of a title: tildes, as many as it has letters."""
    if line["mark"][0] != "~" or len(line["mark"]) <= _USUAL or line["label"].strip():
        return False
    above = text[text.rfind("\n", 0, max(0, line.start() - 1)) + 1 : line.start()].strip()
    return 0 < len(above) <= len(line["mark"])
