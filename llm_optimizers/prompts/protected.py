"""Spans that no pass may cut or rewrite: code, numbers, URLs, ids, placeholders, quotations.

A number cut in half is a wrong number, and a template without its placeholder is a broken one.
Passes ask here first and work between the spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "blocks", "protected_spans"]

_FENCE = re.compile(r"^[ \t]{0,3}(?P<mark>`{3,}|~{3,})[ \t]*(?P<label>[\w+#.-]*)", re.MULTILINE)
_SPAN = re.compile(
    r"`[^`\n]+`"  # inline code
    r"|\{\{.{0,200}?\}\}|\{%.{0,200}?%\}|\$?\{[\w.\[\]'\":!-]{0,80}\}|%\(\w{1,60}\)[a-z]"
    r"|(?:https?|ftp|file|s3|gs)://[^\s<>\"')\]}]+|www\.[^\s<>\"')\]}]+"
    r"|[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,63}"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b[A-Z][A-Z0-9]+-\d+\b"
    r"|[$\u20ac\u00a3]?\d(?:[\d,.:/\u00d7x-]{0,30}\d)?(?:\s?(?:%|percent|[kKMGT]?B|ms|km|kg|cm|mm))?\b"
    r"|\"[^\"\n]{1,300}\"|\u201c[^\u201d\n]{1,300}\u201d|\u00ab[^\u00bb\n]{1,300}\u00bb"
)
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w[\w.]* import |return\b|async |await |function\b|const "
    r"|let |var |public |private |protected |static |func |fn |#include|using |package |SELECT |INSERT "
    r"|UPDATE |CREATE |elif .*:|else:|try:|except\b.*:|for .+:$|while .+:$|if .+:$|with .+:$|@\w+"
    r"|\}\s*$|[\w.\])]+\s*[-+*/|&]?=\s*\S|.*[;{]\s*$|\$ \S|</?\w+[^>]*>\s*$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of text that is code as a whole, or is not; `label` is a fence's language."""

    text: str
    code: bool
    label: str | None = None


def blocks(text: str) -> Iterator[Block]:
    """Cut a text into code and other blocks that join back to it.

    Code is what stands in a fence (one that is never closed reaches to the end) and every
    paragraph most of whose lines look like code or are indented like it.
    """
    start = 0
    while (opening := _FENCE.search(text, start)) is not None:
        yield from _paragraphs(text[start : opening.start()])
        mark = opening["mark"]
        closing = re.compile(rf"^[ \t]{{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*$\n?", re.MULTILINE)
        closed = closing.search(text, opening.end())
        end = closed.end() if closed else len(text)
        yield Block(text=text[opening.start() : end], code=True, label=opening["label"])
        start = end
    yield from _paragraphs(text[start:])


def _paragraphs(text: str) -> Iterator[Block]:
    """Neighbouring paragraphs of one kind together, so that few blocks are made."""
    pending: list[str] = []
    kind = False
    for paragraph in re.split(r"(?<=\n)(?=[^\S\n]*\S)(?<=\n\n)", text):
        code = _looks_like_code(paragraph)
        if pending and code != kind:
            yield Block(text="".join(pending), code=kind)
            pending = []
        kind = code
        pending.append(paragraph)
    if any(pending):
        yield Block(text="".join(pending), code=kind)


def _looks_like_code(paragraph: str) -> bool:
    lines = [line for line in paragraph.splitlines() if line.strip()]
    if not lines:
        return False
    if all(line.startswith(("    ", "\t")) for line in lines):
        return True
    hits = sum(_CODE_LINE.match(line) is not None for line in lines)
    return hits * 2 > len(lines) and (
        len(lines) > 1 or paragraph.rstrip().endswith((";", "{", "}"))
    )


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of every protected span in a text without code blocks, in order."""
    return [match.span() for match in _SPAN.finditer(text)]
