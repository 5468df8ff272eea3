"""Find the paragraphs of a text that are surely prose, for passes that change how prose is written.

Every doubt decides against it. Code, data, listings, transcripts, tables, trees, lists, quotations,
verse without punctuation and anything with a label have a line that prose has not; what stands in
fences, in HTML comments, in tags for literal text and in quotations over several paragraphs is not
looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from llm_optimizers.text import protected_spans

__all__ = ["Part", "parts"]

_LITERAL = re.compile(
    r"^[ \t>*+.)\d-]{0,12}(?P<fence>`{3,}|~{3,})"
    r"|^(?P<comment><!--)"
    r"|<(?P<tag>pre|code|samp|kbd|tt|xmp|listing|script|style|textarea|svg|math"
    r"|examples?|samples?|inputs?|outputs?|questions?|answers?|user|assistant)\b"
    r"|(?P<rest><<-?['\"]?[^\W\d]|\\begin\{(?:verbatim|lstlisting|minted|alltt)|#\+begin_)",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = re.compile(
    r"[{}\[\]<>|\\=^~#$@*_/+&`\"\t\x00-\x08\x0b-\x1f\u2028\u2029\u2500-\u259f]"
    r"|(?<!\w)['\u2018]|\w\(|:\S|%\w"
)
"""Characters that code, data and drawings have, and prose outside quotations hardly."""
_LABEL = re.compile(r"[^:\n]{1,40}:(?=\s|$)")
_WIDE = re.compile(r"(?<=\S) {2,}(?=\S)")
_OPENING_QUOTES = '"\u201c\u00ab\u201e'
_CLOSING = "\"')]\u201d\u2019\u00bb"
_ENDS = ".!?\u2026\u3002\uff01\uff1f"
_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive lines of one kind, from `start` to `end`, the last line break included."""

    start: int
    end: int
    kind: Literal["prose", "other", "fence", "comment", "literal"]


def parts(text: str) -> list[Part]:
    """Return the paragraphs and literal parts of a text in order; between them are blank lines."""
    found: list[Part] = []
    quoted = False
    for part in _raw_parts(text):
        if part.kind == "other":
            inside = text[part.start : part.end]
            if not quoted and _is_prose(inside) and not _touches(text, part):
                part = Part(start=part.start, end=part.end, kind="prose")
            quoted ^= inside.count('"') % 2 == 1 or inside.count("\u201c") != inside.count("\u201d")
        found.append(part)
    return found


def _raw_parts(text: str) -> Iterator[Part]:
    """Yield literal parts, and paragraphs as `other`."""
    start = at = 0
    while (opened := _LITERAL.search(text, at)) is not None:
        first = text.rfind("\n", start, opened.start()) + 1 or start
        end = _end_of(text, opened)
        yield from _paragraphs(text, start, first)
        yield Part(start=first, end=end, kind=_kind(text, opened, end))
        start = at = end
    yield from _paragraphs(text, start, len(text))


def _end_of(text: str, opened: re.Match[str]) -> int:
    """Return the end of the line on which a literal part ends; the end of the text if none does."""
    if (mark := opened["fence"]) is not None:
        closing = rf"^[ \t>]{{0,12}}{mark[0]}{{{len(mark)},}}[ \t\r]*$"
    elif opened["comment"] is not None:
        closing = "-->"
    elif (tag := opened["tag"]) is not None:
        closing = rf"</{tag}\b"
    else:
        return len(text)
    closed = re.compile(closing, re.IGNORECASE | re.MULTILINE).search(text, opened.end())
    return len(text) if closed is None else text.find("\n", closed.end()) + 1 or len(text)


def _kind(text: str, opened: re.Match[str], end: int) -> Literal["fence", "comment", "literal"]:
    if opened["fence"] is not None:
        return "fence"
    alone = opened["comment"] is not None and text[opened.end() : end].rstrip().endswith("-->")
    return "comment" if alone else "literal"


def _paragraphs(text: str, start: int, end: int) -> Iterator[Part]:
    """Yield the paragraphs between two places: lines that are not blank."""
    opened: int | None = None
    at = start
    while at < end:
        after = text.find("\n", at, end) + 1 or end
        blank = not text[at:after].strip()
        if blank and opened is not None:
            yield Part(start=opened, end=at, kind="other")
            opened = None
        elif not blank and opened is None:
            opened = at
        at = after
    if opened is not None:
        yield Part(start=opened, end=end, kind="other")


def _touches(text: str, part: Part) -> bool:
    """Return whether the line before or after a paragraph is not blank: then it is half of one."""
    before = text[text.rfind("\n", 0, max(0, part.start - 1)) + 1 : part.start]
    after = text[part.end : text.find("\n", part.end) + 1 or len(text)]
    return bool(before.strip() or after.strip())


def _is_prose(paragraph: str) -> bool:
    lines = paragraph.rstrip().split("\n")
    first = paragraph.lstrip(_OPENING_QUOTES)[:1]
    return (
        paragraph.rstrip().rstrip(_CLOSING).endswith(tuple(_ENDS))
        and not first.islower()
        and len(paragraph.split()) >= _FEWEST_WORDS
        and all(line[:1].isalpha() or line[:1] in _OPENING_QUOTES for line in lines)
        and not any(_LABEL.match(line) for line in lines)
        and not _has_columns(lines)
        and _CODE.search(_without_spans(paragraph)) is None
    )


def _without_spans(paragraph: str) -> str:
    """Return the paragraph with a letter for each character of its protected spans."""
    kept, start = [], 0
    for a, b in protected_spans(paragraph):
        kept += [paragraph[start:a], "x" * (b - a)]
        start = b
    return "".join([*kept, paragraph[start:]])


def _has_columns(lines: list[str]) -> bool:
    """Return whether gaps of two lines end in one column, or a line has several wide gaps."""
    gaps = [[gap.span() for gap in _WIDE.finditer(line)] for line in lines]
    ends = [end for line in gaps for _, end in line]
    several = any(sum(end - start > 2 for start, end in line) > 1 for line in gaps)
    return several or len(set(ends)) < len(ends)
