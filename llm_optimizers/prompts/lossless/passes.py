"""Shorten a text losslessly: whitespace, markup noise, JSON's layout, repeated instructions.

Code stays identical byte for byte, JSON parses to the same value, quotations and placeholders
stay. The passes only ever shorten, and run until none of them changes anything, so shortening a
second time changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from llm_optimizers.prompts.lossless.json_layout import minified, to_table
from llm_optimizers.prompts.lossless.repeats import without_repeats
from llm_optimizers.text import Block, blocks, protected_spans

__all__ = ["LOSSLESS", "PassName", "Shortened", "shorten"]

PassName: TypeAlias = Literal["json", "markup", "whitespace", "repeats", "tables"]
LOSSLESS: frozenset[PassName] = frozenset({"json", "markup", "whitespace", "repeats"})
"""The passes that are on by default; `tables` changes the form of data and is opt-in."""

_LONGEST = 2_000_000
"""Characters; a longer text fits no model, so it is not worth reading."""

_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
_RULE = re.compile(r"^([ \t]*+)([-=_*#~\u2500\u2550])\2{7,}+[ \t]*+$", re.MULTILINE)
_TABLE_RULE = re.compile(
    r"^[ \t]*+\|?(?:[ \t]*+:?-{2,}+:?[ \t]*+\|)++(?:[ \t]*+:?-{2,}+:?[ \t]*+)?$", re.MULTILINE
)
_BLANK_LINES = re.compile(r"\n{4,}")
_INNER_BLANKS = re.compile(r"(?<=\S)(?:[ \t]{2,}+|\t)(?=\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """A text after the passes, and which of them changed it."""

    text: str
    applied: frozenset[PassName]


def shorten(
    text: str, *, passes: frozenset[PassName] = LOSSLESS, instructions: bool = False
) -> Shortened:
    """Apply the passes until none changes anything.

    With `instructions` (for a system message), a sentence that repeats another in different words
    is removed too. A text of over two million characters, which no model takes, is returned
    unchanged. So is a text whose code blocks would change: removing a comment in front of a
    fence, for instance, can open a code block.
    """
    applied: set[PassName] = set()
    parts = list(blocks(text)) if len(text) <= _LONGEST else []
    while parts:
        changed: set[PassName] = set()
        shorter = _pass_over(parts, passes, changed, instructions=instructions)
        if shorter == text:
            break
        read = list(blocks(shorter))
        if not _keeps_code(parts, read):
            break
        text, parts = shorter, read
        applied |= changed
    return Shortened(text=text, applied=frozenset(applied))


def _pass_over(
    parts: Sequence[Block],
    passes: frozenset[PassName],
    applied: set[PassName],
    *,
    instructions: bool,
) -> str:
    parts = [_shortened(block, passes, applied) for block in parts]
    if "repeats" not in passes:
        return "".join(part.whole for part in parts)
    once = without_repeats(parts, instructions=instructions)
    if sum(map(len, once)) < sum(len(part.whole) for part in parts):
        applied.add("repeats")
    return "".join(once)


def _keeps_code(before: Sequence[Block], after: Sequence[Block]) -> bool:
    """Return whether all code blocks are still code, in the same order."""
    code = "".join(block.whole for block in after if block.kind == "code")
    place = 0
    for block in before:
        if block.kind == "code":
            place = code.find(block.whole, place)
            if place < 0:
                return False
            place += len(block.whole)
    return True


def _shortened(block: Block, passes: frozenset[PassName], applied: set[PassName]) -> Block:
    if block.kind == "code":
        return block
    if block.kind == "json":
        return replace(block, text=_shorter_json(block, passes, applied), opening="", closing="")
    part = block.text
    for name, change in _TEXT_PASSES:
        shorter = change(part) if name in passes else part
        if len(shorter) < len(part):
            applied.add(name)
            part = shorter
    return replace(block, text=part)


def _shorter_json(block: Block, passes: frozenset[PassName], applied: set[PassName]) -> str:
    """Return a JSON block in its shortest form; a table ends with a line break."""
    if "tables" in passes:
        table = to_table(block.text)
        if table is not None and len(table) + 2 < len(minified(block.text)):
            applied.add("tables")
            return f"{block.opening}{table}\n{block.closing}" if block.opening else table
    if "json" in passes:
        shorter = minified(block.text)
        if len(shorter) < len(block.text):
            tail = "\n" if block.opening and block.text.endswith("\n") else ""
            if len(shorter + tail) < len(block.text):
                applied.add("json")
                return block.opening + shorter + tail + block.closing
    return block.whole


def _markup(text: str) -> str:
    text = _without_comments(_INVISIBLE.sub("", text))
    text = _RULE.sub(r"\1\2\2\2", text)
    return _TABLE_RULE.sub(lambda m: re.sub(r"-{2,}|[ \t]+", _shortest, m.group()), text)


def _without_comments(text: str) -> str:
    """Remove HTML comments; one without an end stays."""
    kept, start = [], 0
    while (opening := text.find("<!--", start)) >= 0:
        end = text.find("-->", opening + 4)
        if end < 0:
            break
        kept.append(text[start:opening])
        start = end + 3
    return "".join([*kept, text[start:]])


def _shortest(match: re.Match[str]) -> str:
    return "-" if match.group().startswith("-") else ""


def _whitespace(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\u00a0", " ")
    *lines, last = text.split("\n")
    lines = [*(line.rstrip(" \t") for line in lines), last]
    lines = [_single_spaced(line) if "  " in line or "\t" in line else line for line in lines]
    return _BLANK_LINES.sub("\n\n\n", "\n".join(lines))


def _single_spaced(line: str) -> str:
    """Collapse spaces inside a line, unless they align columns or are in a protected span."""
    spans = protected_spans(line)
    gaps = [
        gap
        for gap in _INNER_BLANKS.finditer(line)
        if not any(a < gap.end() and gap.start() < b for a, b in spans)
    ]
    wide = sum(len(gap.group()) > 2 or "\t" in gap.group() for gap in gaps)
    if "|" in line or wide > 1:
        return line
    written, start = [], 0
    for gap in gaps:
        written += [line[start : gap.start()], " "]
        start = gap.end()
    return "".join([*written, line[start:]])


_TEXT_PASSES: tuple[tuple[PassName, Callable[[str], str]], ...] = (
    ("markup", _markup),
    ("whitespace", _whitespace),
)
