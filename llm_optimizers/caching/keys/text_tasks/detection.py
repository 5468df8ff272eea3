"""Decide whether a request asks for work on a text.

The text is data there: two texts that mean nearly the same have two summaries, so answers are never
shared by meaning. The instruction stands in the user's message, with the text attached, in an
earlier message, or in the system prompt, and then each message is such a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_optimizers.caching.keys.text_tasks.messages import asks_for_work
from llm_optimizers.caching.keys.text_tasks.prompts import makes_messages_texts
from llm_optimizers.types import Message

__all__ = ["works_on_text"]

_SHORT = 400
"""Characters of the longest paragraph before a question that may be an instruction."""
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
    return (
        any(map(makes_messages_texts, prompts))
        or asks_for_work(question)
        or any(asks_for_work(each.text, followed=True) for each in earlier if each.role == "user")
        or _gives_labels(earlier)
        or (any(around) and makes_messages_texts("\n".join((*prompts, *_frame(around)))))
    )


def _frame(around: Sequence[str]) -> list[str]:
    """Return the paragraphs and lines around a question that may be an instruction.

    These are the first and the last paragraph before it, and the last lines after it.
    """
    paragraphs = around[0].strip().split("\n\n")
    lines = [line for line in around[-1].splitlines() if line.strip()]
    ends = dict.fromkeys((paragraphs[0], paragraphs[-1], *lines[-_LINES:]))
    return [each for each in ends if len(each) <= _SHORT]


def _gives_labels(earlier: Sequence[Message]) -> bool:
    """Return whether the earlier answers are labels, as in examples of a classification."""
    answers = [each.text.strip() for each in earlier if each.role == "assistant"]
    return len(answers) > 1 and all(
        len(answer.split()) <= _LABEL_WORDS and answer[-1:].isalnum() for answer in answers
    )
