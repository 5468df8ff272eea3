"""The members of a JSON value as parts: what is kept of it is valid, and equal to what it was.

A long container is opened: its members are parts that need its brackets. A short one, and one
that names a key twice, is one part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from llm_optimizers.prompts.context.parts.part import Part
from llm_optimizers.text import json_spans

__all__ = ["json_parts", "json_values"]

_START = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[{\"\dtfn\]-])")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
_CODE = "=([{,<&|+-*/"
"""A bracket after one of these belongs to code."""
_LINE_START = 200
"""Characters before a bracket that are looked at."""
_INLINE = 60
"""Characters up to which a value inside a sentence stays part of it."""
_SHORT = 80
"""Characters up to which neighbouring short members make one part."""
_RECORD = 400
"""Characters up to which a container is one part."""
_DEPTH = 8
"""How deep containers are opened; deeper ones are one part."""


@dataclass(slots=True, kw_only=True)
class _Container:
    """An object or array; its members' starts, ends, keys and, if they are such, containers."""

    start: int
    end: int = 0
    members: list[tuple[int, int, str | None, _Container | None]] = field(default_factory=list)

    def can_be_opened(self) -> bool:
        keys = [key for _, _, key, _ in self.members if key is not None]
        return bool(self.members) and len(set(keys)) == len(keys)


def json_values(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every JSON object or array of a text, but short ones in sentences."""
    for start, end in json_spans(text, _START):
        line = text[max(0, start - _LINE_START) : start].rpartition("\n")[2].rstrip()
        own_line = not line and text[end : end + 1] in ("", "\n", "\r")
        if own_line or (end - start > _INLINE and not line.endswith(tuple(_CODE))):
            yield start, end


def json_parts(text: str) -> list[Part]:
    """Split the source of a valid object or array, with the blanks behind it."""
    parts: list[Part] = []
    end = len(text.rstrip())
    _add(text, 0, end, _parsed(text), text[end:], (), 0, parts)
    return parts


def _add(
    text: str,
    start: int,
    end: int,
    container: _Container | None,
    tail: str,
    needs: tuple[int, ...],
    depth: int,
    parts: list[Part],
) -> None:
    """Append the parts of one member, opened if it is a long container."""
    closed = container is None or end - start <= _RECORD or depth == _DEPTH
    if closed or container is None or not container.can_be_opened():
        parts.append(Part(text=text[start:end], tail=tail, needs=needs, style="block"))
        return
    opening = len(parts)
    bracket = Part(text="", needs=needs, alone=False, style="block")
    parts.append(replace(bracket, text=text[start : container.members[0][0]]))
    inside = (*needs, opening)
    for first, last, inner, separator in _runs(text, container):
        _add(text, first, last, inner, separator, inside, depth + 1, parts)
    ending = text[container.members[-1][1] : end]
    parts.append(replace(bracket, text=ending, tail=tail, closing=True))
    # The position of the closing bracket is known only now.
    for at in range(opening + 1, len(parts) - 1):
        parts[at] = replace(parts[at], needs=(*parts[at].needs, len(parts) - 1))


def _runs(text: str, container: _Container) -> Iterator[tuple[int, int, _Container | None, str]]:
    """Yield the members of a container, short neighbours together, each with its separator."""
    members = container.members
    at = 0
    while at < len(members):
        start, end, _, inner = members[at]
        at += 1
        while inner is None and at < len(members):
            _, last, _, following = members[at]
            if following is not None or last - start > _SHORT:
                break
            end, at = last, at + 1
        yield start, end, inner, text[end : members[at][0]] if at < len(members) else ""


def _parsed(text: str) -> _Container:
    """Return the structure of a valid source."""
    root = _Container(start=0)
    stack = [root]
    starts = [0]
    keys: list[str | None] = [None]
    inner: _Container | None = None
    before = ""
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in ("{", "["):
            stack.append(_Container(start=token.start()))
            starts.append(token.end())
            keys.append(None)
            inner = None
        elif mark == ":":
            keys[-1] = str(json.loads(before))
        elif mark in (",", "}", "]"):
            source = text[starts[-1] : token.start()]
            if source.strip():
                first = starts[-1] + len(source) - len(source.lstrip())
                last = starts[-1] + len(source.rstrip())
                stack[-1].members.append((first, last, keys[-1], inner))
            inner, keys[-1], starts[-1] = None, None, token.end()
            if mark != ",":
                inner = stack.pop()
                inner.end = token.end()
                starts.pop()
                keys.pop()
        before = mark
    return inner if inner is not None else root
