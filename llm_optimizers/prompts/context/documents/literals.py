"""Documents written as literals: the repr of a list of Python objects, a JSON array, JSON lines.

The longest string of each object is its document's own text. It is read and written as a literal,
so that an object that was cut still parses.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from llm_optimizers.prompts.context.documents.places import Place, Quoting, title_among
from llm_optimizers.prompts.context.documents.tags import Span

__all__ = ["literals", "quoted", "unquoted"]

_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_OBJECT = re.compile(r"[A-Z]\w{0,60}\(")
_NAMED = re.compile(r"\w\s?[=:]\s?\Z")
_PLAIN = re.compile(r"[^'\"()\[\]{}]+")
_BETWEEN = re.compile(r"\s*+(?:,\s*+)?")
_READABLE = re.compile(
    r"['\"](?:[^\\]|\\(?:['\"\\abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}"
    r"|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}))*['\"]"
)
"""A literal without escapes that Python warns of; `repr` writes no others."""
_DECODER = json.JSONDecoder()
_DEPTH = 3
"""How deep the text of a JSON document may be: `{"document": {"page_content": …}}` is two."""
_DOCUMENT = 60
"""Characters of text that JSON documents have at least, on average."""
_SHORT = 300
"""Characters that a title has at most."""


def unquoted(literal: str, quoting: Quoting) -> str:
    """Return the text that a literal stands for; a text without quoting is itself."""
    if quoting == "python":
        return str(ast.literal_eval(literal))
    return str(json.loads(literal)) if quoting == "json" else literal


def quoted(text: str, quoting: Quoting, *, like: str = "") -> str:
    """Return a text as a literal, with letters escaped if they are in the literal `like`."""
    if quoting == "python":
        return repr(text)
    return json.dumps(text, ensure_ascii=like.isascii()) if quoting == "json" else text


def literals(body: str) -> list[Place]:
    """Return the documents of a section that is a list of literals; none if it is anything else."""
    start = len(body) - len(body.lstrip())
    end = len(body.rstrip())
    if _OBJECT.match(body, start) or _OBJECT.match(body, start + 1):
        found = _objects(body, start, end)
    elif body[start : start + 1] in ("[", "{"):
        found = _json(body, start, end) or _strings(body, start, end)
        if found and found[0].quoting == "python":
            return found  # LlamaIndex writes a list of one string.
    else:
        return []
    return found if len(found) > 1 else []


def _objects(body: str, start: int, end: int) -> list[Place]:
    """Return the Python objects from `start` to `end`, in a list or not."""
    if body[start] in "[(":
        if body[end - 1] not in "])":
            return []
        start, end = start + 1, end - 1
    found: list[Place] = []
    while start < end:
        one = _object(body, start, end) if _OBJECT.match(body, start, end) else None
        if one is None:
            return []
        found.append(one)
        after = _BETWEEN.match(body, one.end, end)
        start = after.end() if after is not None else one.end
    return found


def _strings(body: str, start: int, end: int) -> list[Place]:
    """Return the Python strings in the list from `start` to `end`."""
    found: list[Place] = []
    at = start + 1
    while at < end - 1:
        string = _STRING.match(body, at, end)
        if string is None or _READABLE.fullmatch(body, *string.span()) is None:
            return []
        first, last = string.span()
        found.append(Place(start=first, end=last, text=(first, last), quoting="python"))
        after = _BETWEEN.match(body, last, end)
        at = after.end() if after is not None else last
    return found if body[end - 1] == "]" else []


def _object(body: str, start: int, end: int) -> Place | None:
    """Return the place of the object that begins at `start`; None if it does not end."""
    depth, at = 0, start
    strings: list[Span] = []
    texts: list[Span] = []
    while at < end:
        plain = _PLAIN.match(body, at, end)
        if plain is not None:
            at = plain.end()
        elif body[at] in "'\"":
            string = _STRING.match(body, at, end)
            if string is None:
                return None
            strings.append(string.span())
            if depth == 1 and _NAMED.search(body, max(start, at - 64), at):
                texts.append(string.span())
            at = string.end()
        else:
            depth += 1 if body[at] in "([{" else -1
            at += 1
            if not depth:
                return _python_place(body, (start, at), strings, texts)
    return None


def _python_place(body: str, span: Span, strings: list[Span], texts: list[Span]) -> Place | None:
    """Return the place of an object whose longest argument is the text; None if it has no text."""
    text = max(texts, key=_length, default=None)
    if text is None or _READABLE.fullmatch(body, *text) is None:
        return None
    short = [string for string in strings if _length(string) < _SHORT]
    fields = {
        body[key[0] + 1 : key[1] - 1]: body[value[0] + 1 : value[1] - 1]
        for key, value in pairwise(short)
        if value != text and body[key[1] : value[0]].strip() == ":"
    }
    return Place(start=span[0], end=span[1], text=text, title=title_among(fields), quoting="python")


def _length(span: Span) -> int:
    return span[1] - span[0]


def _json(body: str, start: int, end: int) -> list[Place]:
    """Return the elements of a JSON array (the longest in an object), or the lines of JSON.

    Records without longer texts are data, not documents.
    """
    try:
        value, stop = _DECODER.raw_decode(body, start)
        if stop < end:
            spans = list(_values(body, start, end))
        else:
            for _ in range(_DEPTH):
                if isinstance(value, dict):
                    start, stop = max(dict(_members(body, start)).values(), key=_length)
                    value, _ = _DECODER.raw_decode(body, start)
            spans = list(_elements(body, start)) if isinstance(value, list) else []
        found = [_json_place(body, span) for span in spans]
    except (ValueError, IndexError, RecursionError):
        return []
    texts = sum(_length(each.text) for each in found)
    return found if texts >= _DOCUMENT * len(found) else []


def _values(body: str, start: int, end: int) -> Iterator[Span]:
    """Yield the spans of JSON values one after the other, with blanks or a comma between."""
    while start < end:
        _, stop = _DECODER.raw_decode(body, start)
        yield start, stop
        start = _skipped(body, stop)


def _elements(body: str, start: int) -> Iterator[Span]:
    """Yield the spans of the elements of the array that begins at `start`."""
    start = _skipped(body, start + 1)
    while body[start] != "]":
        _, stop = _DECODER.raw_decode(body, start)
        yield start, stop
        start = _skipped(body, stop)


def _members(body: str, start: int) -> Iterator[tuple[str, Span]]:
    """Yield the names and the spans of the values of the object that begins at `start`."""
    start = _skipped(body, start + 1)
    while body[start] != "}":
        name, stop = _DECODER.raw_decode(body, start)
        start = _skipped(body, body.index(":", stop) + 1)
        _, stop = _DECODER.raw_decode(body, start)
        yield name, (start, stop)
        start = _skipped(body, stop)


def _skipped(body: str, at: int) -> int:
    found = _BETWEEN.match(body, at)
    return found.end() if found is not None else at


def _json_place(body: str, span: Span) -> Place:
    """Return the place of a JSON value, whose longest string is the text.

    Raises:
        ValueError: it has no string to cut.
    """
    text, fields = span, dict[str, str]()
    for _ in range(_DEPTH):
        if body[text[0]] == "{":
            members = dict(_members(body, text[0]))
            text = max(members.values(), key=_length)
            fields |= _short_strings(body, [each for each in members.items() if each[1] != text])
    if body[text[0]] != '"':
        raise ValueError("a JSON document has no text")
    return Place(start=span[0], end=span[1], text=text, title=title_among(fields), quoting="json")


def _short_strings(body: str, members: Sequence[tuple[str, Span]]) -> dict[str, str]:
    """Return the short strings among members, and those in short objects (such as metadata)."""
    found: dict[str, str] = {}
    for name, (start, stop) in members:
        if stop - start < _SHORT:
            value = json.loads(body[start:stop])
            inside = value if isinstance(value, dict) else {name: value}
            found |= {key: each for key, each in inside.items() if isinstance(each, str)}
    return found
