"""Find the question in the text around a context: instructions around it would blur the ranking."""

from __future__ import annotations

import re

__all__ = ["ASKING", "MINE", "QUESTION", "asks", "question_in"]

_FLAGS = re.IGNORECASE | re.MULTILINE
ASKING = r"(?:question|query|input|request|task|problem)"
MINE = r"(?:[^\W\d_']+[ ]){0,2}(?:user's[ ])?"
QUESTION = re.compile(
    rf"^[ \t]*(?:(?:#{{1,6}}[ \t]+|\*\*){MINE}{ASKING}\b[ \t]*:?(?:\*\*)?:?|{MINE}{ASKING}[ \t]*:"
    rf"|<(?:\w{{1,20}}_)?{ASKING}>)",
    _FLAGS,
)
"""What comes before a question: `Question:`, `## Query`, `<user_question>`."""
_ANSWER = re.compile(
    r"^[ \t]*(?:(?:#{1,6}[ \t]+|\*\*)?(?:[^\W\d_]+[ ])?answer\b[ \t]*(?::|\*\*|$)|</)|</\w+>",
    _FLAGS,
)
_ENDS = ("?", "\uff1f", "\u061f")
_ASKS = re.compile(r"[?\uff1f\u061f]\s*$", re.MULTILINE)
_SHORT = 300
"""Characters of text that is taken as a question as a whole."""
_TAGS_ALONE = re.compile(r"^[ \t]*</?\w[^<>\n]{0,300}>[ \t\r]*$", re.MULTILINE)
"""The tags of the context's section: their names are no words of the question."""
_PARAGRAPHS = re.compile(r"\n[ \t\r]*\n\s*")


def asks(text: str) -> bool:
    """Return whether a text has a question, marked as one or with a question mark."""
    return _ASKS.search(text) is not None or QUESTION.search(text) is not None


def question_in(text: str) -> str:
    """Return the question of a prompt without its context.

    That is what follows the last mark for a question, else the paragraphs that end in a question
    mark if there is much other text, else all of it.
    """
    marked = [found.end() for found in QUESTION.finditer(text)]
    for start in marked[-1:]:
        answer = _ANSWER.search(text, start)
        question = text[start : answer.start() if answer is not None else len(text)]
        if any(map(str.isalnum, question)):
            return question.strip()
    text = _TAGS_ALONE.sub("", text).strip() or text
    if len(text) <= _SHORT:
        return text.strip()
    asking = [each for each in _PARAGRAPHS.split(text) if each.rstrip().endswith(_ENDS)]
    return "\n".join(asking).strip() or text.strip()
