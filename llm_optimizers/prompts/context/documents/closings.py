"""Where a section of retrieved context ends: at the labels after it, not at those in documents.

Documents have lines like `Query:`, `## Examples` and `Answer:` too. So the last label for a
question decides where one is near the end of the prompt, with the labels directly before it. Only
labels that are written like the section's own heading count, if there are any. A label for
instructions or for a turn of a chat always ends the section: what a person wrote is not cut.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from llm_optimizers.prompts.context.documents.places import after_blank_line
from llm_optimizers.prompts.context.documents.tags import Span, inside_any
from llm_optimizers.text.labels import ANSWERS, ASKS, Label, labels

__all__ = ["Closings", "Look"]

_FENCE = re.compile(r"^[ \t]{0,3}(?:`{3,}|~{3,})", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_NEAR = 2_000
_NEAR_SHARE = 4
"""What is near the end: so many characters, or a fourth of what follows the heading."""
_OWN = ("instructions", "turn")
_AROUND = ("instructions", "marked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a heading is written: its mark, its indentation, with a small letter or not."""

    mark: str = ""
    indent: int = 0
    small: bool = False

    def like(self) -> list[Look]:
        """Return the looks of labels that are written like this; of `##` also those with `#`."""
        if not self.mark.startswith("#"):
            return [self]
        marks = [self.mark[:level] for level in range(1, len(self.mark) + 1)]
        return [Look(mark=mark, indent=self.indent) for mark in marks]


class Closings:
    """The labels of a text that are not in code."""

    def __init__(self, text: str, code: Sequence[Span]) -> None:
        self._text = text
        fences = [each.start() for each in _FENCE.finditer(text)]
        # A document that was cut in its code leaves a fence without a partner, so that code and
        # text are mixed up after it. The text after the documents tells: its fences are even.
        self._found = [
            each
            for each in labels(text)
            if not inside_any(each.start, code)
            or not (len(fences) - bisect_left(fences, each.start)) % 2
        ]
        self._by: dict[tuple[str, Look | None], list[Label]] = defaultdict(list)
        for each in self._found:
            self._by[each.kind, None].append(each)
            mark = each.mark
            look = Look(mark=mark, indent=each.indent, small=each.small and not mark)
            self._by[each.kind, look].append(each)

    def asked(self, start: int, end: int, kinds: Collection[str] = ASKS) -> bool:
        """Return whether a label for a question begins between two positions."""
        return any(self._first([self._by[kind, None]], start, end) for kind in kinds)

    def end(self, start: int, limit: int, look: Look) -> int:
        """Return where the section ends that begins at `start`, `limit` if nothing ends it."""
        near = max(start, limit - max(_NEAR, (limit - start) // _NEAR_SHARE))
        anchor = self._anchor(start, near, limit, look)
        if anchor is None:
            first = self._first(self._of((*ASKS, *ANSWERS), look), start, limit)
            first = first or self._first(self._of((*ASKS, *ANSWERS), None), start, limit)
            blank = first is None
            end = first.start if first else self._earliest(near, limit, look, blank=True)
        else:
            blank = after_blank_line(self._text, anchor.start)
            end = self._earliest(near, anchor.start, look, blank=blank)
            end = self._chained(start, end, look, blank=blank)
        own = self._first(self._of(_OWN, look), start, end, blank=blank)
        return own.start if own else end

    def _anchor(self, start: int, near: int, limit: int, look: Look) -> Label | None:
        """Return the last label of the surest kind that is near the end."""
        for kinds, like in (
            (("question",), look),
            (("request", *ANSWERS), look),
            (("question",), None),
            (("request", *ANSWERS), None),
        ):
            last = self._last(self._of(kinds, like), max(start, near), limit)
            if last is not None:
                return last
        return None

    def _earliest(self, near: int, end: int, look: Look, *, blank: bool) -> int:
        like = self._of((*ASKS, *ANSWERS, *_AROUND, "examples"), look)
        first = self._first([*like, *self._others(look)], near, end, blank=blank)
        return first.start if first else end

    def _others(self, look: Look) -> list[list[Label]]:
        """Return labels for instructions in any look, with a small letter only like the heading."""
        among = [each for found in self._of(_AROUND, None) for each in found]
        return [sorted((e for e in among if look.small or e.mark or not e.small), key=_start)]

    def _chained(self, start: int, end: int, look: Look, *, blank: bool) -> int:
        """Return the start of the paragraphs before `end` that all begin with a label.

        They are an earlier chat, or examples.
        """
        kinds = self._of((*ASKS, *ANSWERS), look)
        while (last := self._last(kinds, start, end, blank=blank)) is not None:
            if _BLANK_LINE.search(self._text[last.end : end].strip()):
                break
            end = last.start
        return end

    def _of(self, kinds: Iterable[str], look: Look | None) -> list[list[Label]]:
        looks = [None] if look is None else look.like()
        return [
            self._by[kind, each] for kind in kinds for each in looks if (kind, each) in self._by
        ]

    def _first(
        self, among: Iterable[Sequence[Label]], start: int, end: int, *, blank: bool = False
    ) -> Label | None:
        """Return the first label between two positions; with `blank` one after a blank line."""
        found = []
        for each in among:
            place = bisect_left(each, start, key=_start)
            while place < len(each) and each[place].start < end:
                if not blank or after_blank_line(self._text, each[place].start):
                    found.append(each[place])
                    break
                place += 1
        return min(found, key=_start, default=None)

    def _last(
        self, among: Iterable[Sequence[Label]], start: int, end: int, *, blank: bool = False
    ) -> Label | None:
        found = []
        for each in among:
            place = bisect_left(each, end, key=_start) - 1
            while place >= 0 and each[place].start >= start:
                if not blank or after_blank_line(self._text, each[place].start):
                    found.append(each[place])
                    break
                place -= 1
        return max(found, key=_start, default=None)


def _start(label: Label) -> int:
    return label.start
