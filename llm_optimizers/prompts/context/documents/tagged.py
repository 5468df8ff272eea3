"""Documents in tags: repeated elements side by side, such as `<document index="1">…</document>`.

The longest part of an element is its document's own text; its other children stay with it as they
are. HTML in a document is text, and so is an element in the middle of a line. Where a tag of the
documents' name has no partner nothing is certain, and another form is tried.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from llm_optimizers.prompts.context.documents.places import (
    Place,
    code_spans,
    has_text,
    place,
    title_among,
    trimmed_span,
)
from llm_optimizers.prompts.context.documents.tags import Element, Span, Tags

__all__ = ["alone", "tagged", "unwrapped"]

_HTML = re.compile(
    r"a|abbr|address|area|b|base|bd[io]|big|blockquote|br|button|caption|center|cite|code|col"
    r"|colgroup|d[dlt]|del|dfn|div|em|fieldset|figcaption|figure|font|footer|form|h[1-6]|head"
    r"|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|main|mark|menu|nav|ol|optgroup"
    r"|option|p|picture|pre|q|s|samp|script|select|small|span|strike|strong|style|su[bp]|svg"
    r"|table|t[drt]|tbody|textarea|tfoot|th|thead|time|u|ul|var|video|wbr"
)
_INTRODUCTION = 200
"""Characters of text beside the documents that may stay whatever is dropped."""


def unwrapped(body: str) -> Span:
    """Return the inside of the elements that hold a whole section, the innermost's."""
    return _descended(body, Tags(body))[0]


def tagged(body: str) -> list[Place]:
    """Return the documents in tags; none if it is not certain what they are.

    A document may speak of tags, in code or in a sentence. Those count only if all have a partner.
    """
    found = _tagged(body, Tags(body))
    if found or "<" not in body:
        return found
    code = code_spans(body)
    return _tagged(body, Tags(body, code)) or _tagged(body, Tags(body, code, inline=False))


def alone(body: str, element: Element, within: Span) -> bool:
    """Return whether only blanks and other tags are beside an element on its lines."""
    before, after = element.start - 1, element.end
    while before >= within[0] and body[before] in " \t":
        before -= 1
    while after < within[1] and body[after] in " \t\r":
        after += 1
    begins = before < within[0] or body[before] in "\n>"
    return begins and (after >= within[1] or body[after] in "\n<")


def _children(body: str, tags: Tags, span: Span, among: Span) -> list[Element]:
    """Return the elements directly inside a span that are parts of their own."""
    return [
        each
        for each in tags.elements(among)
        if not _HTML.fullmatch(each.name) and alone(body, each, span)
    ]


def _descended(body: str, tags: Tags) -> tuple[Span, Span]:
    """Return the inside of the innermost wrapper, and the indexes of its tags.

    A wrapper is alone among its siblings, or holds most of what they hold.
    """
    span, among = (0, len(body)), tags.all
    while True:
        children = _children(body, tags, span, among)
        kinds = Counter(each.kind for each in children)
        if not children or max(kinds.values()) > 1:
            return span, among
        longest = max(children, key=lambda each: each.end - each.start)
        rest = _letters(body, span[0], longest.start) + _letters(body, longest.end, span[1])
        if rest > max(_INTRODUCTION, (longest.end - longest.start) // 2):
            return span, among
        span, among = longest.inner, longest.tags


def _letters(body: str, start: int, end: int) -> int:
    return len(body[start:end].strip())


def _tagged(body: str, tags: Tags) -> list[Place]:
    """Return the documents in some of the tags, and longer text between and beside them."""
    span, among = _descended(body, tags)
    siblings = _siblings(_children(body, tags, span, among))
    if len(siblings) < 2 or {each.kind for each in siblings} & tags.lone(among):
        return []
    groups = _grouped([each.kind for each in siblings])
    found = [_document(body, tags, siblings[first:last]) for first, last in groups]
    gaps = [(one.end, other.start) for one, other in pairwise(found)]
    beside = [place(body, *gap) for gap in gaps if has_text(body, *gap)]
    edges = ((span[0], found[0].start), (found[-1].end, span[1]))
    beside += [place(body, *edge) for edge in edges if _letters(body, *edge) > _INTRODUCTION]
    if sum(each.end - each.start for each in beside) > found[-1].end - found[0].start:
        return []
    return sorted([*found, *beside], key=lambda each: each.start)


def _siblings(elements: list[Element]) -> list[Element]:
    """Return the elements that are documents; one of a kind of its own at an edge is not."""
    kinds = Counter(each.kind for each in elements)
    documents = [at for at, each in enumerate(elements) if kinds[each.kind] > 1]
    return elements[documents[0] : documents[-1] + 1] if documents else elements


def _grouped(kinds: Sequence[str]) -> list[Span]:
    """Return which neighbours are one document: a source and its text, again and again.

    Otherwise each is its own.
    """
    period = len(set(kinds))
    again = len(kinds) // period
    if period > 1 and again > 1 and list(kinds) == list(kinds[:period]) * again:
        return [(at, at + period) for at in range(0, len(kinds), period)]
    return [(at, at + 1) for at in range(len(kinds))]


def _document(body: str, tags: Tags, elements: Sequence[Element]) -> Place:
    """Return the place of one document, its title and its own text: the longest part."""
    element = max(elements, key=lambda each: each.end - each.start)
    fields = {**element.attributes, **_fields(body, elements, but=element)}
    own = element.inner
    while True:
        children = _children(body, tags, element.inner, element.tags)
        if not children or max(Counter(each.kind for each in children).values()) > 1:
            break
        longest = max(children, key=lambda each: each.end - each.start)
        edges = [
            element.inner[0],
            *(at for each in children for at in (each.start, each.end)),
            element.inner[1],
        ]
        texts = list(zip(edges[::2], edges[1::2], strict=True))
        own = max(texts, key=lambda text: _letters(body, *text))
        if _letters(body, *own) >= longest.inner[1] - longest.inner[0]:
            fields.update(_fields(body, children))
            break
        fields.update(_fields(body, children, but=longest))
        element, own = longest, longest.inner
    return Place(
        start=elements[0].start,
        end=elements[-1].end,
        text=trimmed_span(body, *own),
        title=title_among(fields),
    )


def _fields(
    body: str, elements: Sequence[Element], *, but: Element | None = None
) -> dict[str, str]:
    """Return the text of the short elements by their names."""
    return {
        each.name: body[slice(*each.inner)]
        for each in elements
        if each is not but and each.inner[1] - each.inner[0] <= _INTRODUCTION
    }
