"""Divide a section of retrieved context into its documents, and write some of them back.

Apps and frameworks write documents in many forms. The forms are tried from the most to the least
certain: tags, literals, fields, numbers, rules, headings, paragraphs. A form counts only if the
whole section is written in it. What is not a document's own text (tags, numbers, labels, titles,
metadata) is kept as it is with the document, or dropped with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_optimizers.prompts.context.documents.literals import literals, quoted, unquoted
from llm_optimizers.prompts.context.documents.marked import fielded, headed, numbered, ruled
from llm_optimizers.prompts.context.documents.paragraphs import in_paragraphs, joined
from llm_optimizers.prompts.context.documents.places import Place, Quoting, protected
from llm_optimizers.prompts.context.documents.tagged import tagged, unwrapped
from llm_optimizers.prompts.context.documents.tags import gaps, without_lone_tags
from llm_optimizers.prompts.context.documents.titles import with_titles
from llm_optimizers.prompts.context.ranking.analysis import Passage

__all__ = ["Document", "Documents", "documents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document: `before + text + after` is what the section says.

    `title` is what the document is about, as said in `before`. With `quoting` the text is a
    literal.
    """

    before: str
    text: str
    after: str
    title: str = ""
    quoting: Quoting = ""

    @property
    def passage(self) -> Passage:
        """The title and the text to rank."""
        return Passage(title=self.title, text=unquoted(self.text, self.quoting))

    def cut_to(self, text: str) -> str:
        """Return the document with this much of its text; tags without a partner are left out."""
        cut = text if self.quoting else without_lone_tags(self.text, text)
        return self.before + quoted(cut, self.quoting, like=self.text) + self.after

    def __str__(self) -> str:
        return self.before + self.text + self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of a section, and the text around them.

    `separators[i]` is between documents i and i + 1.
    """

    opening: str
    documents: tuple[Document, ...]
    separators: tuple[str, ...]
    closing: str

    def written(self, kept: Mapping[int, str]) -> str:
        """Return the section with only the documents in `kept`, each as written there.

        Where the first one begins on the line of the section's label, another begins on its own.
        """
        parts: list[str] = []
        for at in sorted(kept):
            separated = bool(parts) or (at > 0 and not self.opening)
            parts += [self.separators[at - 1] if separated else "", kept[at]]
        return "".join([self.opening, *parts, self.closing])

    def __str__(self) -> str:
        return self.written({at: str(each) for at, each in enumerate(self.documents)})


def documents(body: str) -> Documents:
    """Return the documents of a section's body; `str` of the result is the body."""
    places = tagged(body)
    if places:
        return _sliced(body, 0, with_titles(body, places))
    start, end = unwrapped(body)
    return _sliced(body, start, _untagged(body[start:end]))


def _untagged(body: str) -> list[Place]:
    """Return the documents of a body without tags for them."""
    found = literals(body)
    if found:
        return found
    spans = protected(body)
    for form in (fielded, numbered, ruled, headed):
        found = form(body, spans)
        if found:
            return with_titles(body, found)
    return joined(body, with_titles(body, in_paragraphs(body, spans)))


def _sliced(body: str, base: int, places: list[Place]) -> Documents:
    """Return the parts of the body; the places are counted from `base` on."""
    spans = [(base + each.start, base + each.end) for each in places]
    found = [
        Document(
            before=body[start : base + each.text[0]],
            text=body[base + each.text[0] : base + each.text[1]],
            after=body[base + each.text[1] : end],
            title=each.title,
            quoting=each.quoting,
        )
        for each, (start, end) in zip(places, spans, strict=True)
    ]
    others = gaps(body, spans)
    if not found:
        return Documents(opening=body, documents=(), separators=(), closing="")
    return Documents(
        opening=others[0],
        documents=tuple(found),
        separators=tuple(others[1:-1]),
        closing=others[-1],
    )
