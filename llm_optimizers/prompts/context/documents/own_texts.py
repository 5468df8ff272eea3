"""Where each document's own text lies in a message, where that is certain."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.documents.places import trimmed_span
from llm_optimizers.prompts.context.documents.sections import sections
from llm_optimizers.prompts.context.documents.tagged import tagged, unwrapped
from llm_optimizers.prompts.context.documents.tags import Span
from llm_optimizers.text.json_values import json_spans

__all__ = ["document_spans"]

_log = logging.getLogger(__name__)
_OPENED = re.compile(
    r"<(?:[a-z]+[_-]){0,3}(?:article|chunk|content|context|doc|document|excerpt|file|page|passage"
    r"|record|reference|result|snippet|source|text)s?[\d_-]*+(?:\s[^<>]*+)?>\s*\Z",
    re.IGNORECASE,
)
_VALUE = re.compile(r"(?:\A|\n[ \t\r]*\n)\s*+[\[{]")
"""The opening bracket of a JSON value at the start or after a blank line."""
_FIELD = re.compile(r"<([\w.:-]++)[^<>]*+>[^<>]*+</\1>")
_ANY_TAG = re.compile(r"</?\w[^<>]*+>")


def document_spans(text: str, *, asked: bool = False) -> list[Span]:
    """Return start and end of each document in the context sections of a message.

    Only those that are marked for certain, so that all of a document's own text is in its span:
    what is in tags for documents, or fills its section. `asked` says that the question is in
    another message. If the text cannot be read there are none, with a warning.
    """
    with FailOpen(_log, "Retrieved context could not be read; it is not shortened"):
        return [
            (start + first, start + last)
            for start, end in sections(text, asked=asked)
            for first, last in _certain(text[start:end])
        ]
    return []


def _certain(body: str) -> list[Span]:
    """Return the spans of a section's documents if their bounds are no guess, else none.

    Either one text is the whole section, or JSON values with blank lines between them are, or each
    document fills a tag and nothing but tags and fields is beside them. A text that is divided by
    numbers, headings or blank lines, or that has elements in it, may be one document.
    """
    values = list(json_spans(body, _VALUE))
    if len(values) > 1 and not any(map(str.strip, _gaps(body, values))):
        return values
    spans = [each.text for each in tagged(body)] or [trimmed_span(body, *unwrapped(body))]
    gaps = _gaps(body, spans)
    bare = [_ANY_TAG.sub("", _FIELD.sub("", gap)).strip() for gap in gaps]
    alone = not any(map(str.strip, gaps))
    filled = not any(bare) and all(map(_OPENED.search, gaps[:-1]))
    return spans if alone or filled else []


def _gaps(body: str, spans: Sequence[Span]) -> list[str]:
    """Return the text before, between and after the spans."""
    edges = [0, *(at for span in spans for at in span), len(body)]
    return [body[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
