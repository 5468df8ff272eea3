"""Retrieved context inside a message: found by its tags or headings, and cut to a budget.

Only what stands between `<context>`, `<documents>` or `<sources>` tags, between two rules below a
line on the context, or after a heading that ends in `context:` (up to a `Question:`, an `Answer:`
or the end) is taken for retrieved text; anything else is the user's own words and is never cut.
The question is what the message says besides, or what the caller says it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts.reading import Passage
from llm_optimizers.prompts.selection import PassageSelector, render

__all__ = ["ContextBudget", "cut_context"]

_HEADING = (
    r"(?P<open>^(?:(?:context|documents|sources|passages)[ \t]*:[ \t]*\n?"
    r"|[^\n]{0,200}\b(?:context|documents|sources|passages)[ \t]*:[ \t]*\n))"
)
_SECTIONS = (
    re.compile(
        r"(?P<open><(?P<tag>context|documents|sources|passages)>)(?P<body>.*?)"
        r"(?P<close></(?P=tag)>)",
        re.DOTALL | re.IGNORECASE,
    ),
    re.compile(
        r"(?P<open>^[^\n]{0,200}\bcontext\b[^\n]{0,100}\n-{3,}[ \t]*\n)(?P<body>.*?)"
        r"(?P<close>^-{3,}[ \t]*$)",
        re.DOTALL | re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(
        _HEADING + r"(?P<body>.*?)(?P<close>^(?:question|query|user question|user input)[ \t]*:)",
        re.DOTALL | re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(
        _HEADING + r"(?P<body>.*?)(?P<close>^(?:helpful )?answer[ \t]*:|\Z)",
        re.DOTALL | re.IGNORECASE | re.MULTILINE,
    ),
)
_ASKS = re.compile(
    r"\?\s*$|^(?:question|query|user question|user input)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
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
    """At most this many tokens of retrieved context in a message.

    Raises:
        ConfigurationError: the budget is below one token.
    """

    max_tokens: int

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigurationError(
                f"a context budget of {self.max_tokens} tokens keeps nothing; give 1 or more"
            )


def cut_context(
    text: str, budget: ContextBudget, selector: PassageSelector, *, asked: str | None = None
) -> str:
    """The text with its first context section cut to the budget; unchanged if it has none.

    `asked` is the question where another message asks it. A message that asks nothing besides
    its context is left alone: nothing says what matters.
    """
    for pattern in _SECTIONS:
        section = pattern.search(text)
        if section is None:
            continue
        question = asked
        if question is None:
            question = (text[: section.start()] + " " + text[section.end() :]).strip()
            if pattern is _SECTIONS[-1] and not _ASKS.search(question):
                continue
        if not any(map(str.isalnum, question)):
            return text
        body = _cut(section["body"], question, budget, selector)
        return text[: section.end("open")] + body + text[section.start("close") :]
    return text


def _cut(body: str, question: str, budget: ContextBudget, selector: PassageSelector) -> str:
    """The section's passages that are kept, each with its tags and the break before it."""
    parts = _BREAK.split(body)
    documents = [_read(part) for part in parts[::2]]
    breaks = ["", *parts[1::2]]
    filled = [at for at, document in enumerate(documents) if document.passage.text.strip()]
    chosen = selector.select(
        question, [documents[at].passage for at in filled], max_tokens=budget.max_tokens
    )
    if all(kept.whole for kept in chosen.kept) and len(chosen.kept) == len(filled):
        return body
    written: list[str] = []
    for kept in chosen.kept:
        document = documents[filled[kept.index]]
        text = render(kept.title, kept.text)
        written += [breaks[filled[kept.index]] if written else "", document.open, text]
        written.append(document.close)
    ending = body[len(body.rstrip()) :]
    return body[: len(body) - len(body.lstrip())] + "".join(written).strip() + ending


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """One document of a section, and the tags it stands in."""

    passage: Passage
    open: str = ""
    close: str = ""


def _read(part: str) -> _Document:
    """A short first line is a title; the rest is the text."""
    wrapped = _WRAPPED.match(part)
    inside = wrapped["text"] if wrapped else part.strip("\n")
    titled = _TITLED.match(inside)
    return _Document(
        passage=Passage(
            title=titled["title"] if titled else "",
            text=inside[titled.end() :] if titled else inside,
        ),
        open=wrapped["open"] if wrapped else "",
        close=wrapped["close"] if wrapped else "",
    )
