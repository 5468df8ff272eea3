"""The first line of a document as its title: marked as one, or one in most documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from llm_optimizers.prompts.context.documents.places import Place, trimmed_span

__all__ = ["with_titles"]

_MARKED = re.compile(
    r"(?:#{1,6}[ \t]+|(?:\*\*|__)?(?:title|subject|headline)[ \t]*:(?:\*\*|__)?[ \t]*)"
    r"(?P<title>[^\n]{1,300})\n|(?:\*\*|__)(?P<bold>[^\n*_]{1,200})(?:\*\*|__)[ \t\r]*\n",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"(?P<title>[^\W_][^\n]{0,119}|[\"'(\u00ab\u201c\u00bf\u300c][^\n]{1,119})\n[ \t\r\n]*"
)
_ENDS = ".!?:;,\u2026\u3002\uff01\uff1f\uff0c\uff1b\uff1a\u060c\u061f\u0964"
_SHARE = 2 / 3
_PROSE = 40
"""Characters of a line of prose at least."""


def with_titles(body: str, places: Sequence[Place]) -> list[Place]:
    """Return the places with the titles that their texts begin with; these are not cut.

    A short line that nothing marks is a title only where two thirds of the documents, and at
    least two, begin with one. A line is none if the next word had no room on it.
    """
    marked = [_marked(body, each) for each in places]
    short = [None if each.title or each.quoting else _short(body, each) for each in marked]
    begun = sum(
        bool(each.title) or (line is not None and line[0][-1] not in _ENDS)
        for each, line in zip(marked, short, strict=True)
    )
    if begun < 2 or begun < _SHARE * len(places):
        return marked
    return [
        each if line is None else _titled(body, each, *line)
        for each, line in zip(marked, short, strict=True)
    ]


def _marked(body: str, each: Place) -> Place:
    found = None if each.quoting else _MARKED.match(body, *each.text)
    if found is None or not body[found.end() : each.text[1]].strip():
        return each
    title = (found["title"] or found["bold"]).strip(" \t\r#*_")
    return _titled(body, each, title, found.end())


def _titled(body: str, each: Place, title: str, text: int) -> Place:
    return replace(each, title=each.title or title, text=trimmed_span(body, text, each.text[1]))


def _short(body: str, each: Place) -> tuple[str, int] | None:
    """Return the first line and where the text after it begins, if prose follows the line."""
    found = _LINE.match(body, *each.text)
    if found is None:
        return None
    title = found["title"].rstrip()
    rest = body[found.end() : each.text[1]]
    lines = rest.split("\n", 20)[:20]
    width = max(len(title), *(len(line.rstrip()) for line in lines))
    word = len(lines[0].split(" ", 1)[0])
    if width < _PROSE or len(title) + 1 + word > width or rest[:1].islower():
        return None
    return title, found.end()
