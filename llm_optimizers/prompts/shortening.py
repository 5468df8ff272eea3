"""What the passes change in a message, by its role.

Of what a tool returned only data that fills the whole text is changed, of a prompt the documents of
its retrieved context, then what the optional passes find. An answer stays as it is.
"""

from __future__ import annotations

from functools import partial

from llm_optimizers.prompts.context import document_spans, with_text
from llm_optimizers.prompts.lossless import LOSSLESS, Edit, PassName, edited, shorten, with_edits
from llm_optimizers.types import Message, Role

__all__ = ["data_edits", "shortened"]


def shortened(message: Message, passes: frozenset[PassName]) -> Message:
    """Return a message after the passes; the same object if they change nothing."""
    if message.role == "assistant":
        return message
    return with_text(message, partial(_shorter_text, role=message.role, passes=passes))


def data_edits(text: str, role: Role, passes: frozenset[PassName] = LOSSLESS) -> list[Edit]:
    """Return the shorter forms of the data in the text of one message, in order."""
    if "{" not in text:
        return []  # No JSON with keys, so the sections need not be looked for.
    whole = [(0, len(text))]
    # The question to the context of a system message is in a user's message.
    spans = whole if role == "tool" else document_spans(text, asked=role == "system")
    edits = [Edit(start=a, end=b, text=shorten(text[a:b], passes=passes)) for a, b in spans]
    return [edit for edit in edits if len(edit.text) < edit.end - edit.start]


def _shorter_text(text: str, *, role: Role, passes: frozenset[PassName]) -> str:
    text = with_edits(text, data_edits(text, role, passes))
    return text if role == "tool" else edited(text, passes)
