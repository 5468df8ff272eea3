"""Where a document lies in a section, and the code, data and elements inside which none starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_optimizers.prompts.context.documents.tags import Span, Tags, inside_any
from llm_optimizers.prompts.context.parts.fences import fences
from llm_optimizers.text import json_spans

__all__ = [
    "RULE",
    "Place",
    "Quoting",
    "after_blank_line",
    "between",
    "closed_fences",
    "code_spans",
    "free",
    "has_text",
    "place",
    "protected",
    "title_among",
    "trimmed_span",
]

Quoting = Literal["", "python", "json"]

RULE = re.compile(r"^[ \t]*(?P<rule>-{3,}|\*{3,}|={3,}|_{3,}|~{5,}|#{3,})[ \t\r]*$", re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_JSON = re.compile(r"^[ \t]*[\[{]", re.MULTILINE)
_BLANKS = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r]*\n)*")
_TITLES = (
    "title",
    "document_title",
    "name",
    "heading",
    "headline",
    "subject",
    "file_name",
    "filename",
    "source",
    "file_path",
    "file",
    "path",
    "url",
)
"""The names of fields that say what a document is about, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a document lies (`start` to `end`), and its own text in it (`text`).

    With `quoting` the text is a literal with its quotation marks.
    """

    start: int
    end: int
    text: Span
    title: str = ""
    quoting: Quoting = ""


def place(
    body: str, start: int, end: int, text: int | Span | None = None, *, title: str = ""
) -> Place:
    """Return the place of a document without the blank lines and rules around it.

    `text` is where its own text begins, or its span; the whole place if not given.
    """
    first, last = trimmed_span(body, start, end)
    if isinstance(text, tuple):
        own = text
    elif text is None:
        own = first, last
    else:
        blanks = _BLANKS.match(body, text, max(text, last))
        own = trimmed_span(body, blanks.end() if blanks is not None else text, max(text, last))
    return Place(start=first, end=max(last, own[1]), text=own, title=title)


def trimmed_span(body: str, start: int, end: int) -> Span:
    """Return the span without blank lines before it, and without blanks and rules after it."""
    blank = _BLANK_LINES.match(body, start, end)
    start = blank.end() if blank is not None else start
    while True:
        end = start + len(body[start:end].rstrip())
        line = max(start, body.rfind("\n", start, end) + 1)
        if line >= end or RULE.fullmatch(body, line, end) is None:
            return start, end
        end = line


def has_text(body: str, start: int, end: int) -> bool:
    """Return whether a span has more than blanks and rules."""
    return any(map(str.isalnum, body[start:end]))


def after_blank_line(body: str, start: int) -> bool:
    """Return whether a line that begins at `start` follows a blank line, or nothing."""
    before = body[max(0, start - 80) : start]
    gap = before[len(before.rstrip()) :]
    return gap.count("\n") > 1 or len(gap) == start


def between(starts: Sequence[int], end: int) -> Iterator[Span]:
    """Yield the spans from each start to the next, the last to `end`."""
    yield from zip(starts, [*starts[1:], end], strict=True)


def title_among(fields: Mapping[str, str]) -> str:
    """Return the field that says what the document is about; empty if there is none."""
    return next((" ".join(fields[name].split()) for name in _TITLES if fields.get(name)), "")


def protected(body: str) -> list[Span]:
    """Return the fenced code, JSON values of several lines, and elements of a text, in order."""
    tags = Tags(body)
    spans = sorted(
        [
            *closed_fences(body),
            *(span for span in json_spans(body, _JSON) if "\n" in body[slice(*span)]),
            *((each.start, each.end) for each in tags.elements(tags.all)),
        ]
    )
    joined: list[Span] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def closed_fences(text: str) -> list[Span]:
    """Return the fenced code blocks of a text that are closed."""
    return [
        (each.start, each.closing + len(text[each.closing : each.end].rstrip()))
        for each in fences(text)
        if each.closing < each.end
    ]


def code_spans(text: str) -> list[Span]:
    """Return the closed code blocks and the inline code of a text, in order."""
    fences = closed_fences(text)
    inline = [each.span() for each in free(text, _INLINE, fences)]
    return sorted([*fences, *inline])


def free(body: str, pattern: re.Pattern[str], spans: Sequence[Span]) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern that do not begin inside one of the spans."""
    return (found for found in pattern.finditer(body) if not inside_any(found.start(), spans))
