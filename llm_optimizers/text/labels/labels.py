"""The labels of prompts in every language: `Context:`, `## Frage`, `<вопрос>`.

The words are in `data/<language>/labels.txt`. Every language is tried: a short template does not
say which one it is in, and its documents may be in another one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from llm_optimizers.text.word_lists import languages, read_fields

__all__ = [
    "ANSWERS",
    "ASKS",
    "Label",
    "LabelledLine",
    "Words",
    "is_word",
    "labelled_lines",
    "labels",
    "split",
    "words_for",
]

ASKS = ("question", "request")
ANSWERS = ("answer", "turn")
_KINDS = (*ASKS, *ANSWERS, "instructions", "marked", "examples")
_LABEL = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?P<level>#{1,6})[ \t]+(?P<heading>[^\n:\uff1a]{1,120}):?\uff1a?"
    r"|\*\*(?P<bold>[^\n*:\uff1a]{1,80})[:\uff1a]?(?:\*\*)?[:\uff1a]?"
    r"|<(?P<tag>[^\W\d_][^\s<>/]{0,60})>"
    r"|(?P<bare>[^\W\d_][^\n:\uff1a<>#*]{0,60}?)[ \t]*[:\uff1a])",
    re.MULTILINE,
)
_WITHOUT_BLANKS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters of languages that write no blanks between words."""
_SPLIT = re.compile(r"[\s_\-\u2013\u2014,;.:!?()\[\]\"\uff1a\uff0c\u3002\u060c]+")
_LINE = 200
"""Characters at the end of a line that are looked at."""
_BEFORE = 2
"""Words that may stand before the one that says what a label is: "Your helpful answer:"."""


class Words:
    """A set of words and short phrases that a text is compared with."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._phrases = {tuple(split(each)) for each in entries if each}
        self._firsts = {phrase[0] for phrase in self._phrases}
        self._longest = max(map(len, self._phrases), default=0)
        self._unspaced = tuple(e for e in entries if e and _WITHOUT_BLANKS.search(e))

    def ends(self, words: Sequence[str]) -> int | None:
        """Return how many words are before the phrase that the words end in; None if in none."""
        for size in range(min(self._longest, len(words)), 0, -1):
            if tuple(words[-size:]) in self._phrases:
                return len(words) - size
        return None

    def end_line(self, text: str) -> bool:
        """Return whether a line ends in a phrase, also without a blank before it."""
        words = split(text[-_LINE:])
        return self.ends(words) is not None or bool(words and words[-1].endswith(self._unspaced))

    def begins_at(self, words: Sequence[str], at: int) -> bool:
        """Return whether a phrase begins at this word."""
        return any(self._has(words, at, size) for size in range(1, self._longest + 1))

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the phrases are among the words of a text, as the first and the last word.

        Words without blanks between them are found in what is around them.
        """
        words = split(text)
        unspaced = _WITHOUT_BLANKS.search(text) is not None
        for at, word in enumerate(words):
            if word in self._firsts and self.begins_at(words, at):
                size = next(n for n in range(self._longest, 0, -1) if self._has(words, at, n))
                yield at, at + size - 1
            elif unspaced and any(each in word for each in self._unspaced):
                yield at, at

    def _has(self, words: Sequence[str], at: int, size: int) -> bool:
        return at + size <= len(words) and tuple(words[at : at + size]) in self._phrases

    def __contains__(self, text: str) -> bool:
        return next(self.places(text), None) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label at the beginning of a line, and how it is written.

    `mark` is `##`, `**` or `<`, or empty if only a colon makes it a label. `small` says that it
    begins with a small letter.
    """

    kind: str
    start: int
    end: int
    mark: str
    indent: int
    small: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLine:
    """The beginning of a line that is written as a label, and the words it says."""

    start: int
    end: int
    said: str
    mark: str
    indent: int


@cache
def words_for(*fields: str) -> Words:
    """Return the entries of these fields in all languages."""
    return Words([each for name in fields for each in _entries()[name]])


@cache
def _entries() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for language in languages(__package__):
        fields = read_fields("labels", language, __package__, separator=",")
        for name, entries in fields.items():
            found.setdefault(name, []).extend(entries)
    return found


def labels(text: str) -> Iterator[Label]:
    """Yield the labels for questions, answers and instructions, in order."""
    for line in labelled_lines(text):
        words = split(line.said)
        kind = _kind_of_marked(words) if line.mark else _kind_of_bare(words)
        if kind:
            yield Label(
                kind=kind,
                start=line.start,
                end=line.end,
                mark=line.mark,
                indent=line.indent,
                small=line.said[:1].islower(),
            )


def labelled_lines(text: str) -> Iterator[LabelledLine]:
    """Yield the beginnings of lines that are written as labels, whatever they say, in order."""
    for found in _LABEL.finditer(text):
        yield LabelledLine(
            start=found.start(),
            end=found.end(),
            said=found["heading"] or found["bold"] or found["tag"] or found["bare"],
            mark=found["level"] or ("**" if found["bold"] else "<" if found["tag"] else ""),
            indent=len(found["indent"]),
        )


def _kind_of_bare(words: Sequence[str]) -> str:
    """Return what a label with a colon is for; empty if for something else."""
    for kind in _KINDS[:-2]:
        before = words_for(kind).ends(words)
        if before is not None:
            named = (
                words[: before - 1] if words[before - 1 : before] == ["user's"] else words[:before]
            )
            return kind if len(named) <= _BEFORE and all(map(is_word, named)) else ""
    return ""


def _kind_of_marked(words: Sequence[str]) -> str:
    for kind in _KINDS:
        entries = words_for(kind)
        last = _BEFORE if kind in _KINDS[:-2] else 0
        if any(entries.begins_at(words, at) for at in range(last + 1)):
            return kind
    return ""


def is_word(text: str) -> bool:
    """Return whether a text is letters only."""
    return all(
        each.isalpha() or each == "'" or unicodedata.category(each) in ("Mn", "Mc") for each in text
    )


def split(text: str) -> list[str]:
    """Return the words of a text without case, marks and blanks."""
    return [word for word in _SPLIT.split(unicodedata.normalize("NFC", text).casefold()) if word]
