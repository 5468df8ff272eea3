"""Where each document's own text lies in a message, where that is certain."""

from __future__ import annotations

import re

from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.documents.places import trimmed_span
from llm_optimizers.prompts.context.documents.sections import sections
from llm_optimizers.prompts.context.documents.tagged import tagged, unwrapped
from llm_optimizers.prompts.context.documents.tags import Span, gaps
from llm_optimizers.text import json_spans

__all__ = ["document_spans"]

_OPENED = re.compile(
    r"<(?:[a-z]+[_-]){0,3}(?:article|chunk|content|context|doc|document|excerpt|file|page|passage"
    r"|record|reference|result|snippet|source|text)s?[\d_-]*+(?:\s[^<>]*+)?>\s*\Z",
    re.IGNORECASE,
)
_FIELD = re.compile(r"<([\w.:-]++)[^<>]*+>[^<>]*+</\1>")
_ANY_TAG = re.compile(r"</?\w[^<>]*+>")
_BRACKET = re.compile(r"[\[{]")


def document_spans(text: str, *, asked: bool = False) -> list[Span]:
    """Return start and end of each document in the context sections of a message.

    Only those that are marked for certain, so that all of a document's own text is in its span:
    what is in tags for documents, or fills its section. `asked` says that the question is in
    another message. If the text cannot be read there are none, with a warning.
    """
    with FailOpen(__name__, "Retrieved context could not be read; it is not shortened"):
        return [
            (start + first, start + last)
            for start, end in sections(text, asked=asked)
            for first, last in _certain(text[start:end])
        ]
    return []


def _certain(body: str) -> list[Span]:
    """Return the spans of a section's documents if their bounds are no guess, else none.

    Either one text is the whole section, or each document fills a tag and nothing but tags and
    fields is beside them. A text that is divided by numbers, headings or blank lines, or that has
    elements in it, may be one document.
    """
    spans = [each.text for each in tagged(body)] or [trimmed_span(body, *unwrapped(body))]
    others = gaps(body, spans)
    bare = [_ANY_TAG.sub("", _FIELD.sub("", gap)).strip() for gap in others]
    alone = not any(map(str.strip, others))
    filled = not any(bare) and all(map(_OPENED.search, others[:-1]))
    return [one for span in spans for one in _values(body, span)] if alone or filled else []


def _values(body: str, span: Span) -> list[Span]:
    """Return the JSON values that fill a span with blank lines between; else the span."""
    found = [(span[0] + a, span[0] + b) for a, b in json_spans(body[slice(*span)], _BRACKET)]
    others = gaps(body, found, span)
    apart = len(found) > 1 and all(gap.count("\n") > 1 for gap in others[1:-1])
    return found if apart and not any(map(str.strip, others)) else [span]
