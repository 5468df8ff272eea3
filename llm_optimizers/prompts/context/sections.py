"""Find retrieved context inside a message by its tags or headings, and cut it to a budget.

Three forms are recognised: text between `<context>`, `<documents>`, `<sources>` or `<passages>`
tags; text between two lines of dashes below a line that mentions the context; and text after a
heading that ends in `context:` or the like, up to a `Question:`, an `Answer:` or the end. All
other text is the user's own and is never cut. The question is the rest of the message, unless
the caller gives one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.keeping import MIN_PROBABILITY
from llm_optimizers.prompts.context.kept import render
from llm_optimizers.prompts.context.selection import PassageSelector

__all__ = ["ContextBudget", "cut_context"]

_FLAGS = re.IGNORECASE | re.MULTILINE
_TAG = re.compile(r"<(?P<tag>context|documents|sources|passages)>", _FLAGS)
_RULED = re.compile(r"^[^\n]{0,200}\bcontext\b[^\n]{0,100}\n-{3,}[ \t]*\n", _FLAGS)
_HEADING = re.compile(
    r"^(?:(?:context|documents|sources|passages)[ \t]*:[ \t]*\n?"
    r"|[^\n]{0,200}\b(?:context|documents|sources|passages)[ \t]*:[ \t]*\n)",
    _FLAGS,
)
_QUESTION = re.compile(r"^(?:question|query|user question|user input)[ \t]*:", _FLAGS)
_ENDS = re.compile(r"^(?:helpful )?answer[ \t]*:|\Z", _FLAGS)
_FORMS = (
    (_RULED, re.compile(r"^-{3,}[ \t]*$", _FLAGS)),
    (_HEADING, _QUESTION),
    (_HEADING, _ENDS),
)
_ASKS = re.compile(rf"\?\s*$|{_QUESTION.pattern}", _FLAGS)
_BREAK = re.compile(
    r"(\n\s*\n|(?<=</document>)\s*|(?<=</doc>)\s*|(?<=</source>)\s*)", re.IGNORECASE
)
_WRAPPED = re.compile(
    r"\s*(?P<open><(?P<tag>document|doc|source)\b[^>]{0,300}>\s*)(?P<text>.*?)"
    r"(?P<close>\s*</(?P=tag)>\s*)$",
    re.DOTALL | re.IGNORECASE,
)
_TITLED = re.compile(r"(?P<title>[^\n]{1,120})\n(?=.*\S)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBudget:
    """The maximum number of tokens of retrieved context in a message.

    Less is cut, or nothing, where what is left would hold the answer with a probability below
    `min_probability`: the request is unlike every document, asks for work on all of them
    ("summarise", "list all"), names nothing to look for ("and the second one?"), or is answered
    equally well by many. The estimate is low rather than high: of questions for which it was .5 to
    .7, about nine in ten still had their answer (`benchmarks/prompts.py --only declined`).
    None always cuts to `max_tokens`.

    Raises:
        ConfigurationError: the budget is below one token, or the probability not within 0 and 1.
    """

    max_tokens: int
    min_probability: float | None = MIN_PROBABILITY

    def __post_init__(self) -> None:
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise ConfigurationError(
                f"`min_probability` is {self.min_probability}; give a number from 0 to 1, or None"
            )
        if self.max_tokens < 1:
            raise ConfigurationError(
                f"a context budget of {self.max_tokens} tokens keeps nothing; give 1 or more"
            )


def cut_context(
    text: str, budget: ContextBudget, selector: PassageSelector, *, question: str | None = None
) -> str:
    """Return the text with its first context section cut to the budget; unchanged if it has none.

    Give `question` if another message asks it. Without a question nothing can be selected, so the
    text is returned unchanged.
    """
    for opened, closed, certain in _sections(text):
        asked = question
        if asked is None:
            asked = (text[: opened.start()] + "\n\n" + text[closed.end() :]).strip()
            if not certain and not _ASKS.search(asked):
                continue
        body = _cut(text[opened.end() : closed.start()], asked, budget, selector)
        return text[: opened.end()] + body + text[closed.start() :]
    return text


class _Section(NamedTuple):
    """The start and the end of a section; `certain` if both are marked."""

    opened: re.Match[str]
    closed: re.Match[str]
    certain: bool = True


def _sections(text: str) -> Iterator[_Section]:
    """Yield the first section of each form.

    A tag that is never closed is not searched for again, so the time stays linear.
    """
    unclosed: set[str] = set()
    for opened in _TAG.finditer(text):
        tag = opened["tag"].lower()
        if tag in unclosed:
            continue
        close = re.compile(f"</{tag}>", re.IGNORECASE).search(text, opened.end())
        if close is not None:
            yield _Section(opened, close)
            break
        unclosed.add(tag)
    for opening, closing in _FORMS:
        found = opening.search(text)
        ended = closing.search(text, found.end()) if found is not None else None
        if found is not None and ended is not None:
            yield _Section(found, ended, certain=closing is not _ENDS)


def _cut(body: str, question: str, budget: ContextBudget, selector: PassageSelector) -> str:
    """Return the section with only the kept passages, each with its tags and separator."""
    parts = _BREAK.split(body)
    documents = [
        (before, document)
        for before, document in zip(["", *parts[1::2]], map(_parse, parts[::2]), strict=True)
        if document.passage.text.strip()
    ]
    passages = [document.passage for _, document in documents]
    chosen = selector.keep(question, passages, max_tokens=budget.max_tokens)
    if chosen is None:
        return body
    written: list[str] = []
    for kept in chosen:
        before, document = documents[kept.index]
        text = render(kept.title, kept.text)
        written += [before if written else "", document.open, text, document.close]
    ending = body[len(body.rstrip()) :]
    return body[: len(body) - len(body.lstrip())] + "".join(written).strip() + ending


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """One document of a section, and the tags around it."""

    passage: Passage
    open: str = ""
    close: str = ""


def _parse(part: str) -> _Document:
    """Split a document into its tags, its title (a short first line) and its text."""
    wrapped = _WRAPPED.match(part)
    inside = wrapped["text"] if wrapped else part.strip("\n")
    titled = _TITLED.match(inside)
    title, text = (titled["title"], inside[titled.end() :]) if titled else ("", inside)
    return _Document(
        passage=Passage(title=title, text=text),
        open=wrapped["open"] if wrapped else "",
        close=wrapped["close"] if wrapped else "",
    )
