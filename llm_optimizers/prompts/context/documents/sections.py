"""Find retrieved context inside a message. All other text is the user's own and is never cut.

Surely context is, in this order:

1. what is in `<context>`, `<documents>`, `<search_results>` or tags of such a name that begin or
   end their line or follow a colon; and two or more `<document>` (or alike) side by side;
2. what is between two equal rules below a line that introduces the context or the sources;
3. what is below a heading for it: `headings` says which, `closings` where such a section ends.

The words are those of every language in `labels`. Nothing in code is a section, nor in an example,
nor in the middle of a sentence. Where no end is marked, the heading must say that context follows,
the question must be elsewhere, and a short last paragraph is the user's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, takewhile

from llm_optimizers.prompts.context.documents.asking import asks
from llm_optimizers.prompts.context.documents.closings import Closings, Look
from llm_optimizers.prompts.context.documents.headings import (
    MANY,
    NOUNS,
    Section,
    follows,
    headed,
)
from llm_optimizers.prompts.context.documents.places import code_spans, free, has_text
from llm_optimizers.prompts.context.documents.tags import Element, Span, Tags, gaps
from llm_optimizers.text.labels import split, words_for

__all__ = ["sections"]

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
_MALFORMED = re.compile(r"^[ \t]*<context>[ \t]*\n", re.IGNORECASE | re.MULTILINE)
_RULE = re.compile(r"^(?P<rule>-{3,}|={3,}|\*{3,}|_{3,})[ \t\r]*$", re.MULTILINE)
_SOURCES = "Content:"
_LINES = 4
"""Lines before a rule of which one may say that context follows."""
_INTRODUCTION = 1_000
"""Characters of these at most."""
_TITLE = 120
"""Characters that a title above a rule has at most."""
_UNEVEN = 2
"""Characters by which the line below a title may be longer or shorter than the title."""
_FINAL = 40
"""Characters after the context of a LangChain prompt whose earlier contexts are examples."""
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_OWN_PARAGRAPH = 200
"""Characters that a last paragraph of the user's own has at most."""


def sections(text: str, *, asked: bool = False) -> list[Span]:
    """Return where the contents of a message's context sections lie, in order.

    `asked` says that the question is in another message.
    """
    code = code_spans(text)
    closings = Closings(text, code)
    for form in (_tagged, _malformed, _ruled, headed):
        found = [
            each if each.certain else replace(each, body=_unended(text, each.body))
            for each in form(text, code, closings)
            if has_text(text, *each.body)
        ]
        if not asked and not all(each.certain for each in found):
            rest = _without(text, found)
            found = [each for each in found if each.certain or asks(rest)]
        if found and len(found) <= MANY:
            return [each.body for each in found]
    return []


def _without(text: str, found: Sequence[Section]) -> str:
    return " ".join(gaps(text, [each.body for each in found])).strip()


def _tagged(text: str, code: Sequence[Span], _: Closings) -> Iterator[Section]:
    """Yield the elements for context, and runs of elements for documents."""
    tags = Tags(text, code)
    waiting = [tags.all]
    found: list[Span] = []
    while waiting:
        for run in _runs(text, list(tags.elements(waiting.pop()))):
            first, last = run[0], run[-1]
            if len(run) > 1 and _DOCUMENT.fullmatch(first.kind) and _marked(text, first):
                found.append((first.start, last.end))
            elif _wraps(first.name) and _marked(text, first):
                found += [each.inner for each in run]
            elif not _EXAMPLE.fullmatch(first.name):
                waiting += [each.tags for each in run]
    return (Section(body=span) for span in sorted(found))


def _wraps(name: str) -> bool:
    """Return whether a tag of this name holds context, in any language."""
    return _WRAPPER.fullmatch(name) is not None or words_for(*NOUNS).ends(split(name)) == 0


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


def _malformed(text: str, code: Sequence[Span], _: Closings) -> Iterator[Section]:
    """Yield what is between `<context>` and `<context/>`, as in a LangChain prompt."""
    opened = next(free(text, _MALFORMED, code), None)
    closed = text.find("<context/>", opened.end()) if opened is not None else -1
    if opened is not None and closed >= 0:
        yield Section(body=(opened.end(), closed))


def _ruled(text: str, code: Sequence[Span], closings: Closings) -> Iterator[Section]:
    """Yield what is between equal rules; the last of several before a question ends it.

    A title with a line of dashes below it opens no section where the next such line is below a
    title too, nor inside a section that a heading opened.
    """
    rules: dict[str, list[re.Match[str]]] = defaultdict(list)
    for rule in free(text, _RULE, code):
        rules[rule["rule"]].append(rule)
    at = 0
    around: list[Section] | None = None
    for opened in sorted(chain(*rules.values()), key=re.Match.start):
        same = rules[opened["rule"]]
        place = bisect_left(same, opened.start(), key=re.Match.start) + 1
        sources = opened["rule"].startswith("=====") and text.startswith(_SOURCES, opened.end() + 1)
        intro = "" if sources else _introduction(text, opened.start())
        if opened.start() < at or intro is None:
            continue
        if place == len(same):
            if follows(intro):
                yield Section(body=(opened.end(), len(text)), certain=False)
                return
            continue
        if _below_line(text, opened) or _is_title(intro):
            around = list(headed(text, code, closings)) if around is None else around
            inside = any(each.body[0] < opened.start() < each.body[1] for each in around)
            if inside or _below_title(text, same[place]):
                continue
        question = closings.end(same[place].end(), len(text), Look())
        if question < len(text):
            place = max(place, bisect_left(same, question, key=re.Match.start) - 1)
        at = same[place].end()
        answered = len(text) - at > _FINAL or text[at:].strip().lower() != "final answer:"
        if not sources or not answered:
            yield Section(body=(opened.end(), same[place].start()))


def _introduction(text: str, at: int) -> str | None:
    """Return the line before a rule that says that context follows, None if there is none."""
    before = text[max(0, at - _INTRODUCTION) : at].removesuffix("\n")
    near = before.split("\n")
    if _opens(near[-1]):
        return near[-1]
    last = near[:-1] if not near[-1].strip() else near
    paragraph = takewhile(str.strip, reversed(last[-_LINES:]))
    return next((line for line in paragraph if follows(line)), None)


def _opens(line: str) -> bool:
    """Return whether a line names the context, and ends in a colon, is short or says "below"."""
    if line not in words_for(*NOUNS):
        return False
    colon = line.rstrip().endswith((":", "\uff1a"))
    return colon or _is_title(line) or line in words_for("below", "following")


def _is_title(line: str) -> bool:
    """Return whether a line is a few words without a full stop or a colon."""
    return 0 < len(split(line)) < _LINES and line.rstrip()[-1:].isalnum()


def _below_line(text: str, rule: re.Match[str]) -> bool:
    """Return whether a rule is as long as the line above it."""
    line = text[max(0, rule.start() - _TITLE) : rule.start()].split("\n")[-2:][0].strip()
    return abs(len(line) - len(rule["rule"])) <= _UNEVEN and line[-1:].isalnum()


def _below_title(text: str, rule: re.Match[str]) -> bool:
    """Return whether a rule is as long as the title above it, and makes that a heading."""
    before = text[max(0, rule.start() - _TITLE) : rule.start()].split("\n")[:-2]
    return not "".join(before[-1:]).strip() and _below_line(text, rule)


def _unended(text: str, body: Span) -> Span:
    """Return the span without a short last paragraph that asks, or is far shorter than others."""
    paragraphs = _BLANK_LINES.split(text[slice(*body)].strip())
    last = paragraphs.pop()
    own = len(last) <= _OWN_PARAGRAPH and (
        asks(last) or len(last) < min(map(len, paragraphs), default=0) / 2
    )
    return (body[0], text.rindex(last, *body)) if paragraphs and own else body
