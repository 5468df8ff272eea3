"""Find wasted tokens in a prompt, line by line, each with advice on what to change.

Nothing is rewritten here. The optimiser makes the changes of `lossless` findings by default. The
others need a person's judgement; where an optional pass would make the change, the advice names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.lossless import Edit, PassName, minified, optional_edits, with_edits
from llm_optimizers.prompts.provider_cache import lint_prefix
from llm_optimizers.prompts.shortening import data_edits
from llm_optimizers.text import blocks, paragraphs, sentences
from llm_optimizers.text.stemming import inflection_stem
from llm_optimizers.types import ChatRequest, Message, Role

__all__ = ["Finding", "audit"]

T = TypeVar("T")
Count: TypeAlias = Callable[[str], int]

_FILLER = re.compile(
    r"\b(?:i would like you to|i want you to|it is (?:very |extremely )?important (?:that|to)"
    r"|please note that|please (?:make sure|ensure|remember)|kindly|in order to"
    r"|as an ai(?: language)? model|feel free to|at this point in time|due to the fact that"
    r"|take a deep breath)\b[ ,]*",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"^\W{0,6}(?:example|sample|case)\s*+(?:(?:#|no\.?)\s*+)?\d++\b", re.IGNORECASE
)
_ENOUGH_EXAMPLES = 2
_LEAD = re.compile(
    r"^(?:(?:please|kindly|always|also|and|remember|note that|it is (?:very |really )?important"
    r"(?: that| to)?|make sure(?: that| to)?|ensure(?: that)?|be sure to|try to|you(?:r \w+)? "
    r"(?:must|should|shall|need to|have to|are to|will)(?: always)?|you)\b[\s,:]*)+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"[\s,](?:please|always|at all times|whenever possible"
    r"|in (?:all )?your (?:answers?|responses?|replies))\Z",
    re.IGNORECASE,
)
_LONGEST_TAIL = 40
_AS_POSSIBLE = re.compile(r"\bas ([\w ]{1,60}) as possible\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*+\u2022]|\d{1,2}[.)])\s+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019]\w+)?|[^\w\s.,!;:\"'()\u2026-]")
_ARTICLES = frozenset({"a", "an", "the", "very", "really"})
_PLAIN = re.compile(r"[^\d:|\t<>{}=]+")
_LABELLED = re.compile(
    r"^[ \t>*#-]*[A-Z][\w ]{0,20}\**:(?:[ \t]|$)"
    r"|</?(?:example|sample|input|output|question|answer|user|assistant|document)s?\b",
    re.MULTILINE | re.IGNORECASE,
)
"""Examples and other data of a prompt, where the same answer may well stand twice."""
_OPTIONAL: Mapping[PassName, tuple[str, str]] = {
    "embedded_json": ("JSON layout", "write it without spaces and line breaks"),
    "markup": ("markup", "remove comments and invisible characters"),
    "whitespace": ("blanks", "remove extra spaces and blank lines"),
    "repeats": ("repeat", "remove the paragraph: one before it is the same"),
}
"""Passes that are off by default, the kind of their findings, and what a person can do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Waste on a line (counted from 1): its kind, the tokens to save, and what to change.

    `lossless` means that the optimiser makes this change by default.
    """

    line: int
    kind: str
    tokens: int
    excerpt: str
    advice: str
    lossless: bool


def audit(
    text: str, *, model: str, counter: TokenCounter, role: Role = "system"
) -> tuple[Finding, ...]:
    """Return the findings in the text of one message, by line.

    Of what a tool returned only the form of data is looked at, of an answer nothing: the optimiser
    leaves it as it is.
    """
    count = partial(_tokens, model=model, counter=counter)
    found: list[Finding] = []
    if role != "assistant":
        found += _data(text, role, count)
    if role in ("user", "system"):
        found += [*_optional(text, role, count), *_filler(text, count)]
    if role == "system":
        found += [*_repeats(text, count), *_examples(text, count), *_varying(text)]
    return tuple(sorted(found, key=lambda f: (f.line, f.kind)))


def _tokens(text: str, *, model: str, counter: TokenCounter) -> int:
    return counter.count(text, model).tokens


def _data(text: str, role: Role, count: Count) -> Iterator[Finding]:
    """Yield JSON that the optimiser minifies by default, and the table it could be instead."""
    advice = "nothing: the optimiser takes the blanks out (`passes=frozenset()` keeps them)"
    for line, before, after in _by_line(text, data_edits(text, role)):
        yield from _saving(line, "JSON layout", before, after, advice, count, lossless=True)
    if role == "tool":
        yield from _table_findings(text, data_edits(text, role, frozenset({"tables"})), count)


def _optional(text: str, role: Role, count: Count) -> Iterator[Finding]:
    """Yield what passes that are off by default would change, if a person opts in to them."""
    done = data_edits(text, role)
    for name, (kind, what) in _OPTIONAL.items():
        edits = [
            edit
            for edit in optional_edits(text, name)
            if not any(each.start <= edit.start < each.end for each in done)
        ]
        advice = f"{what}, or opt in to the pass {name!r} if nothing depends on it"
        for line, before, after in _by_line(text, edits):
            yield from _saving(line, kind, before, after, advice, count)
    yield from _table_findings(text, optional_edits(text, "tables"), count)


def _table_findings(text: str, edits: Sequence[Edit], count: Count) -> Iterator[Finding]:
    """Yield what tables save more than minified JSON."""
    for line, before, after in _by_line(text, edits):
        advice = "write records with the same keys as a table (the pass 'tables')"
        yield from _saving(line, "alike records", minified(before), after, advice, count)


def _by_line(text: str, edits: Iterable[Edit]) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line on which edits start, and its text before and after them.

    The text goes on to the end of the line on which the last of the edits ends.
    """
    line, start, at = 1, 0, 0
    lines: dict[tuple[int, int], list[Edit]] = {}
    for edit in edits:
        line += text.count("\n", at, edit.start)
        start = max(start, text.rfind("\n", at, edit.start) + 1)
        at = edit.start
        lines.setdefault((line, start), []).append(edit)
    for (line, start), found in lines.items():
        end = text.find("\n", found[-1].end)
        before = text[start : len(text) if end < 0 else end]
        moved = [Edit(start=e.start - start, end=e.end - start, text=e.text) for e in found]
        yield line, before, with_edits(before, moved)


def _saving(
    line: int,
    kind: str,
    before: str,
    after: str,
    advice: str,
    count: Count,
    *,
    lossless: bool = False,
) -> Iterator[Finding]:
    """Yield a finding if the text after a change has fewer tokens."""
    saved = count(before) - count(after)
    if saved > 0:
        yield _finding(line, kind, saved, before, advice, lossless=lossless)


def _repeats(text: str, count: Count) -> Iterator[Finding]:
    """Yield the instructions that seem to repeat an earlier one; examples do not count."""
    first_line: dict[str, int] = {}
    for line, sentence in _instructions(text):
        key = _instruction_key(sentence)
        if key is not None and key in first_line:
            advice = f"read line {first_line[key]}: if it says the same here, remove one of them"
            yield _finding(line, "repeat", count(sentence), sentence, advice)
        elif key is not None:
            first_line[key] = line


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each sentence outside code, data and examples."""
    for start, block in _at_lines(blocks(text), lambda block: block.whole):
        if block.kind == "text":
            for line, paragraph in _at_lines(paragraphs(block.text), str, start):
                if not _LABELLED.search(paragraph):
                    yield from _at_lines(sentences(paragraph), str, line)


def _instruction_key(sentence: str) -> str | None:
    """Return the stems of an instruction without filler words, `x and y` in sorted order.

    Two instructions with the same result may say the same. None for a text that is hardly an
    instruction: neither a sentence nor a list item nor four plain words or more.
    """
    item = _BULLET.match(sentence)
    text = sentence[item.end() :].strip() if item else sentence.strip()
    count = len(text.split())
    ended = text.endswith((".", "!", "?"))
    if count < 2 or "|" in text:
        return None
    if not ended and not (count >= (3 if item else 4) and _PLAIN.fullmatch(text)):
        return None
    text = _AS_POSSIBLE.sub(r"\1", _without_tail(_LEAD.sub("", text)))
    words = [inflection_stem(w) for w in _WORD.findall(text.lower()) if w not in _ARTICLES]
    for at in range(1, len(words) - 1):
        if words[at] == "and" and words[at - 1] > words[at + 1]:
            words[at - 1], words[at + 1] = words[at + 1], words[at - 1]
    return " ".join(words) if len(words) > 1 else None


def _without_tail(text: str) -> str:
    """Return a sentence without the phrases at its end that add nothing.

    They are looked for from the end: a pattern that repeats them is tried at every blank.
    """
    found, end = None, len(text)
    while end and not (text[end - 1].isalnum() or text[end - 1] == "_"):
        end -= 1
    while (tail := _TAIL.search(text, max(0, end - _LONGEST_TAIL), end)) is not None:
        end = tail.start()
        while end and (text[end - 1].isspace() or text[end - 1] == ","):
            end -= 1
        found = end
    return text[:found]


def _filler(text: str, count: Count) -> Iterator[Finding]:
    for number, line in enumerate(text.split("\n"), start=1):
        for match in _FILLER.finditer(line):
            saved = count(match.group())
            yield _finding(number, "filler", saved, match.group(), "remove these words")


def _examples(text: str, count: Count) -> Iterator[Finding]:
    """Yield examples after the second, each up to the next one or its first blank line."""
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if _EXAMPLE.match(line)]
    for place, at in enumerate(starts[_ENOUGH_EXAMPLES:], start=_ENOUGH_EXAMPLES):
        end = starts[place + 1] if place + 1 < len(starts) else at + 1
        while end < len(lines) and lines[end].strip() and place + 1 == len(starts):
            end += 1
        saved = count("\n".join(lines[at:end]))
        advice = "test whether two examples are enough (enough_examples)"
        yield _finding(at + 1, "many examples", saved, lines[at], advice)


def _at_lines(
    parts: Iterable[T], text: Callable[[T], str], first: int = 1
) -> Iterator[tuple[int, T]]:
    """Yield consecutive parts of a text, each with the line on which it starts."""
    line = first
    for part in parts:
        yield line, part
        line += text(part).count("\n")


def _varying(text: str) -> Iterator[Finding]:
    request = ChatRequest(messages=(Message(role="system", content=text),))
    for lint in lint_prefix(request):
        advice = f"{lint.advice}: the provider cannot cache anything after it"
        yield _finding(lint.line, f"varying {lint.kind}", 0, lint.excerpt, advice)


def _finding(
    line: int, kind: str, tokens: int, excerpt: str, advice: str, *, lossless: bool = False
) -> Finding:
    shown = " ".join(excerpt.split())
    return Finding(
        line=line,
        kind=kind,
        tokens=tokens,
        excerpt=shown if len(shown) <= 60 else shown[:59] + "\u2026",
        advice=advice,
        lossless=lossless,
    )
