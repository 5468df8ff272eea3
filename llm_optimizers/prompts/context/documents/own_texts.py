"""Where each document's own text lies in a message, where that is certain."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_optimizers.prompts.context.documents.division import Documents, documents
from llm_optimizers.prompts.context.documents.sections import sections
from llm_optimizers.prompts.context.documents.tagged import unwrapped
from llm_optimizers.prompts.context.documents.tags import Span

__all__ = ["document_spans"]

_TAG = re.compile(r"<[^<>]*>")


def document_spans(text: str) -> list[Span]:
    """Return start and end of each document's own text in the context sections of a message.

    Documents in literals, as in a JSON array, are one span with the brackets and commas around
    them. So is a section in which not every document is marked, if only tags are around it.
    """
    found: list[Span] = []
    for start, end in sections(text):
        body = text[start:end]
        section = documents(body)
        spans = _own_texts(section) if _are_apart(section) else _inside_tags(body)
        found += [(start + first, start + last) for first, last in spans]
    return found


def _are_apart(section: Documents) -> bool:
    """Return whether every document is marked, none is in a literal, and no text is beside tags."""
    found = section.documents
    tagged = {bool(each.after.strip()) for each in found}
    return section.marked and len(tagged) == 1 and not any(each.quoting for each in found)


def _own_texts(section: Documents) -> Iterator[Span]:
    """Yield the spans of the documents' own texts, counted from the section's start."""
    at = len(section.opening)
    for each, separator in zip(section.documents, (*section.separators, ""), strict=True):
        own = at + len(each.before)
        yield own, own + len(each.text)
        at += len(str(each)) + len(separator)


def _inside_tags(body: str) -> Iterator[Span]:
    """Yield the span inside the tags around a whole section, if nothing else is around it."""
    first, last = unwrapped(body)
    if not _TAG.sub("", body[:first] + body[last:]).strip():
        yield first, last
