"""The marks of a prompt: labels for a question, an answer and context, tags for them, and rules."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llm_optimizers.text.labels import LabelledLine, is_word, labelled_lines, split, words_for

__all__ = ["Kind", "Mark", "Marks", "Span", "is_instruction"]

Span: TypeAlias = tuple[int, int]
Kind: TypeAlias = Literal["question", "letter", "other", "answer", "given answer", "context"]

_TAG = re.compile(r"<(?P<close>/?)(?P<name>[^\W\d_][^\s<>/]{0,60})[^<>\n]{0,300}(?<!/)>")
_CLOSING_TAGS = re.compile(r"</[^\W\d_][^<>\n]{0,60}>")
_RULE = re.compile(r"\s*(?:-{5,}|={5,}|\*{5,}|_{5,}|#{5,})[ \t\r]*(?:\n|\Z)")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_NO_INSTRUCTION = re.compile(r"[?\uff1f\u061f:\uff1a]|-{5}|={5}|\*{5}|_{5}|#{5}")
"""What an instruction after a question has not: another question, a label, a rule."""
_CONTEXT = ("context", "documents", "other")
_ASKING: tuple[Kind, ...] = ("question", "letter", "other")
_AROUND = 2
"""Words that may stand before the one that says what a label for context or an answer is."""
_LENGTH = 400
"""Characters of a line that are looked at."""
_FIRST_LINE = re.compile(r"\s*(?P<line>[^\n]{1,400})")
_COLONS = (":", "\uff1a")
_COLON = re.compile("[:\uff1a]")
_INSTRUCTION = 200
"""Characters of the longest instruction after a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A label at the beginning of a line; `look` is how it is written.

    `other` ones name a question that need not be the prompt's: "Related question:".
    """

    kind: Kind
    start: int
    end: int
    look: str
    said: str


class Marks:
    """The labels and tags of a text.

    `context` is the span of the one element that holds the context, from its opening tag to its
    closing one: what stands there is no part of the template. None if there is none, or if it is
    not sure where it ends, as when a document has such a tag too.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tags = list(_TAG.finditer(text)) if "</" in text else []
        self.context = self._one_element(_CONTEXT)
        self._tags = [each for each in self._tags if not self._inside_context(each)]
        self._every = [
            Mark(kind=kind, start=line.start, end=line.end, look=line.mark, said=line.said)
            for line in labelled_lines(text)
            if (kind := _kind_of(line)) is not None and not self.in_context(line.start)
        ]
        self._starts = [each.start for each in self._every]

    @property
    def has_any(self) -> bool:
        """Whether something is marked as a question, or as context."""
        marked = any(each.kind in ("question", "other", "context") for each in self._every)
        tagged = self.has_question_tag or self.context is not None
        return tagged or (marked and "\n" in self._text.strip()) or self._has_tag(_CONTEXT)

    @property
    def has_question_tag(self) -> bool:
        """Whether there is a tag for a question, with or without its partner."""
        return self._has_tag(("question",))

    def of(self, kind: Kind) -> list[Mark]:
        """Return the labels of a kind, in order, without those inside the context's element."""
        return [each for each in self._every if each.kind == kind]

    def in_context(self, at: int) -> bool:
        """Return whether a position is inside the context's element."""
        return self.context is not None and self.context[0] <= at < self.context[1]

    def tags_in(self, start: int, end: int) -> bool:
        """Return whether there is a tag in a span."""
        return any(start <= each.start() < end for each in self._tags)

    def any_in(self, start: int, end: int) -> bool:
        """Return whether a label begins in a span."""
        return bisect_left(self._starts, start) < bisect_left(self._starts, end)

    def labelled(self, start: int) -> bool:
        """Return whether the line that begins at a position is written as a label or is a rule."""
        line = self._text[start : start + _LENGTH].partition("\n")[0]
        return next(labelled_lines(line), None) is not None or self.ruled(start)

    def question_element(self) -> tuple[Span, Span] | None:
        """Return the spans of the one question in tags: with its tags, and inside them.

        It must not lie in another element that is open, such as a document's.
        """
        whole = self._one_element(("question",))
        if whole is None:
            return None
        opened = Counter(each["name"] for each in self._before(whole[0]) if not each["close"])
        closed = Counter(each["name"] for each in self._before(whole[0]) if each["close"])
        if opened != closed:
            return None
        inner = next(each.end() for each in self._tags if each.start() == whole[0])
        return whole, (inner, self._text.rindex("</", inner, whole[1]))

    def cue(self) -> Mark | None:
        """Return the label for the answer that the text ends in."""
        last = self._every[-1] if self._every else None
        if last is None or last.kind != "answer" or self._text[last.end :].strip(" \t\r\n*"):
            return None
        return last

    def wants_something_else(self) -> bool:
        """Return whether the text ends in a label for what is no answer: `Standalone question:`."""
        return self._text.rstrip(" \t\r\n*").endswith(_COLONS) and self.cue() is None

    def gives_answer(self, at: int) -> bool:
        """Return whether the next line with text says that an answer exists."""
        found = _FIRST_LINE.match(self._text, at)
        return found is not None and any(
            self._text[found.start("line") : colon.start()] in words_for("given answer")
            for colon in _COLON.finditer(self._text, found.start("line"), found.end("line"))
        )

    def closes(self, at: int) -> bool:
        """Return whether only the end of a template follows: an instruction, a cue to answer.

        An answer that exists may be there too, if a label says so: it is to be refined.
        """
        cue = self.cue()
        end = len(self._text) if cue is None or cue.start < at else cue.start
        if end < len(self._text) and self.gives_answer(at):
            asked = (each for kind in _ASKING for each in self.of(kind))
            return not any(at <= each.start < end for each in asked)
        rest = _CLOSING_TAGS.sub("", self._text[at:end]).strip()
        return not rest or (not self.any_in(at, end) and is_instruction(rest))

    def opener(self, at: int) -> str | None:
        """Return what the context begins with that follows: its label, tag or rule; None if not."""
        found = _FIRST_LINE.match(self._text, at)
        if found is None:
            return None
        start = found.start("line")
        if self.context is not None and start == self.context[0]:
            return "<"
        for each in self.of("context"):
            if found.start() <= each.start <= start:
                return each.look + each.said
        return found["line"].rstrip() if self.ruled(at) else None

    def ruled(self, at: int) -> bool:
        """Return whether a rule (`=====`) follows, after blanks only."""
        return _RULE.match(self._text, at) is not None

    def _has_tag(self, named: Sequence[str]) -> bool:
        return any(_is_named(each["name"], named) for each in self._tags)

    def _inside_context(self, tag: re.Match[str]) -> bool:
        return (
            self.context is not None and self.context[0] < tag.start() < tag.end() < self.context[1]
        )

    def _before(self, at: int) -> Iterator[re.Match[str]]:
        return (each for each in self._tags if each.start() < at)

    def _one_element(self, named: Sequence[str]) -> Span | None:
        """Return the outermost element with a name of this kind, if there is exactly one."""
        among = [each for each in self._tags if _is_named(each["name"], named)]
        if not among or among[0]["close"]:
            return None
        first = among[0]
        same = [each for each in among if each["name"] == first["name"]]
        if len(same) != 2 or not same[1]["close"] or same[1] is not among[-1]:
            return None
        return first.start(), same[1].end()


def is_instruction(text: str) -> bool:
    """Return whether a text is a short instruction on how to answer."""
    return (
        len(text) <= _INSTRUCTION
        and not _BLANK_LINE.search(text)
        and not _NO_INSTRUCTION.search(text)
        and text in words_for("answering")
    )


def _is_named(name: str, fields: Sequence[str]) -> bool:
    words = split(name)
    before = words_for(*fields).ends(words)
    if before is None:
        return False
    known = words_for("asker", "retrieved")
    return all(word in known for word in words[:before])


def _kind_of(line: LabelledLine) -> Kind | None:
    """Return what a label is for; None if that is not known."""
    words = split(line.said)
    if _asks(words):
        # Without a closing tag it is not known where the question ends.
        return "other" if line.mark == "<" else "question"
    if _ends(words, ("question",)):
        return "other"
    if not line.mark and len(words) == 1:
        if line.said in words_for("letter for a question"):
            return "letter"
        if line.said in words_for("letter for an answer"):
            return "answer"
    if words_for("given answer").ends(words) is not None:
        return "given answer"
    if _ends(words, ("answer", "cue")):
        return "answer"
    begins = bool(words) and words_for(*_CONTEXT).begins_at(words, 0)
    return "context" if begins or _ends(words, _CONTEXT) else None


def _asks(words: Sequence[str]) -> bool:
    """Return whether the words of a label say that the question follows."""
    if words_for("hands over").ends(words) is not None:
        return True
    before = words_for("question").ends(words)
    return before is not None and all(word in words_for("asker") for word in words[:before])


def _ends(words: Sequence[str], fields: Sequence[str]) -> bool:
    before = words_for(*fields).ends(words)
    return before is not None and before <= _AROUND and all(map(is_word, words[:before]))
