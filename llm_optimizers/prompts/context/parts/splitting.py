"""Split a document into the smallest parts that may be kept of it alone.

Fenced blocks, JSON and HTML tables are found first, by their marks; then tables, headings, code
and data by their lines; all else is prose. Whatever there is, the parts join back to the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from llm_optimizers.prompts.context.parts.code import (
    code_parts,
    fence_parts,
    is_source,
    is_transcript,
)
from llm_optimizers.prompts.context.parts.data_blocks import data_parts, is_data, is_entry
from llm_optimizers.prompts.context.parts.fences import Fence, fences
from llm_optimizers.prompts.context.parts.json_values import json_parts, json_values
from llm_optimizers.prompts.context.parts.part import Part, gathered, lines_of, part
from llm_optimizers.prompts.context.parts.prose import prose_parts
from llm_optimizers.prompts.context.parts.tables import html_table_parts, table_at
from llm_optimizers.text import looks_like_code

__all__ = ["split_parts"]

_TABLE = re.compile(r"<(/?)table\b[^<>\n]*>\n?", re.IGNORECASE)
_BLANK = re.compile(r"(?:[ \t\r]*\n)*")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6} \S")
_DIRECTIVE = re.compile(r"^\s*\.\. (?:code|code-block|sourcecode|doctest|parsed-literal)::")
_INTRODUCTION = re.compile(rf"::\s*$|{_DIRECTIVE.pattern}")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+])\1{2,}\s*$")
_COMMENT_LINES = 8
_SHORTEST_BLOCK = 300
"""Characters up to which code and data are kept whole however small the budget is."""
_LONGEST_ANNOUNCEMENT = 40
"""Characters up to which an introduction says nothing without its block: "For example:"."""
_DATA = ("yaml", "yml", "toml", "ini", "cfg", "conf", "properties", "env")
_TABLES = ("", "text", "txt", "csv", "tsv", "markdown", "md", "console", "plain")

Kind: TypeAlias = Literal["code", "data", "text"]


def split_parts(text: str, max_tokens: int) -> tuple[Part, ...]:
    """Return the parts of a document, in order; a part is short beside the budget if it can be."""
    longest = max(_SHORTEST_BLOCK, max_tokens)
    if is_source(text):
        return tuple(gathered([code_parts(text, longest)]))
    blocks: list[Sequence[Part]] = []
    end = 0
    for fence in fences(text):
        blocks += _unfenced(text[end : fence.start], longest)
        blocks.append(_fenced(text, fence, longest))
        end = fence.end
    blocks += _unfenced(text[end:], longest)
    parts = gathered(blocks)
    _need_introductions(parts)
    _need_sections(parts)
    return tuple(parts)


def _need_introductions(parts: list[Part]) -> None:
    """Let the parts of a block need the sentence above it that ends in a colon.

    A short one, or a directive, is kept only with a part of its block.
    """
    introduction: int | None = None
    for at, each in enumerate(parts):
        if each.style != "block":
            introduces = each.text.endswith(":") or _INTRODUCTION.search(each.text) is not None
            introduction = at if introduces else None
        elif introduction is not None and each.block == parts[introduction + 1].block:
            text = parts[introduction].text
            if len(text) <= _LONGEST_ANNOUNCEMENT or _DIRECTIVE.search(text):
                parts[introduction] = replace(parts[introduction], alone=False)
            parts[at] = replace(each, needs=(introduction, *each.needs))


def _need_sections(parts: list[Part]) -> None:
    """Let a heading need the first part below it: without one it says nothing."""
    first: int | None = None
    for at in range(len(parts) - 1, -1, -1):
        each = parts[at]
        if each.heading and first is not None:
            parts[at] = replace(each, needs=(first, *parts[first].needs))
        elif each.heading:
            parts[at] = replace(each, alone=False)
        elif each.alone:
            first = at


def _fenced(text: str, fence: Fence, longest: int) -> list[Part]:
    """Split a fenced block; half of a pair of fences is never kept without the other."""
    whole = text[fence.start : fence.end]
    if fence.closing == fence.end:
        half = part(text[fence.start : fence.body], style="block", alone=False)
        body = text[fence.body : fence.end]
        return [half, *code_parts(body, longest)] if body.strip() else [part(whole, alone=False)]
    body = text[fence.body : fence.closing]
    if len(whole) <= longest or not body.strip():
        return [part(whole, style="block")]
    label = (fence.label.split() or [""])[0].lower()
    lines = lines_of(body)
    table = table_at(lines, 0) if label in _TABLES else None
    value = next(json_values(body), None)
    start, stop = fence.body, fence.closing
    if value is not None and not (body[: value[0]] + body[value[1] :]).strip():
        start += value[0]
        inside = json_parts(body[value[0] :])
    elif table is not None and not "".join(lines[table[0] :]).strip():
        stop -= len("".join(lines[table[0] :]))
        inside = table[1]
    elif label in _DATA:
        inside = data_parts(body, longest)
    else:
        inside = code_parts(body, longest)
    return fence_parts(text[fence.start : start], inside, text[stop : fence.end])


def _unfenced(text: str, longest: int) -> Iterator[Sequence[Part]]:
    """Yield the blocks of a text without fences: JSON and HTML tables, and what is between.

    Values on lines of their own, one below the other, are rows of one block.
    """
    end = 0
    rows: list[list[Part]] = []
    for start, stop, split in sorted(_marked(text), key=lambda each: each[:2]):
        if start < end:
            continue
        between = text[end:start]
        if between.strip():
            if rows:
                yield gathered(rows)
            rows = []
            yield from _lines(between, longest)
            between = ""
        blank = _BLANK.match(text, stop)
        stop = blank.end() if blank is not None else stop
        rows.append(_led(between, split(text[start:stop])))
        end = stop
    if rows:
        yield gathered(rows)
    yield from _lines(text[end:], longest)


def _led(lead: str, parts: list[Part]) -> list[Part]:
    parts[0] = replace(parts[0], text=lead + parts[0].text)
    return parts


def _marked(text: str) -> Iterator[tuple[int, int, Callable[[str], list[Part]]]]:
    if "{" in text or "[" in text:
        yield from ((start, stop, json_parts) for start, stop in json_values(text))
    if "<" in text:
        yield from ((start, stop, html_table_parts) for start, stop in _html_tables(text))


def _html_tables(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every outermost `<table>`."""
    start = depth = 0
    for tag in _TABLE.finditer(text):
        if tag[1]:
            depth -= 1
            if depth == 0:
                yield start, tag.end()
            depth = max(0, depth)
        else:
            start = tag.start() if depth == 0 else start
            depth += 1


def _lines(text: str, longest: int) -> Iterator[Sequence[Part]]:
    """Yield the blocks of a text by its lines; neighbouring paragraphs of a kind are one block."""
    lines = lines_of(text)
    at = 0
    pending: list[str] = []
    kind: Kind = "text"
    while at < len(lines):
        found = _table_or_heading(lines, at)
        if found is not None:
            yield _split(kind, "".join(pending), longest)
            pending, kind = [], "text"
            yield found[1]
            at += found[0]
            continue
        end = _paragraph_end(lines, at)
        own = _kind(lines[at:end], pending, kind)
        if own != kind:
            yield _split(kind, "".join(pending), longest)
            pending, kind = [], own
        pending += lines[at:end]
        at = end
    yield _split(kind, "".join(pending), longest)


def _split(kind: Kind, text: str, longest: int) -> list[Part]:
    if not text:
        return []
    if kind == "code":
        return code_parts(text, longest)
    return data_parts(text, longest) if kind == "data" else prose_parts(text)


def _table_or_heading(lines: Sequence[str], at: int) -> tuple[int, list[Part]] | None:
    """Return the table or heading that begins at a line, if one does, with its blank lines."""
    found = None if not lines[at].strip() else table_at(lines, at) or _heading(lines, at)
    if found is None:
        return None
    count, parts = found
    end = at + count
    while end < len(lines) and not lines[end].strip():
        end += 1
    blank = "".join(lines[at + count : end])
    parts[-1] = replace(parts[-1], tail=parts[-1].tail + blank)
    return end - at, parts


def _heading(lines: Sequence[str], at: int) -> tuple[int, list[Part]] | None:
    """Return a heading: `# Title`, or a line above (and below) a line of one character."""
    count = 0
    if _HEADING.match(lines[at]):
        count = 0 if _is_comment(lines, at) else 1
    elif at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1].strip()):
        count = 2
    elif (
        at + 2 < len(lines)
        and _UNDERLINE.fullmatch(lines[at].strip())
        and lines[at].strip() == lines[at + 2].strip()
    ):
        count = 3
    if not count:
        return None
    return count, [part("".join(lines[at : at + count]), heading=True)]


def _is_comment(lines: Sequence[str], at: int) -> bool:
    """Return whether a line with `#` stands, with others like it, right above an entry of data."""
    below = at + 1
    while below < min(len(lines), at + _COMMENT_LINES) and _HEADING.match(lines[below]):
        below += 1
    return below < len(lines) and is_entry(lines[below])


def _paragraph_end(lines: Sequence[str], at: int) -> int:
    """Return where the paragraph that begins at a line ends, behind its blank lines."""
    end = at + 1
    while end < len(lines):
        if not lines[end - 1].strip() and lines[end].strip():
            break
        if lines[end].strip() and _may_begin(lines, end) and _table_or_heading(lines, end):
            break
        end += 1
    return end


def _may_begin(lines: Sequence[str], at: int) -> bool:
    """Return whether a line inside a paragraph may begin a table or is a heading."""
    own = lines[at].lstrip()
    following = lines[at + 1].lstrip()[:2] if at + 1 < len(lines) else ""
    return (
        "|" in own
        or "\t" in own
        or own[:2] in ("+-", "==")
        or own[:1] == "#"
        or (len(following) == 2 and (following[0] == following[1] or following[0] in "|+"))
    )


def _kind(lines: Sequence[str], before: Sequence[str], kind: Kind) -> Kind:
    """Return what a paragraph is; one that is indented below `::` or below code is code."""
    own = [line for line in lines if line.strip()]
    if not own:
        return kind
    indent = min(len(line) - len(line.lstrip()) for line in own)
    above = next((line for line in reversed(before) if line.strip()), "")
    if indent > len(above) - len(above.lstrip()) and _INTRODUCTION.search(above):
        return "code"
    if indent and kind == "code" and above and not _INTRODUCTION.search(above):
        first = next(line for line in before if line.strip())
        if indent >= len(first) - len(first.lstrip()):
            return "code"
    own = [line[indent:] for line in own]
    if is_transcript(own):
        return "code"
    if is_data(own):
        return "data"
    return "code" if looks_like_code("".join(own)) else "text"
