"""Why a request cannot be served the answer to another question with the same meaning."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Unmatched"]


class Unmatched(StrEnum):
    """A reason, as it is printed; `advice` says what to do about it."""

    TOOLS = "tools are bound"
    STATE = "it refers to state at the provider"
    NOT_TEXT = "the last message is not a user's plain text"
    NO_TEXT = "its text is empty or damaged"
    TEXT_TASK = "it asks for work on a text"
    TIME = "its answer depends on the time"
    SECTIONS = "it has several sections, and it is not certain which question is asked"
    DATA = "it holds JSON or other data"
    NEW_CONTEXT = (
        "no request before it had the same tenant, settings, system prompt, history, documents and "
        "other fields of the messages"
    )
    NO_VECTOR = "its question could not be embedded"
    NO_KEY = "it was not cached at all"

    @property
    def advice(self) -> str:
        """What to do, as a sentence."""
        return _ADVICE[self]


_ADVICE = {
    Unmatched.TOOLS: "Answers of agents depend on their tools: cache a chain without tools, or "
    "pass semantic=False to save the work.",
    Unmatched.STATE: "Send the whole conversation instead of an id of it.",
    Unmatched.NOT_TEXT: "Ask in a last message of plain text; pictures and results of tools are "
    "matched word for word.",
    Unmatched.NO_TEXT: "Check what is sent as the last message.",
    Unmatched.TEXT_TASK: "Two texts with the same meaning have two summaries. If these are "
    "questions about documents, put the question in a last line 'Question: ...' or the documents "
    "in the system prompt.",
    Unmatched.TIME: "Questions about now are matched word for word: give them a short ttl.",
    Unmatched.SECTIONS: "Put the question in a last line 'Question: ...' or in "
    "<question>...</question>, or put the context in the system prompt.",
    Unmatched.DATA: "Put the question in a last line 'Question: ...', and the data before it.",
    Unmatched.NEW_CONTEXT: "Look for a time, an id or a user's name in the system prompt or in the "
    "name of a message, and leave it out where no answer needs it; retrieved documents have to be "
    "the same, in the same order. Tenants never share an answer.",
    Unmatched.NO_VECTOR: "See the warnings of this logger about the embedder.",
    Unmatched.NO_KEY: "See the first warning of this logger that says 'bypassed' or 'namespace'.",
}
