"""Split a text into blocks of code, data and prose, into paragraphs and into sentences.

The parts always join back to the same text. Code and data are blocks of their own, quotations
and placeholders are protected spans. A text may be shortened between these only: half a number
is a wrong number, and a template without its placeholder is broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llm_optimizers.text.json_values import json_spans
from llm_optimizers.text.word_lists import languages, read_optional_words

__all__ = [
    "Block",
    "blocks",
    "is_code_line",
    "looks_like_code",
    "paragraphs",
    "protected_spans",
    "sentences",
]

# Invisible characters and unusual blanks before a fence are part of its indent.
_INDENT = r"^[ \t\u00a0\u00ad\u200b\u2060\ufeff]{0,3}"
_FENCE = re.compile(rf"{_INDENT}(?P<mark>`{{3,}}|~{{3,}})[ \t]*(?P<label>[\w+#.-]*)", re.MULTILINE)
_SPAN = re.compile(
    r"`[^`\n]+`|\{\{.{0,200}?\}\}|\{%.{0,200}?%\}|\$?\{[^{}\n]{0,80}\}"
    r"|\"[^\"\n]{1,300}\"|\u201c[^\u201d\n]{1,300}\u201d|\u00ab[^\u00bb\n]{1,300}\u00bb"
)
_MARKS = '`"{\u201c\u00ab'
_CODE_LINE = re.compile(
    r"^\s*+(?:def |class |import |from [\w.]|return\b|async |await |function\b|const |let |var "
    r"|public |private |protected |static |func |fn |#include|using |package |SELECT |INSERT "
    r"|UPDATE |CREATE |elif .*:$|else:$|try:$|except\b.*:$|for .+:$|while .+:$|if .+:$|with .+:$"
    r"|@\w+|\}\s*$|[\w.\])]++\s*+[-+*/|&]?=\s*+\S|.*[;{]\s*$|\$ \S|</?\w+[^>]*>\s*$)"
)
_JSON = re.compile(r"\A[\[{]")
_JSON_START = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[{\"])")
_PARAGRAPH = re.compile(r"(?<=\n\n)(?!\n)")
_STOPS = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0964\u0965\u0f0d\u0f0e\u104a\u104b\u1362\u1367"
    "\u1368\u17d4\u17d5\u1803\u1809\u1c7e\u1c7f\u203c\u203d\u2047-\u2049\u3002\ua4ff\uabeb\uff01"
    "\uff1f\uff61"
)
"""Full stops and question marks that always end a sentence, with or without a blank after them."""
_CLOSERS = "\"')\\]\u00bb\u2018\u2019\u201c\u201d\u203a\u3009\u300b\u300d\u300f\u3011\uff09\uff3d"
_OPENERS = "\"'(\\[\u00ab\u00a1\u00bf\u2018\u201c\u201e\u2039"
_THAI = (
    "\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e45\u0e47-\u0e4e\u0e81-\u0eae\u0eb0-\u0ec4\u0ec8-\u0ece"
)
_END = re.compile(
    rf"(?<=[.!?\u2026])[{_CLOSERS}]*(?:\s\u00bb)?\s+(?=[{_OPENERS}]*(?P<next>[^\W_a-z]))"
    rf"|(?<=[{_STOPS}])[{_STOPS}{_CLOSERS}]*\s*"
    rf"|(?P<clause>(?<=[{_THAI}])[ \u00a0]+(?=[{_THAI}]))"
    r"|\n\s*"
)
_LONGEST = 12
"""Characters before the end of a sentence in which an abbreviation is looked for."""
_CLAUSE = 40
"""Characters of Thai and Lao that a sentence has at least, since their blanks end any clause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a text of one kind; `opening` and `closing` are the lines of its fence."""

    kind: Literal["text", "code", "json"]
    text: str
    opening: str = ""
    closing: str = ""

    @property
    def whole(self) -> str:
        """The block with its fence."""
        return self.opening + self.text + self.closing


def blocks(text: str) -> Iterator[Block]:
    """Split a text into blocks that join back to it.

    Code is everything in a fence (one that is never closed reaches to the end), and a paragraph
    most of whose lines look like code or are indented like code. JSON is every object or array
    that parses, fenced or not.
    """
    start = 0
    while (opening := _FENCE.search(text, start)) is not None:
        if opening.start() > start:
            yield from _unfenced(text[start : opening.start()])
        mark = opening["mark"]
        closing = re.compile(rf"{_INDENT}{mark[0]}{{{len(mark)},}}[ \t]*$\n?", re.MULTILINE)
        body = text.find("\n", opening.end()) + 1 or len(text)
        closed = closing.search(text, body)
        inside = text[body : closed.start()] if closed else text[body:]
        labelled = opening["label"].lower() in ("json", "jsonc", "")
        yield Block(
            kind="json" if closed and labelled and _is_json(inside) else "code",
            text=inside,
            opening=text[opening.start() : body],
            closing=closed.group() if closed else "",
        )
        start = closed.end() if closed else len(text)
    if start < len(text):
        yield from _unfenced(text[start:])


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of every quotation, placeholder and inline code of a text, in order.

    Numbers, URLs and ids need no span: they contain no blank, and no pass ever splits a word.
    """
    if not any(mark in text for mark in _MARKS):
        return []
    return [match.span() for match in _SPAN.finditer(text)]


def paragraphs(text: str) -> list[str]:
    """Split a text into paragraphs, each with the blank lines after it."""
    return _PARAGRAPH.split(text)


def sentences(text: str) -> list[str]:
    """Split a text into sentences, each with the blanks after it.

    A sentence ends at punctuation before a capital, a digit or an opening quote, at another
    script's full stop, and at a line break; not at abbreviations, initials, ordinals or inside a
    protected span. Thai and Lao have no full stop: a blank between two words ends a clause.
    """
    cut: list[str] = []
    start = 0
    spans = protected_spans(text)
    for end in _outside(spans, _END.finditer(text)):
        if _is_inside(text, start, end):
            continue
        if end.end() > start and text[start : end.end()].strip():
            cut.append(text[start : end.end()])
            start = end.end()
    if start < len(text):
        if text[start:].strip() or not cut:
            cut.append(text[start:])
        else:
            cut[-1] += text[start:]
    return cut


def _outside(
    spans: Sequence[tuple[int, int]], ends: Iterable[re.Match[str]]
) -> Iterator[re.Match[str]]:
    """Yield the matches that do not end inside a span; both are in the order of the text."""
    at = 0
    for end in ends:
        while at < len(spans) and spans[at][1] <= end.end():
            at += 1
        if at == len(spans) or spans[at][0] >= end.end():
            yield end


def _is_inside(text: str, start: int, end: re.Match[str]) -> bool:
    """Return whether what looks like the end of a sentence is inside of one."""
    if end["clause"] is not None:
        return end.start() - start < _CLAUSE
    if end["next"] is None:
        return False
    # Georgian letters count as small but begin sentences: only they are their own title case.
    small = end["next"] != end["next"].title()
    word = text[max(start, end.start() - _LONGEST) : end.start()]
    return small or _abbreviations().search(word) is not None


@cache
def _abbreviations() -> re.Pattern[str]:
    """Return what matches a text that ends with an abbreviation, an initial or an ordinal.

    Of single letters only capitals and those of other alphabets count, of numbers those of two
    digits at most: "am 3. Oktober", but not "in 1990." or "Python 3.12."
    """
    words = {w for each in languages() for w in read_optional_words("abbreviations", each)}
    listed = "|".join(map(re.escape, sorted(words)))
    return re.compile(rf"(?:\b(?:{listed}|[^\W\d_a-z])|(?<![\w.,:/-])\d\d?)\.$")


def _unfenced(text: str) -> Iterator[Block]:
    """Split a text outside fences: JSON first, since parsing is certain and code is a guess."""
    start = 0
    for first, end in json_spans(text, _JSON_START):
        if first > start:
            yield from _prose_and_code(text[start:first])
        yield Block(kind="json", text=text[first:end])
        start = end
    if start < len(text):
        yield from _prose_and_code(text[start:])


def _prose_and_code(text: str) -> Iterator[Block]:
    """Split into prose and code, neighbouring paragraphs of one kind in one block."""
    pending: list[str] = []
    kind: Literal["text", "code"] = "text"
    for paragraph in paragraphs(text):
        found: Literal["text", "code"] = "code" if looks_like_code(paragraph) else "text"
        if pending and found != kind:
            yield Block(kind=kind, text="".join(pending))
            pending = []
        kind = found
        pending.append(paragraph)
    if any(pending):
        yield Block(kind=kind, text="".join(pending))


def _is_json(text: str) -> bool:
    """Return whether a text is one JSON object or array."""
    return next(json_spans(text.strip(), _JSON), None) == (0, len(text.strip()))


def is_code_line(line: str) -> bool:
    """Return whether a line begins or ends as code does."""
    return _CODE_LINE.match(line) is not None


def looks_like_code(paragraph: str) -> bool:
    """Return whether all lines of a paragraph are indented like code, or most look like it."""
    lines = [line for line in paragraph.splitlines() if line.strip()]
    if not lines:
        return False
    if all(line.startswith(("    ", "\t")) for line in lines):
        return True
    hits = sum(map(is_code_line, lines))
    if len(lines) == 1:
        return bool(hits) and paragraph.rstrip().endswith((";", "{", "}"))
    return hits * 2 > len(lines)
