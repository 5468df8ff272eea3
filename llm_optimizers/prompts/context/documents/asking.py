"""Find the question in the text around a context: instructions around it would blur the ranking."""

from __future__ import annotations

import re

from llm_optimizers.text.labels import ASKS, labels

__all__ = ["asks", "question_in"]

_CLOSING = re.compile(r"</\w")
_ENDS = ("?", "\uff1f", "\u061f")
_ASKS = re.compile(r"[?\uff1f\u061f]\s*$", re.MULTILINE)
_SHORT = 300
"""Characters of text that is taken as a question as a whole."""
_TAGS_ALONE = re.compile(r"^[ \t]*</?\w[^<>\n]{0,300}>[ \t\r]*$", re.MULTILINE)
"""The tags of the context's section: their names are no words of the question."""
_PARAGRAPHS = re.compile(r"\n[ \t\r]*\n\s*")


def asks(text: str) -> bool:
    """Return whether a text has a question, labelled as one or with a question mark."""
    return _ASKS.search(text) is not None or any(each.kind in ASKS for each in labels(text))


def question_in(text: str) -> str:
    """Return the question of a prompt without its context.

    That is what follows the last label for a question, else the paragraphs that end in a question
    mark if there is much other text, else all of it.
    """
    question = _labelled(text)
    if question:
        return question
    text = _TAGS_ALONE.sub("", text).strip() or text
    if len(text) <= _SHORT:
        return text.strip()
    asking = [each for each in _PARAGRAPHS.split(text) if each.rstrip().endswith(_ENDS)]
    return "\n".join(asking).strip() or text.strip()


def _labelled(text: str) -> str:
    """Return what follows the last label for a question, up to one for an answer or a tag."""
    found = list(labels(text))
    for kind in ASKS:
        for asked in [each for each in found if each.kind == kind][-1:]:
            answers = (
                each.start for each in found if each.kind == "answer" and each.start >= asked.end
            )
            closing = _CLOSING.search(text, asked.end)
            ends = [next(answers, len(text)), closing.start() if closing else len(text)]
            question = text[asked.end : min(ends)]
            if any(map(str.isalnum, question)):
                return question.strip(" \t\r\n*")
    return ""
