"""The entries of YAML, TOML, INI and `key: value` text as parts, with their nested lines.

A long entry is opened: its nested entries need its first line, as every entry needs the `[section]`
it is in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_optimizers.prompts.context.parts.code import statements
from llm_optimizers.prompts.context.parts.part import Part, lines_of, part

__all__ = ["data_parts", "is_data", "is_entry"]

_WORD = r"[\w@$./*-]+"
_KEY = re.compile(
    rf"[ \t]*(?:- +)?(?::[^\n:]+:|[\"']?{_WORD}(?: {_WORD}){{0,2}}[\"']?[ \t]*(?::(?=\s)|=))"
)
_COMMENT = re.compile(r"[ \t]*(?:#|;)")
_SECTION = re.compile(r"\[[^\n]+\]")
_ITEM = re.compile(r"[ \t]*- ")
_ANCHOR = re.compile(r"(?:^|[:-] )[ \t]*[&*]\w", re.MULTILINE)
_CLOSES = re.compile(r"[)\]}]++,?\s*+$")
_DEPTH = 6


def is_entry(line: str) -> bool:
    """Return whether a line begins an entry or a section."""
    return _KEY.match(line) is not None or _SECTION.match(line) is not None


def is_data(lines: Sequence[str]) -> bool:
    """Return whether the lines of a paragraph are entries: keys, and what is nested below them."""
    keys = indent = 0
    for line in lines:
        own = len(line) - len(line.lstrip())
        if is_entry(line):
            keys += 1
            indent = own if keys == 1 else indent
        elif _COMMENT.match(line) or _CLOSES.match(line):
            continue
        elif not keys or own < indent or (own == indent and not _ITEM.match(line)):
            return False
    return keys > 1 or (keys == 1 and len(lines) > 1 and lines[0].rstrip().endswith(":"))


def data_parts(text: str, longest: int) -> list[Part]:
    """Split entries; those of a section need its first line."""
    if len(text) <= longest or _ANCHOR.search(text):
        return [part(text, style="block")]
    parts: list[Part] = []
    pending: list[str] = []
    for line in [*lines_of(text), None]:
        if (line is None or _SECTION.match(line)) and pending:
            section = _SECTION.match(pending[0]) is not None
            if section and len(pending) > 1 and "".join(pending[1:]).strip():
                opening = len(parts)
                parts.append(part(pending[0], style="block", alone=False))
                _add(pending[1:], longest, (opening,), 1, parts)
            else:
                _add(pending, longest, (), 0, parts)
            pending = []
        if line is not None:
            pending.append(line)
    return parts


def _add(
    lines: Sequence[str], longest: int, needs: tuple[int, ...], depth: int, parts: list[Part]
) -> None:
    """Append the entries of one level; those that are long are opened."""
    for entry in _entries(lines):
        text = "".join(entry)
        head = _head(entry) if len(text) > longest and depth < _DEPTH else 0
        if not head:
            parts.append(part(text, style="block", needs=needs))
            continue
        opening = len(parts)
        parts.append(part("".join(entry[:head]), style="block", needs=needs, alone=False))
        _add(entry[head:], longest, (*needs, opening), depth + 1, parts)


def _entries(lines: Sequence[str]) -> list[list[str]]:
    """Return the entries of one level; a list may stand as far left as its key."""
    entries: list[list[str]] = []
    for entry in statements(lines, _CLOSES):
        last = entries[-1] if entries else None
        if last is not None and _ITEM.match(entry[0]) and not _ITEM.match(last[0]):
            last += entry
        else:
            entries.append(entry)
    return entries


def _head(entry: Sequence[str]) -> int:
    """Return how many lines of an entry its nested entries need; 0 if it cannot be opened."""
    lines = [
        (at, line) for at, line in enumerate(entry) if line.strip() and not _COMMENT.match(line)
    ]
    if len(lines) < 2 or not _nests(lines[0][1]):
        return 0
    nested = [(len(line) - len(line.lstrip()), line) for _, line in lines[1:]]
    least = min(indent for indent, _ in nested)
    level = [line for indent, line in nested if indent == least]
    opened = all(_KEY.match(line) or _ITEM.match(line) for line in level)
    return lines[0][0] + 1 if opened else 0


def _nests(line: str) -> bool:
    """Return whether what is below a line belongs to it: `key:`, or the first key of an item."""
    own = line.split(" #")[0].strip()
    return own.endswith(":") or own.startswith("- ")
