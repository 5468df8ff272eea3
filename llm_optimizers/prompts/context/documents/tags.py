"""Find the elements of a text: tags that have their partner.

No grammar is assumed: `a < b`, `List<T>` and an unclosed `<br>` have no partner, and are text. So
are self-closing tags. The time is linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Element", "Span", "Tags", "gaps", "inside_any", "without_lone_tags"]

Span = tuple[int, int]
"""Start and end of a part of a text."""

_TAG = re.compile(
    # Letters of Hindi and Thai may have marks, which are no letters to `\w`.
    r"<(?P<close>/?)(?P<name>[^\W\d_][\w.:\u0900-\u0903\u093a-\u094f\u0e31-\u0e3a\u0e47-\u0e4e-]{0,60})"
    r"(?P<attributes>(?:\s(?:[^<>\"']|\"[^\"<\n]{0,300}\"|'[^'<\n]{0,300}'){0,500})?)>"
)
_ATTRIBUTE = re.compile(r"(?P<name>[\w.:-]{1,60})\s*=\s*(?:\"(?P<a>[^\"]*)\"|'(?P<b>[^']*)')")
_NUMBER = "0123456789_-."


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An element: `start` to `end` with its tags, `inner` without; its inner tags by index."""

    name: str
    attributes: dict[str, str]
    start: int
    end: int
    inner: Span
    tags: Span

    @property
    def kind(self) -> str:
        """The name without a number at its end: `<doc1>` and `<doc2>` are of one kind."""
        return self.name.rstrip(_NUMBER) or self.name


class Tags:
    """The tags of a text, each opening one with its closing one if it has one.

    Tags inside the spans `skipped` are ignored, and without `inline` those inside a line.
    """

    def __init__(self, text: str, skipped: Sequence[Span] = (), *, inline: bool = True) -> None:
        self._found = [
            found
            for found in _TAG.finditer(text)
            if not found["attributes"].endswith("/")
            and not inside_any(found.start(), skipped)
            and (inline or not _in_a_line(text, found))
        ]
        self._closing: dict[int, int] = {}
        opened: list[int] = []
        waiting: Counter[str] = Counter()
        for at, tag in enumerate(self._found):
            name = tag["name"].lower()
            if not tag["close"]:
                opened.append(at)
                waiting[name] += 1
            elif waiting[name]:
                while True:  # Unclosed tags between the two are text.
                    last = opened.pop()
                    waiting[self._name(last)] -= 1
                    if self._name(last) == name:
                        break
                self._closing[last] = at
        self._paired = {*self._closing, *self._closing.values()}
        self.all = (0, len(self._found))

    def elements(self, tags: Span) -> Iterator[Element]:
        """Yield the outermost elements among the tags of these indexes, in order."""
        at, last = tags
        while at < last:
            closing = self._closing.get(at)
            if closing is not None:
                yield self._element(at, closing)
                at = closing
            at += 1

    def lone(self, tags: Span) -> set[str]:
        """Return the names of tags without a partner, among the tags of these indexes."""
        return {self._name(at) for at in range(*tags) if at not in self._paired}

    def lone_spans(self) -> Iterator[tuple[str, Span]]:
        """Yield the name and the place of every tag without a partner."""
        for at, tag in enumerate(self._found):
            if at not in self._paired:
                yield self._name(at), tag.span()

    def _name(self, at: int) -> str:
        return self._found[at]["name"].lower()

    def _element(self, at: int, closing: int) -> Element:
        opened, closed = self._found[at], self._found[closing]
        return Element(
            name=self._name(at),
            attributes={
                each["name"].lower(): each["a"] if each["a"] is not None else each["b"]
                for each in _ATTRIBUTE.finditer(opened["attributes"])
            },
            start=opened.start(),
            end=closed.end(),
            inner=(opened.end(), closed.start()),
            tags=(at + 1, closing),
        )


def _in_a_line(text: str, tag: re.Match[str]) -> bool:
    """Return whether text is before and after a tag on its line."""
    before = text[max(0, tag.start() - 40) : tag.start()].rstrip(" \t")[-1:]
    after = text[tag.end() : tag.end() + 40].lstrip(" \t\r")[:1]
    return before not in ("", "\n", ">") and after not in ("", "\n", "<")


def without_lone_tags(original: str, cut: str) -> str:
    """Return the cut text without the tags that lost their partner by the cut.

    Tags that had no partner in the original either are text, and stay.
    """
    tags = Tags(cut)
    lost = list(tags.lone_spans())
    if not lost:
        return cut
    before = Tags(original)
    text = before.lone(before.all)
    written, at = [], 0
    for name, (start, end) in lost:
        if name not in text:
            written.append(cut[at:start])
            at = end
    return "".join([*written, cut[at:]])


def gaps(text: str, spans: Sequence[Span], within: Span | None = None) -> list[str]:
    """Return the text before, between and after spans in order, of all the text or of a part."""
    start, end = within or (0, len(text))
    edges = [start, *(at for span in spans for at in span), end]
    return [text[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True)]


def inside_any(position: int, spans: Sequence[Span]) -> bool:
    """Return whether a position lies after the start and before the end of a span; spans sorted."""
    at = bisect_right(spans, (position,)) - 1
    return at >= 0 and spans[at][0] < position < spans[at][1]
