"""Decide whether a request asks for work on a text.

The text is data there: two texts that mean nearly the same have two summaries, so answers are never
shared by meaning. The instruction stands in the user's message, with the text attached, in an
earlier message, or in the system prompt, and then each message is such a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llm_optimizers.caching.keys.text_tasks.messages import asks_for_work
from llm_optimizers.caching.keys.text_tasks.prompts import (
    makes_messages_texts,
    works_on_the_question,
)
from llm_optimizers.text.labels import LabelledLine, labelled_lines, split, words_for
from llm_optimizers.types import Message

__all__ = ["works_on_text"]

_SHORT = 400
"""Characters of the longest paragraph before a question that may be an instruction."""
_PARAGRAPHS = 8
"""Paragraphs before the context that are read."""
_RULE = re.compile(r"^[ \t]*[-=*_#]{5,}[ \t\r]*$", re.MULTILINE)
_TAG = re.compile(r"</?[^\W\d_][^<>\n]{0,60}>")
_CLOSING_TAG = re.compile(r"</[^\W\d_][^<>\n]{0,60}>")
_LINES = 2
"""Lines at the end of a prompt, after its question: an instruction, a cue to answer."""
_LABEL_WORDS = 3
"""Words of the longest answer that may be a label."""


def works_on_text(
    earlier: Sequence[Message],
    question: str,
    around: Sequence[str] = (),
    instructions: Iterable[str] = (),
) -> bool:
    """Return whether the last message asks for work on a text, or is the text.

    `earlier` are the messages before it; `around` is what stands around its question;
    `instructions` are system prompts that are no messages.
    """
    prompts = [*instructions, *(each.text for each in earlier if each.role == "system")]
    frame = _frame(around) if any(around) else []
    said = "\n".join(map(_unlabelled, frame))
    return (
        any(map(makes_messages_texts, prompts))
        or asks_for_work(question)
        or any(asks_for_work(each.text, followed=True) for each in earlier if each.role == "user")
        or _gives_labels(earlier)
        or (said.strip() != "" and makes_messages_texts("\n".join((*prompts, *frame))))
        or works_on_the_question(said, "\n".join(frame), _template(around))
    )


def _frame(around: Sequence[str]) -> list[str]:
    """Return the paragraphs and lines around a question that may be an instruction.

    These are the paragraphs before the context, or the first one if it is not known where it
    begins, the last one before the question, and the last lines after it.
    """
    head, tail = around[0].strip(), around[-1]
    begins = _context_begins(head)
    if begins is None and _context_begins(tail) is not None:
        begins = len(head)
    paragraphs = head.split("\n\n")
    leading = [] if begins is None else head[:begins].split("\n\n")[:_PARAGRAPHS]
    lines = [line for line in tail.splitlines() if line.strip()]
    others = [*(paragraphs[:1] if begins is None else ()), paragraphs[-1], *lines[-_LINES:]]
    ends = dict.fromkeys((*leading, *(each for each in others if len(each) <= _SHORT)))
    return [each for each in ends if each.strip()]


def _template(around: Sequence[str]) -> tuple[str, str] | None:
    """Return the text that is no document's: far from the question, and on its side of the context.

    None if there is no context. Long text without a label may be documents: nothing is known of it.
    """
    head, tail = around[0], around[-1]
    begins = _context_begins(head)
    if begins is not None:
        return _unlabelled(head[:begins]), _unlabelled(f"{head[_context_ends(head) :]}\n{tail}")
    begins = _context_begins(tail)
    if begins is not None:
        return "", _unlabelled(f"{head}\n{tail[:begins]}")
    return None if len(head) <= _SHORT else ("", "")


def _context_ends(text: str) -> int:
    """Return where the context before a question ends: at a closing tag or a second rule."""
    closed = [each.end() for each in _CLOSING_TAG.finditer(text)][-1:]
    ruled = [each.end() for each in _RULE.finditer(text)][1:]
    return max([*closed, *ruled], default=len(text))


def _context_begins(text: str) -> int | None:
    """Return where a text has its first label for context, or its first rule."""
    found = [
        each.start
        for each in labelled_lines(text)
        if each.said in words_for("context", "documents", "other")
    ]
    rule = _RULE.search(text)
    return min([*found, *([] if rule is None else [rule.start()])], default=None)


def _unlabelled(text: str) -> str:
    """Return a text without tags, and without its lines that begin with a label: `Question:`."""
    lines = _TAG.sub("", text).split("\n")
    return "\n".join(line for line in lines if not any(map(_only_labels, labelled_lines(line))))


def _only_labels(line: LabelledLine) -> bool:
    """Return whether a label says no more than that a question or an answer follows."""
    words = split(line.said)
    before = words_for("question", "answer", "cue").ends(words)
    return before is not None and all(word in words_for("asker") for word in words[:before])


def _gives_labels(earlier: Sequence[Message]) -> bool:
    """Return whether the earlier answers are labels, as in examples of a classification."""
    answers = [each.text.strip() for each in earlier if each.role == "assistant"]
    return len(answers) > 1 and all(
        len(answer.split()) <= _LABEL_WORDS and answer[-1:].isalnum() for answer in answers
    )
