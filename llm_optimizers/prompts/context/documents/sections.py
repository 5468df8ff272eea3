"""Find retrieved context inside a message. All other text is the user's own and is never cut.

Surely context is, in this order:

1. what is in `<context>`, `<documents>`, `<search_results>` or tags of such a name that begin or
   end their line or follow a colon; and two or more `<document>` (or alike) side by side;
2. what is between two equal rules below a line that names the context or the sources;
3. what is below a heading for it (`Context:`, `## Retrieved documents`, a line that ends in
   `context:`) up to a heading for a question, a task or an answer, or for something else.

Nothing in code is a section, nor in an example, nor in the middle of a sentence. Where no end is
marked, the heading must say that context follows, the question must be elsewhere, and a short last
paragraph is the user's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llm_optimizers.prompts.context.documents.asking import ASKING, MINE, QUESTION, asks
from llm_optimizers.prompts.context.documents.places import code_spans, free, has_text
from llm_optimizers.prompts.context.documents.tags import Element, Span, Tags

__all__ = ["sections"]

_FLAGS = re.IGNORECASE | re.MULTILINE
_NOUN = (
    r"(?:contexts?|documents|docs|sources|passages|excerpts|snippets|chunks|references"
    r"|search[ _-]results|knowledge[ _-]base"
    r"|(?:retrieved|context)[ _-](?:information|content|text))"
)
_WRAPPER = re.compile(
    r"(?:(?:retrieved|relevant|reference|source|background|additional)[_-])?"
    r"(?:contexts?|documents|docs|sources|passages|excerpts|snippets|chunks|references"
    r"|search[_-]?results|knowledge(?:[_-]base)?|evidence|context[_-]\w+|retrieved[_-]\w+)"
)
_DOCUMENT = re.compile(
    r"(?:retrieved[_-])?(?:context|document|doc|source|passage|chunk|snippet|excerpt"
    r"|search[_-]?result)[_-]?"
)
_EXAMPLE = re.compile(r"(?:few[_-]?shot[_-])?examples?")
_MALFORMED = re.compile(r"^[ \t]*<context>[ \t]*\n", _FLAGS)
_FOLLOWING = (
    r"(?:\bfollowing\b[^\n]{0,40}\b(?:context|documents|sources|passages)\b|\bcontext below\b)"
)
_RULED = re.compile(
    rf"^(?:[^\n]{{0,300}}\b{_NOUN}\b[^\n]{{0,100}}\n"
    rf"|[^\n]{{0,100}}{_FOLLOWING}[^\n]{{0,400}}\n(?:[^\n]{{1,400}}\n){{0,3}}\n?)"
    r"(?P<rule>-{3,}|={3,}|\*{3,}|_{3,})[ \t\r]*\n"
    r"|^(?P<sources>={5,})\n(?=Content:)",
    _FLAGS,
)
_HEADING = re.compile(
    rf"^[ \t]*(?:(?P<level>#{{1,6}})[ \t]+|\*\*)(?:[^\W\d_]+[ ]){{0,3}}{_NOUN}"
    r"(?:[ \t]*:?\*\*:?|[ \t]*:)?[ \t#]*$"
    rf"|^[ \t]*(?P<bare>(?:(?:retrieved|relevant)[ ])?{_NOUN}[ \t]*:)(?P<alone>[ \t\r]*$)?"
    rf"|^[^\n]{{0,200}}\b{_NOUN}[ \t]*:[ \t\r]*$"
    rf"|^[^\n]{{0,100}}{_FOLLOWING}[^\n]{{0,400}}\n[ \t\r]*$",
    _FLAGS,
)
_END = re.compile(
    rf"^[ \t]*(?:{MINE}(?:{ASKING}|instructions?|human|user|answer|response)[ \t]*:"
    rf"|(?:#{{1,6}}[ \t]+|\*\*|<){MINE}(?:{ASKING}|answer|response|instructions?|output|rules"
    r"|guidelines|format|constraints|examples?)\b)",
    _FLAGS,
)
_CERTAIN = re.compile(rf"\bcontext\b|{_FOLLOWING}|\b(?:these|below|retrieved|relevant)\b", _FLAGS)
_DATA = re.compile(r"[ \t]*\n?(?:[ \t]+\S|-[ \t])")
_OTHER = re.compile(r"^(?P<level>#{1,6})[ \t]+[^\s\d][^\n\d]*$", re.MULTILINE)
_DELIMITED = re.compile(r"\s*(?P<mark>\"{3}|'{3}|`{3,}|-{3,}|={3,})[^\n]{0,20}\n")
_FINAL = 40
"""Characters after the context of a LangChain prompt whose earlier contexts are examples."""
_MANY = 200
"""Sections that a message has at most; more are no prompt."""
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_OWN_PARAGRAPH = 200
"""Characters that a last paragraph of the user's own has at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """The contents of a section; `certain` if its end is marked."""

    body: Span
    certain: bool = True


def sections(text: str, *, asked: bool = False) -> list[Span]:
    """Return where the contents of a message's context sections lie, in order.

    `asked` says that the question is in another message.
    """
    code = code_spans(text)
    for form in (_tagged, _malformed, _ruled, _headed):
        found = [
            each if each.certain else replace(each, body=_unended(text, each.body))
            for each in form(text, code)
            if has_text(text, *each.body)
        ]
        if not asked and not all(each.certain for each in found):
            rest = _without(text, found)
            found = [each for each in found if each.certain or asks(rest)]
        if found and len(found) <= _MANY:
            return [each.body for each in found]
    return []


def _without(text: str, found: Sequence[_Section]) -> str:
    edges = [0, *(at for each in found for at in each.body), len(text)]
    parts = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return " ".join(parts).strip()


def _tagged(text: str, code: Sequence[Span]) -> Iterator[_Section]:
    """Yield the elements for context, and runs of elements for documents."""
    tags = Tags(text, code)
    waiting = [tags.all]
    found: list[Span] = []
    while waiting:
        for run in _runs(text, list(tags.elements(waiting.pop()))):
            first, last = run[0], run[-1]
            if len(run) > 1 and _DOCUMENT.fullmatch(first.kind) and _marked(text, first):
                found.append((first.start, last.end))
            elif _WRAPPER.fullmatch(first.name) and _marked(text, first):
                found += [each.inner for each in run]
            elif not _EXAMPLE.fullmatch(first.name):
                waiting += [each.tags for each in run]
    return (_Section(body=span) for span in sorted(found))


def _runs(text: str, elements: Sequence[Element]) -> Iterator[list[Element]]:
    """Yield elements of one kind without text between them; one in a sentence is alone."""
    run: list[Element] = []
    for each in elements:
        apart = run and has_text(text, run[-1].end, each.start)
        if run and (apart or each.kind != run[-1].kind or not _marked(text, run[-1])):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _marked(text: str, element: Element) -> bool:
    """Return whether a tag begins or ends its line, or follows a colon."""
    before = text[max(0, element.start - 80) : element.start].rstrip(" \t")
    after = text[element.inner[0] : element.inner[0] + 80].lstrip(" \t\r")
    return before[-1:] in ("", "\n", ":", ">") or (after[:1] == "\n" and before[-1:].isalnum())


def _malformed(text: str, code: Sequence[Span]) -> Iterator[_Section]:
    """Yield what is between `<context>` and `<context/>`, as in a LangChain prompt."""
    opened = next(free(text, _MALFORMED, code), None)
    closed = text.find("<context/>", opened.end()) if opened is not None else -1
    if opened is not None and closed >= 0:
        yield _Section(body=(opened.end(), closed))


def _ruled(text: str, code: Sequence[Span]) -> Iterator[_Section]:
    """Yield what is between equal rules; the last of several before a question ends it."""
    ends = [each.start() for each in free(text, _END, code)]
    at = 0
    unclosed: set[str] = set()
    for opened in free(text, _RULED, code):
        rule = opened["rule"] or opened["sources"]
        if opened.start() < at or rule in unclosed:
            continue
        line = re.compile(rf"^{re.escape(rule)}[ \t\r]*$", re.MULTILINE)
        closed = line.search(text, opened.end())
        if closed is None:
            unclosed.add(rule)
            if re.search(_FOLLOWING, opened.group(), _FLAGS):
                yield _Section(body=(opened.end(), len(text)), certain=False)
                return
            continue
        question = _next(ends, closed.end(), otherwise=closed.end())
        for closed in line.finditer(text, closed.start(), question):  # noqa: B020
            at = closed.end()
        answered = len(text) - at > _FINAL or text[at:].strip().lower() != "final answer:"
        if not opened["sources"] or not answered:
            yield _Section(body=(opened.end(), closed.start()))


def _headed(text: str, code: Sequence[Span]) -> Iterator[_Section]:
    """Yield what is below headings for context.

    Where a question is between two of them, the earlier one belongs to an example.
    """
    headings = list(free(text, _HEADING, code))
    others = list(free(text, _OTHER, code))
    ends = [each.start() for each in free(text, _END, code)]
    ends = sorted([*ends, *(each.start() for each in headings if each["alone"] is not None)])
    found: list[_Section] = []
    at = 0
    for opened in headings:
        if opened.start() < at:
            continue
        end = _next(ends, opened.end(), otherwise=len(text))
        if opened["level"]:
            first = bisect_left(others, opened.end(), key=re.Match.start)
            following = (others[place] for place in range(first, len(others)))
            higher = (each.start() for each in following if each["level"] <= opened["level"])
            end = min(end, next(higher, end))
        if not _says_so(text, opened, end):
            continue
        if found and QUESTION.search(text, found[-1].body[1], opened.start()):
            found = []
        found.append(_Section(body=_undelimited(text, opened.end(), end), certain=end < len(text)))
        at = end
    return iter(found)


def _next(positions: Sequence[int], at: int, *, otherwise: int) -> int:
    place = bisect_left(positions, at)
    return positions[place] if place < len(positions) else otherwise


def _says_so(text: str, opened: re.Match[str], end: int) -> bool:
    """Return whether a heading is surely for context: it says so, or a question follows.

    A key in YAML is none.
    """
    bare = (opened["bare"] or "").strip()
    if bare.islower() and _DATA.match(text, opened.end()):
        return QUESTION.match(text, end) is not None
    return end < len(text) or bool(opened["level"] or _CERTAIN.search(opened.group()))


def _undelimited(text: str, start: int, end: int) -> Span:
    """Return the span without the quotation marks, fences or rules on lines around it."""
    opened = _DELIMITED.match(text, start, end)
    if opened is not None:
        last = start + len(text[start:end].rstrip())
        closed = last - len(opened["mark"])
        if closed > opened.end() and text[closed - 1 : last] == "\n" + opened["mark"]:
            return opened.end(), closed
    return start, end


def _unended(text: str, body: Span) -> Span:
    """Return the span without a short last paragraph that asks, or is far shorter than others."""
    paragraphs = _BLANK_LINES.split(text[slice(*body)].strip())
    last = paragraphs.pop()
    own = len(last) <= _OWN_PARAGRAPH and (
        asks(last) or len(last) < min(map(len, paragraphs), default=0) / 2
    )
    return (body[0], text.rindex(last, *body)) if paragraphs and own else body
