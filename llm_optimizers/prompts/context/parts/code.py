"""Code as parts: whole, or its top-level statements, and a shell prompt with its output.

Statements are found by indentation, brackets and quotes, not by a parser, so any language will do
and broken code too. A long Python class or function is opened: its statements need its first
lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from llm_optimizers.prompts.context.parts.part import Part, lines_of, part
from llm_optimizers.text import is_code_line

__all__ = ["code_parts", "fence_parts", "is_source", "is_transcript", "statements"]

_TOKEN = re.compile(
    r"\"\"\"|'''|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|(?<![{$])#[^\n]*|[()\[\]{}]|\n"
)
_LONG = {
    mark: re.compile(rf"(?:\\.|(?!{mark})[^\\])*+(?:{mark})?", re.DOTALL) for mark in ('"""', "'''")
}
"""The rest of a string that may go over several lines."""
_CONTINUES = re.compile(
    r"(?:else|elif|except|finally|case|catch|rescue|ensure|end|done|fi|then|do|esac)\b|[)\]{}]"
)
_INTRODUCES = re.compile(r"@|#(?!include)|//|/\*|\*|--")
"""A decorator or a comment belongs to the statement below it."""
_OPENED = re.compile(r"[ \t]*(?:class|def|async[ \t]+def)\b")
_PROMPT = re.compile(r"(?:>>>|\$|%|#|In ?\[\d+\]:|\w+@[\w.:~/-]+[$#>])[ \t]+\S")
_COMMENTED = re.compile(r"(?:>>>|\$)[ \t]+#")
"""A comment at a prompt belongs to the prompt below it."""
_CALL = re.compile(r"(?:await |raise |yield |del |assert )?[\w.]+\(")
_NEUTRAL = re.compile(rf"{_INTRODUCES.pattern}|[rbf]{{0,2}}[\"']")
"""Comments and strings, which other texts may begin with too."""
_FEWEST = 3
"""Lines that source code has at least."""
_OTHERS = 0.2
"""The share of lines of source code that may look like nothing."""
_DEPTH = 3


def fence_parts(opening: str, inside: Sequence[Part], closing: str) -> list[Part]:
    """Return the parts of a fenced block; its two lines stand around whatever is kept of it."""
    needs = (0, len(inside) + 1)
    first, last = (part(text, style="block", alone=False) for text in (opening, closing))
    moved = [
        replace(each, style="block", needs=(*needs, *(1 + at for at in each.needs)))
        for each in inside
    ]
    return [first, *moved, last]


def code_parts(text: str, longest: int) -> list[Part]:
    """Split code of more than `longest` characters into transcripts or top-level statements."""
    if len(text) <= longest:
        return [part(text, style="block")]
    lines = lines_of(text)
    if is_transcript(lines):
        prompts = [
            at
            for at, line in enumerate(lines)
            if _is_prompt(line) and not (at and _COMMENTED.match(lines[at - 1].lstrip()))
        ]
        starts = [0, *prompts[1:]]
        return [
            part("".join(lines[a:b]), style="block")
            for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)
        ]
    parts: list[Part] = []
    _add(lines, longest, (), 0, parts)
    return parts


def is_source(text: str) -> bool:
    """Return whether a whole text is source code: nearly all lines of its least indentation are.

    So the text of comments and of strings over several lines is not taken for prose.
    """
    lines = lines_of(text)
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith(("{", "[")) or not _is_code(first):
        return False
    outer = [
        (len(line) - len(line.lstrip()), line.strip())
        for line, depth in zip(lines, _depths(text), strict=False)
        if depth == 0 and line.strip()
    ]
    least = min((indent for indent, _ in outer), default=0)
    own = [line for indent, line in outer if indent == least and not _NEUTRAL.match(line)]
    code = sum(map(_is_code, own))
    fenced = any(line.startswith(("```", "~~~")) for _, line in outer)
    enough = len(outer) >= _FEWEST and (code > 1 or len(outer) > len(own))
    return bool(code) and enough and not fenced and len(own) - code <= _OTHERS * code


def _is_code(line: str) -> bool:
    matched = _NEUTRAL.match(line) or _CALL.match(line) or _CONTINUES.match(line)
    return is_code_line(line) or matched is not None


def is_transcript(lines: Sequence[str]) -> bool:
    """Return whether code begins with a prompt of a shell or an interpreter."""
    return any(map(_is_prompt, lines[:2]))


def _is_prompt(line: str) -> bool:
    return _PROMPT.match(line.lstrip()) is not None and not line.lstrip().startswith("# ")


def _add(
    lines: Sequence[str], longest: int, needs: tuple[int, ...], depth: int, parts: list[Part]
) -> None:
    """Append the statements of one level, short neighbours apart, long definitions opened."""
    for statement in statements(lines):
        text = "".join(statement)
        head = _header(statement) if len(text) > longest and depth < _DEPTH else 0
        if not head or not "".join(statement[head:]).strip():
            parts.append(part(text, style="block", needs=needs))
            continue
        opening = len(parts)
        parts.append(part("".join(statement[:head]), style="block", needs=needs, alone=False))
        _add(statement[head:], longest, (*needs, opening), depth + 1, parts)


def _header(statement: Sequence[str]) -> int:
    """Return the number of lines before the body of a Python definition; 0 if it has none."""
    first = next((at for at, line in enumerate(statement) if _OPENED.match(line)), None)
    if first is None or not all(_INTRODUCES.match(line.lstrip()) for line in statement[:first]):
        return 0
    depths = _depths("".join(statement))
    for at in range(first, len(statement) - 1):
        ended = depths[at + 1] == 0
        if ended:
            code = statement[at].split("#")[0].rstrip()
            return at + 1 if code.endswith(":") else 0
    return 0


def statements(lines: Sequence[str], continues: re.Pattern[str] = _CONTINUES) -> list[list[str]]:
    """Return the lines of each statement of the least indentation, with blank lines behind it."""
    depths = _depths("".join(lines))
    least = min(
        (
            len(line) - len(line.lstrip())
            for line, depth in zip(lines, depths, strict=False)
            if depth == 0 and line.strip() and not line.lstrip().startswith("#")
        ),
        default=0,
    )
    found: list[list[str]] = [[]]
    joins = True
    for line, depth in zip(lines, depths, strict=False):
        own = line.lstrip()
        at_level = depth == 0 and bool(own) and len(line) - len(own) <= least
        begins = at_level and not continues.match(own)
        if begins and not joins:
            found.append([])
        elif at_level and not begins and joins and len(found) > 1:
            # The comment above an `else` is no statement of its own.
            comment = found.pop()
            found[-1] += comment
        if begins:
            joins = _INTRODUCES.match(own) is not None
        joins = joins or own.rstrip().endswith("\\")
        found[-1].append(line)
    # A comment without a statement below it cannot stand alone in a body.
    if joins and len(found) > 1:
        comment = found.pop()
        found[-1] += comment
    return found


def _depths(text: str) -> list[int]:
    """Return for every line how many brackets are open where it begins, or -1 in a long string."""
    depths, depth, at = [0], 0, 0
    while (token := _TOKEN.search(text, at)) is not None:
        mark = token.group()
        at = token.end()
        if mark in _LONG:
            string = _LONG[mark].match(text, at)
            end = string.end() if string is not None else len(text)
            depths += [-1] * text.count("\n", at, end)
            at = end
        elif mark == "\n":
            depths.append(depth)
        elif mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}"):
            depth = max(0, depth - 1)
    return depths
