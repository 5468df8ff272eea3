"""Documents that nothing marks: paragraphs, unless a blank line is inside what belongs together.

Code, JSON, elements, lists and tables are not divided. A heading belongs to what follows it, an
indented paragraph to what is before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from llm_optimizers.prompts.context.documents.places import Place, has_text, place
from llm_optimizers.prompts.context.documents.tags import Span, inside_any

__all__ = ["in_paragraphs", "joined"]

_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")
_ITEM = re.compile(r"[ \t]*(?:[-*+\u2022]|\(?\d{1,4}[.)]|\[\d{1,4}\])[ \t]")
_INDENTED = re.compile(r"(?: {4}|[ ]{0,3}\t)[ \t]*\S")
_HEADING = re.compile(r"#{1,6}[ \t]+\S[^\n]*\Z")
_OPENS = re.compile(r"[ \t]*(?:```|~~~|[\[{|])")
_SHORT = 500
"""Characters of neighbouring paragraphs that are one document, so that it can be ranked."""


def in_paragraphs(body: str, spans: Sequence[Span]) -> list[Place]:
    """Return the paragraphs of a section; `spans` are the parts that are not divided."""
    edges = [0]
    for blank in _BLANK_LINES.finditer(body):
        if not inside_any(blank.end(), spans) and not _together(body, edges[-1], blank):
            edges.append(blank.end())
    return [
        place(body, start, end)
        for start, end in zip(edges, [*edges[1:], len(body)], strict=True)
        if has_text(body, start, end)
    ]


def joined(body: str, paragraphs: Sequence[Place]) -> list[Place]:
    """Return the paragraphs with short neighbours as one document, unless they have titles.

    A JSON value is a document of its own.
    """
    found: list[Place] = []
    for each in paragraphs:
        last = found[-1] if found else None
        untitled = last is not None and not last.title and not each.title
        short = last is not None and each.end - last.start <= _SHORT
        if last and untitled and short and not any(_is_json(body, one) for one in (last, each)):
            found[-1] = place(body, last.start, each.end)
        else:
            found.append(each)
    return found


def _is_json(body: str, paragraph: Place) -> bool:
    text = body[slice(*paragraph.text)]
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _together(body: str, start: int, blank: re.Match[str]) -> bool:
    """Return whether what is before and after blank lines belongs together."""
    line = body.rfind("\n", start, blank.start()) + 1
    last = body[max(start, line) : blank.start()].rstrip()
    if _HEADING.match(last) or _INDENTED.match(body, blank.end()):
        return True
    table = last.lstrip().startswith("|") and body.startswith("|", blank.end())
    item = _ITEM.match(body, blank.end()) is not None
    if item and (_ITEM.match(last) or _ITEM.match(body, start)):
        return True
    return table or (last.endswith(":") and (item or _OPENS.match(body, blank.end()) is not None))
