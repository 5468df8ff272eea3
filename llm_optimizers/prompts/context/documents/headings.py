"""Find retrieved context below a heading for it.

A heading is `Context:`, `## Retrieved documents`, a line that ends in `context:`, or one that says
that the "following context" is to be used. A person heads notes with "Context:" too. So such a
plain heading counts only with a labelled question or answer outside its section, with documents
that are marked, or at the end of a prompt that has no other labels.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_optimizers.prompts.context.documents.closings import Closings, Look
from llm_optimizers.prompts.context.documents.division import documents
from llm_optimizers.prompts.context.documents.places import free
from llm_optimizers.prompts.context.documents.tags import Span, inside_any
from llm_optimizers.text.labels import is_word, split, words_for

__all__ = ["MANY", "NOUNS", "Section", "follows", "headed"]

MANY = 200
"""Sections that a message has at most; more are no prompt."""
_MOST = 5 * MANY
"""Headings of a message at most; most of them are in documents."""
NOUNS = ("context", "documents", "other")
_LINE = re.compile(r"^[^\n]+", re.MULTILINE)
_BLANK = re.compile(r"\n[ \t\r]*$", re.MULTILINE)
_MARKED = re.compile(
    r"(?P<indent>[ \t]*)(?:(?P<level>#{1,6})[ \t]++|\*\*)(?P<words>[^\n:\uff1a*#]{1,80})"
    r"(?:[:\uff1a]?\*\*[:\uff1a]?|[:\uff1a])?[ \t#\r]*$"
)
_BARE = re.compile(
    r"(?P<indent>[ \t]*)(?P<words>[^\W\d_][^\n:\uff1a]{0,60}?)[ \t]*[:\uff1a](?P<alone>[ \t\r]*$)?"
)
_MIDDLE = re.compile(r"[.!?][ \t]+(?P<words>[^\W\d_]{1,30}(?: [^\W\d_]{1,30})?)[ \t]*:[ \t]")
_BLANKS = re.compile(r"\s*")
_COLON = re.compile(r"[:\uff1a][ \t\r]*$")
_LONGEST = 500
"""Characters of a line that introduces the context."""
_WORDS = 3
"""Words before the noun of a heading."""
_DISTANCE = 8
"""Words from "following" to the noun for the context."""
_DATA = re.compile(r"[ \t]++\S|[ \t]*+(?:\n(?:[ \t]++\S|-[ \t])|-[ \t])")
_OTHER = re.compile(r"^(?P<level>#{1,6})[ \t]+[^\s\d][^\n\d]*$", re.MULTILINE)
_FORM = re.compile(r"^(?P<label>[^\W\d_][^\n:*#<>]{1,40}:)(?:[ \t]|[ \t\r]*$)", re.MULTILINE)
_NUMBERED = re.compile(r"\s*(?:\[\d|[^\W\d_]+[ ]#?\d)")
_DELIMITED = re.compile(r"\s*(?P<mark>\"{3}|'{3}|`{3,}|-{3,}|={3,})[^\n]{0,20}\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The contents of a section; `certain` if its end is marked."""

    body: Span
    certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heading:
    """A heading for context; `name` is its text if nothing else is on its line.

    `certain` says that context surely follows, `plain` that a person may write it too.
    """

    start: int
    end: int
    look: Look
    name: str = ""
    certain: bool = False
    plain: bool = False


def follows(line: str) -> bool:
    """Return whether a line says that the "following context" is to be used, or that "below"."""
    said = line[-_LONGEST:]
    following, below = words_for("following"), words_for("below")
    if said in following:
        nouns = [first for first, _ in words_for("context", "documents").places(said)]
        starts = [last for _, last in following.places(said)]
        if any(0 <= noun - start <= _DISTANCE for noun in nouns for start in starts):
            return True
    if said in below:
        ends = [last for _, last in words_for("context").places(said)]
        starts = [first for first, _ in below.places(said)]
        return any(0 <= start - end <= 1 for end in ends for start in starts)
    return False


def headed(text: str, code: Sequence[Span], closings: Closings) -> Iterator[Section]:
    """Yield what is below headings for context.

    Where a question is between two of them, the earlier one belongs to an example.
    """
    headings = list(_headings(text, code))
    if len(headings) > _MOST:
        return iter(())
    alone = [each.start for each in headings if each.name]
    again: dict[str, list[int]] = defaultdict(list)
    for each in headings:
        again[each.name].append(each.start)
    others = list(free(text, _OTHER, code))
    found: list[Section] = []
    at = 0
    for opened in headings:
        if opened.start < at:
            continue
        limit = _next(again[opened.name] if opened.name else [], opened.end, otherwise=len(text))
        end = _next(alone, opened.end, otherwise=limit)
        end = min(end, closings.end(opened.end, limit, opened.look))
        if opened.look.mark.startswith("#"):
            first = bisect_left(others, opened.end, key=re.Match.start)
            following = (others[place] for place in range(first, len(others)))
            higher = (each.start() for each in following if each["level"] <= opened.look.mark)
            end = min(end, next(higher, end))
        if not _says_so(text, opened, end, closings):
            continue
        if found and closings.asked(found[-1].body[1], opened.start):
            found = []
        found.append(Section(body=_undelimited(text, opened.end, end), certain=end < len(text)))
        at = end
        if len(found) > MANY:
            break
    return iter(found)


def _headings(text: str, code: Sequence[Span]) -> Iterator[_Heading]:
    for line in _LINE.finditer(text):
        heading = _heading(text, *line.span())
        if heading is not None and not inside_any(heading.start, code):
            yield heading


def _heading(text: str, start: int, stop: int) -> _Heading | None:
    """Return the heading that a line is, or that it begins with."""
    line = text[start : min(stop, start + _LONGEST)]
    whole = stop - start <= _LONGEST
    marked = _MARKED.match(line) if whole and line.lstrip()[:1] in ("#", "*") else None
    bare = None if marked else _BARE.match(line)
    for label in (each for each in (marked, bare) if each):
        words = _named(label["words"])
        mark = "" if label is bare else label["level"] or "**"
        if words is None or len(words) > (0 if label is bare else _WORDS):
            continue
        small = label is bare and label["words"][:1].islower()
        return _Heading(
            start=start,
            end=start + label.end(),
            look=Look(mark=mark, indent=len(label["indent"]), small=small),
            name=line.strip().casefold() if label is bare and label["alone"] is not None else "",
            certain=mark.startswith("#") or label["words"] in words_for("context", "certain"),
            plain=not words and label["words"] not in words_for("retrieved"),
        )
    found = _sentence(text, start, stop, line) if whole else None
    return found or _inside(start, line)


def _inside(start: int, line: str) -> _Heading | None:
    """Return the heading after sentences: "Answer the question from the context. Context: …"."""
    for label in _MIDDLE.finditer(line):
        said = line[: label.start()]
        named = _named(label["words"]) == [] and label["words"] in words_for("context")
        if named and said in words_for("context") and said in words_for("question", "answer"):
            return _Heading(start=start, end=start + label.end(), look=Look(), certain=True)
    return None


def _sentence(text: str, start: int, stop: int, line: str) -> _Heading | None:
    """Return the heading that a sentence is: one that ends in `context:` or says what follows."""
    said = follows(line)
    if _COLON.search(line):
        if words_for(*NOUNS).end_line(_COLON.sub("", line)):
            certain = said or line in words_for("context", "certain")
            return _Heading(start=start, end=stop, look=Look(), certain=certain)
        if said and line in words_for("context", "question", "answer"):
            return _Heading(start=start, end=stop, look=Look(), certain=True)
    blank = _BLANK.match(text, stop)
    if blank is None or not said:
        return None
    # "Proofread the following passages" is a person's own.
    plain = line not in words_for("question", "answer")
    return _Heading(start=start, end=blank.end(), look=Look(), certain=True, plain=plain)


def _named(label: str) -> list[str] | None:
    """Return the words before the noun of a label without "retrieved"; None without a noun."""
    words, retrieved = split(label), words_for("retrieved")
    words = words[: retrieved.ends(words)]
    before = words_for(*NOUNS).ends(words)
    if before is None or not all(map(is_word, words)):
        return None
    words = words[:before]
    return words[: retrieved.ends(words)]


def _next(positions: Sequence[int], at: int, *, otherwise: int) -> int:
    place = bisect_left(positions, at)
    return positions[place] if place < len(positions) else otherwise


def _says_so(text: str, opened: _Heading, end: int, closings: Closings) -> bool:
    """Return whether a heading is surely for context. A key in YAML is none."""
    if opened.look.small and not opened.look.mark and _DATA.match(text, opened.end):
        return closings.asked(end, end + 1)
    if end == len(text) and not opened.certain:
        return False
    if not opened.plain and not closings.asked(0, opened.end, ("turn",)):
        return True
    question = ("question", "answer")
    if closings.asked(0, opened.start, question) or closings.asked(end, len(text), question):
        return True
    body = text[opened.end : end]
    if end == len(text) and opened.name and not _FORM.search(body):
        return True
    return _are_marked(body)


def _are_marked(body: str) -> bool:
    """Return whether a body holds documents in tags, in literals, or with numbers as labels."""
    first = next(iter(documents(body).documents), None)
    if first is None:
        return False
    tag = first.before.lstrip()[:1] == "<"
    return tag or bool(first.quoting) or _NUMBERED.match(first.before) is not None


def _undelimited(text: str, start: int, end: int) -> Span:
    """Return the span without the quotation marks, fences or rules around it, or blanks before."""
    opened = _DELIMITED.match(text, start, end)
    if opened is not None:
        last = start + len(text[start:end].rstrip())
        closed = last - len(opened["mark"])
        if closed > opened.end() and text[closed - 1 : last] == "\n" + opened["mark"]:
            return opened.end(), closed
    blanks = _BLANKS.match(text, start, end)
    return (blanks.end() if blanks else start), end
