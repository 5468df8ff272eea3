"""Passes to opt in to by name: they change how a text is written, so a person decides for them.

What they take away is noise as a rule, but no proof exists that it is not what a text is about.
They act on prompts only, never on what a tool returned, and only where a mistake is unlikely: on
paragraphs that are surely prose (`prose.py`), outside quotations, placeholders and inline code, and
on JSON that stands by itself. A text that asks about what a pass takes away is left as it is, as
far as that can be seen from its words; what another message asks cannot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from llm_optimizers.prompts.lossless.json_layout import shorter_json
from llm_optimizers.prompts.lossless.prose import Part, parts
from llm_optimizers.prompts.lossless.proven import LONGEST, PassName
from llm_optimizers.prompts.lossless.tables import shorter_table
from llm_optimizers.text import protected_spans
from llm_optimizers.text.word_lists import languages, read_fields

__all__ = ["Edit", "edited", "optional_edits", "with_edits"]

_DATA = __package__
_WORD = re.compile(r"\w+")
_INVISIBLE = re.compile("(?<=[ -~\u00c0-\u024f])[\u200b\u2060\u00ad]+(?=[ -~\u00c0-\u024f])")
"""Between Latin letters only: elsewhere such a character may part words."""
_GAP = re.compile(r"(?<=[.!?]) {2,}(?=\S)|(?<=[.!?][\"')\u201d\u2019]) {2,}(?=\S)")
_BLANK_LINES = re.compile(r"\n{4,}")
_LONG_PARAGRAPH = 25
"""Words; a shorter paragraph may be a heading or introduce what follows."""
_VALUE = re.compile(r"^(?:[^\W\d_][^\n{}\[\]\"'`=<>:]{0,60}:[ \t]+)?(?=[\[{])", re.MULTILINE)
_OPENED = ("=", "(", "[", "{", ",", "+", "'", '"', "`", "\\")
"""A paragraph that ends so may be code, whose literal the next one is."""
_LINE = 200
_JSON_FENCE = re.compile(
    r"(?P<mark>`{3,}|~{3,})(?:json)?[ \t]*\n\s*(?P<json>[\[{].*[\]}])\s*\n(?P=mark)\s*",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The replacement of a text from `start` to `end`."""

    start: int
    end: int
    text: str = ""


def edited(text: str, passes: frozenset[PassName]) -> str:
    """Return a prompt after the optional passes among `passes`."""
    for name in _PASSES:
        if name in passes:
            text = with_edits(text, optional_edits(text, name))
    return text


def optional_edits(text: str, name: PassName) -> list[Edit]:
    """Return what one optional pass would change in a prompt, in order; none for other passes."""
    find = _PASSES.get(name)
    if find is None or len(text) > LONGEST or _asks_about(text, name):
        return []
    return list(find(text))


def with_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return the text after edits that are in order and do not overlap."""
    kept, start = [], 0
    for edit in edits:
        kept += [text[start : edit.start], edit.text]
        start = edit.end
    return "".join([*kept, text[start:]])


def _tables(text: str) -> Iterator[Edit]:
    """Yield tables, but none on the line of a label, nor in a fence, which may be labelled JSON."""
    for edit in _json_values(text, shorter_table, kinds=("other",)):
        if edit.start == 0 or text[edit.start - 1] == "\n":
            yield edit


def _embedded_json(text: str) -> Iterator[Edit]:
    return _json_values(text, shorter_json, kinds=("other", "fence"))


def _json_values(
    text: str, shorter: Callable[[str], str | None], *, kinds: tuple[str, ...]
) -> Iterator[Edit]:
    """Yield a shorter form of each JSON value that fills a fence or the rest of a paragraph.

    A text with a string of several lines, as programs have, is looked at in its fences only.
    """
    program = '"""' in text or "'''" in text
    for part in parts(text):
        if part.kind not in kinds or (program and part.kind == "other"):
            continue
        span = _in_fence(text, part) if part.kind == "fence" else _in_paragraph(text, part)
        if span is not None and (changed := shorter(text[slice(*span)])) is not None:
            yield Edit(start=span[0], end=span[1], text=changed)


def _in_fence(text: str, fence: Part) -> tuple[int, int] | None:
    """Return where the content of a fence is, if it is labelled as JSON or not labelled."""
    found = _JSON_FENCE.fullmatch(text, fence.start, fence.end)
    return None if found is None else found.span("json")


def _in_paragraph(text: str, paragraph: Part) -> tuple[int, int] | None:
    """Return the rest of a paragraph from the first bracket on, if nothing or a label is before."""
    found = _VALUE.search(text, paragraph.start, paragraph.end)
    if found is None:
        return None
    before = text[paragraph.start : found.start()].rstrip()
    if before and not before.endswith(":"):
        return None
    above = text[max(0, paragraph.start - _LINE) : paragraph.start].rstrip()
    if above.endswith(_OPENED) and not above.endswith("```"):
        return None
    return found.end(), paragraph.start + len(text[paragraph.start : paragraph.end].rstrip())


def _markup(text: str) -> Iterator[Edit]:
    """Yield comments by themselves between prose, and invisible characters in prose."""
    found = parts(text)
    for at, part in enumerate(found):
        beside = [*found[max(0, at - 1) : at], *found[at + 1 : at + 2]]
        if part.kind == "comment" and beside and all(each.kind == "prose" for each in beside):
            yield Edit(start=part.start, end=_end_with_blank_lines(text, part))
        if part.kind == "prose":
            yield from _outside_spans(text, part, _INVISIBLE, "")


def _whitespace(text: str) -> Iterator[Edit]:
    """Yield gaps after sentences and long runs of blank lines, both in prose."""
    before: Part | None = None
    for part in parts(text):
        if part.kind == "prose":
            if before is not None and before.kind == "prose":
                first = before.end - 1  # the line break that ends its last line
                if _BLANK_LINES.fullmatch(text, first, part.start):
                    yield Edit(start=first, end=part.start, text="\n\n\n")
            yield from _outside_spans(text, part, _GAP, " ")
        before = part


def _repeats(text: str) -> Iterator[Edit]:
    """Yield long paragraphs that repeat one before them word for word.

    Compared are paragraphs with nothing but other long paragraphs between them: anything else may
    begin another section, in which the same rule is another rule.
    """
    seen: set[str] = set()
    for part in parts(text):
        words = text[part.start : part.end].split()
        if part.kind != "prose" or len(words) < _LONG_PARAGRAPH:
            seen.clear()
            continue
        paragraph = " ".join(words)
        if paragraph in seen:
            yield Edit(start=part.start, end=_end_with_blank_lines(text, part))
        seen.add(paragraph)


def _outside_spans(
    text: str, part: Part, pattern: re.Pattern[str], replacement: str
) -> Iterator[Edit]:
    """Yield the matches of a pattern in a part that no protected span overlaps."""
    inside = text[part.start : part.end]
    spans, at = protected_spans(inside), 0
    for found in pattern.finditer(inside):
        while at < len(spans) and spans[at][1] <= found.start():
            at += 1
        if at == len(spans) or found.end() <= spans[at][0]:
            start, end = part.start + found.start(), part.start + found.end()
            yield Edit(start=start, end=end, text=replacement)


def _end_with_blank_lines(text: str, part: Part) -> int:
    """Return the end of a part and of the blank lines after it."""
    end = part.end
    while end < len(text):
        after = text.find("\n", end) + 1 or len(text)
        if text[end:after].strip():
            break
        end = after
    return end


def _asks_about(text: str, name: PassName) -> bool:
    """Return whether a text has a word by which it may ask about what a pass takes away."""
    words = _words_about().get(name, frozenset())
    return any(found.group() in words for found in _WORD.finditer(text.lower()))


@cache
def _words_about() -> Mapping[str, frozenset[str]]:
    lists = [read_fields("asked_about", language, _DATA) for language in languages(_DATA)]
    names = {name for each in lists for name in each}
    return {name: frozenset(w for each in lists for w in each.get(name, ())) for name in names}


_PASSES: Mapping[PassName, Callable[[str], Iterator[Edit]]] = {
    "tables": _tables,
    "embedded_json": _embedded_json,
    "markup": _markup,
    "whitespace": _whitespace,
    "repeats": _repeats,
}
"""In the order in which they run: what one takes away, another may then see as repeated."""
