"""Cut a document into chunks as a retriever's splitter does: by size, at the ends of paragraphs.

Fenced code and tables stay whole where they fit, a heading stays with the text below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

__all__ = ["chunks"]

SMALLEST, USUAL, LARGEST = 300, 1_000, 1_200
"""Characters: less is never a chunk of its own, this many are enough, more are too many."""
WHOLE = 1_800
"""Characters up to which a table or fenced code stays whole."""

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_TABLE = re.compile(r"\s*(?:\||\+[-=+]{3,}|={2,}(?:\s+={2,})+\s*$)")
_HEADING = re.compile(r"#{1,6} |[=~^-]{4,}\s*$")


def chunks(text: str) -> list[str]:
    """Return the chunks of a text, in order and without blank lines around them."""
    found: list[list[str]] = [[]]
    for block in _small_blocks(text):
        size = sum(map(len, found[-1]))
        if size >= USUAL or (size >= SMALLEST and size + len(block) > LARGEST):
            headings: list[str] = []
            while len(found[-1]) > 1 and _is_heading(found[-1][-1]):
                headings.insert(0, found[-1].pop())
            found.append(headings)
        found[-1].append(block)
    joined = [part for blocks in found if (part := "".join(blocks).strip("\n").rstrip())]
    if len(joined) > 1 and len(joined[-1]) < SMALLEST:
        joined[-2:] = ["\n\n".join(joined[-2:])]
    return joined


def _small_blocks(text: str) -> Iterator[str]:
    """Yield blocks that fit a chunk; one that is too long is cut at ends of lines."""
    for block, whole in _blocks(text):
        if len(block) <= (WHOLE if whole else LARGEST):
            yield block
            continue
        pending = ""
        for line in block.splitlines(keepends=True):
            if pending and len(pending) + len(line) > LARGEST:
                yield pending
                pending = ""
            pending += line
        yield pending


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each paragraph or fenced code with the blank lines below; True for code and tables."""
    for _, numbered in groupby(_numbered(text.splitlines(keepends=True)), lambda each: each[0]):
        lines = [line for _, line in numbered]
        yield "".join(lines), any(_FENCE.match(line) or _TABLE.match(line) for line in lines[:2])


def _numbered(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield each line with the number of its block."""
    number, fence, ended = 0, "", False
    for line in lines:
        mark = _FENCE.match(line)
        if not fence and line.strip() and (ended or mark):
            number += 1
        yield number, line
        if fence:
            ended = mark is not None and mark[1].startswith(fence)
            fence = "" if ended else fence
        else:
            fence = mark[1] if mark else ""
            ended = not line.strip()


def _is_heading(block: str) -> bool:
    lines = block.strip().splitlines()
    return bool(lines) and len(lines) <= 2 and _HEADING.match(lines[-1]) is not None
