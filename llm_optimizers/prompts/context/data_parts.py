"""The entries of YAML, TOML, INI and `key: value` text as parts, with their nested lines.

A long entry is opened: its nested entries need its first line, as every entry needs the `[section]`
it is in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_optimizers.prompts.context.code_parts import statements
from llm_optimizers.prompts.context.parts import Part, lines_of, part

__all__ = ["data_parts", "is_data", "is_entry"]

_WORD = r"[\w@$./*-]+"
_KEY = re.compile(
    rf"[ \t]*(?:- +)?(?::[^\n:]+:|[\"']?{_WORD}(?: {_WORD}){{0,2}}[\"']?[ \t]*(?::(?=\s)|=))"
)
_COMMENT = re.compile(r"[ \t]*(?:#|;)")
_SECTION = re.compile(r"\[[^\n]+\]")
_ITEM = re.compile(r"[ \t]*- ")
_ANCHOR = re.compile(r"(?:^|[:-] )[ \t]*[&*]\w", re.MULTILINE)
_CLOSES = re.compile(r"[)\]}]+,?\s*$")
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
        if len(text) <= longest or depth == _DEPTH or not _can_be_opened(entry):
            parts.append(part(text, style="block", needs=needs))
            continue
        opening = len(parts)
        parts.append(part(entry[0], style="block", needs=needs, alone=False))
        _add(entry[1:], longest, (*needs, opening), depth + 1, parts)


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


def _can_be_opened(entry: Sequence[str]) -> bool:
    """Return whether all that is nested in an entry is entries or items too."""
    nested = [line for line in entry[1:] if line.strip() and not _COMMENT.match(line)]
    if not nested or not _nests(entry[0]):
        return False
    least = min(len(line) - len(line.lstrip()) for line in nested)
    level = [line for line in nested if len(line) - len(line.lstrip()) == least]
    return all(_KEY.match(line) or _ITEM.match(line) for line in level)


def _nests(line: str) -> bool:
    """Return whether what is below a line belongs to it: `key:`, or the first key of an item."""
    own = line.split(" #")[0].strip()
    return own.endswith(":") or own.startswith("- ")
