"""Find wasted tokens in a prompt, line by line, each with advice on what to change.

Nothing is rewritten here. The optimiser makes the changes of `lossless` findings automatically; the
others need a person's judgement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.prompts.lossless import LOSSLESS, instruction_key, is_example, shorten, to_table
from llm_optimizers.prompts.provider_cache import lint_prefix
from llm_optimizers.text import Block, blocks, paragraphs, sentences
from llm_optimizers.types import ChatRequest, Message

__all__ = ["Finding", "audit"]

T = TypeVar("T")

_FILLER = re.compile(
    r"\b(?:i would like you to|i want you to|it is (?:very |extremely )?important (?:that|to)"
    r"|please note that|please (?:make sure|ensure|remember)|kindly|in order to"
    r"|as an ai(?: language)? model|feel free to|at this point in time|due to the fact that"
    r"|take a deep breath)\b[ ,]*",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"^\W{0,6}(?:example|sample|case)\s*(?:#|no\.?)?\s*\d+\b", re.IGNORECASE)
_ENOUGH_EXAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Waste on a line (counted from 1): its kind, the tokens to save, and what to change.

    `lossless` means that the optimiser makes this change automatically.
    """

    line: int
    kind: str
    tokens: int
    excerpt: str
    advice: str
    lossless: bool


def audit(
    text: str, *, model: str, counter: TokenCounter, instructions: bool = True
) -> tuple[Finding, ...]:
    """Return the findings in one message's text, by line; `instructions` for a system message."""
    found = [*_layout_findings(text, model, counter), *_filler(text, model, counter)]
    if instructions:
        found += [*_repeats(text, model, counter), *_examples(text, model, counter)]
        found += _varying(text)
    return tuple(sorted(found, key=lambda f: (f.line, f.kind)))


def _layout_findings(text: str, model: str, counter: TokenCounter) -> Iterator[Finding]:
    """Yield whitespace, markup noise and JSON's layout, block by block."""
    for line, block in _at_lines(blocks(text), lambda block: block.whole):
        if block.kind == "json":
            yield from _json(block, line, model, counter)
        elif block.kind == "text":
            yield from _noise(block.text, line, model, counter)


def _json(block: Block, line: int, model: str, counter: TokenCounter) -> Iterator[Finding]:
    size = counter.count(block.whole, model).tokens
    plain = shorten(block.whole, passes=frozenset({"json"})).text
    saved = size - counter.count(plain, model).tokens
    if saved > 0:
        advice = "write it without spaces and line breaks (json.dumps(…, separators=(',', ':')))"
        yield _finding(line, "JSON layout", saved, block.text, advice, lossless=True)
    table = to_table(block.text)
    if table is not None:
        saved = size - saved - counter.count(table, model).tokens
        if saved > 0:
            advice = "write records with the same keys as a table (the pass 'tables')"
            yield _finding(line, "alike records", saved, block.text, advice)


def _noise(text: str, line: int, model: str, counter: TokenCounter) -> Iterator[Finding]:
    passes = LOSSLESS - {"json", "repeats"}
    for offset, row in enumerate(text.splitlines(keepends=True)):
        shorter = shorten(row, passes=passes).text
        if len(shorter) < len(row):
            saved = counter.count(row, model).tokens - counter.count(shorter, model).tokens
            if saved > 0:
                advice = "remove extra spaces, rules, comments and invisible characters"
                yield _finding(
                    line + offset, "blanks and markup", saved, row, advice, lossless=True
                )


def _repeats(text: str, model: str, counter: TokenCounter) -> Iterator[Finding]:
    """Yield the instructions that repeat an earlier one; examples do not count."""
    first_line: dict[str, int] = {}
    for line, sentence in _instructions(text):
        key = instruction_key(sentence)
        if key is not None and key in first_line:
            saved = counter.count(sentence, model).tokens
            advice = f"remove it: line {first_line[key]} says the same"
            yield _finding(line, "repeat", saved, sentence, advice, lossless=True)
        elif key is not None:
            first_line[key] = line


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each sentence outside code, data and examples."""
    for start, block in _at_lines(blocks(text), lambda block: block.whole):
        if block.kind == "text":
            for line, paragraph in _at_lines(paragraphs(block.text), str, start):
                if not is_example(paragraph):
                    yield from _at_lines(sentences(paragraph), str, line)


def _filler(text: str, model: str, counter: TokenCounter) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _FILLER.finditer(line):
            saved = counter.count(match.group(), model).tokens
            yield _finding(number, "filler", saved, match.group(), "remove these words")


def _examples(text: str, model: str, counter: TokenCounter) -> Iterator[Finding]:
    """Yield examples after the second, each up to the next one or its first blank line."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if _EXAMPLE.match(line)]
    for place, at in enumerate(starts[_ENOUGH_EXAMPLES:], start=_ENOUGH_EXAMPLES):
        end = starts[place + 1] if place + 1 < len(starts) else at + 1
        while end < len(lines) and lines[end].strip() and place + 1 == len(starts):
            end += 1
        saved = counter.count("\n".join(lines[at:end]), model).tokens
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
