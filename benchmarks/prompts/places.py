"""Where a text can stand in a request: in any role, and as a document of marked context.

The context is marked by tags (`context`), or by lines of dashes as in LlamaIndex (`ruled`).

`asking` puts the text there, with the messages that belong around it; `left_of` takes it out of
what is sent, if everything else is still as it was.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from llm_optimizers.types import ChatRequest, Message, ToolCall

__all__ = ["PLACES", "Place", "asking", "left_of"]

Place: TypeAlias = Literal["user", "system", "tool", "context", "ruled"]
PLACES: tuple[Place, ...] = get_args(Place)

_FRAMES: dict[Place, tuple[str, str]] = {
    "context": (
        'Answer from these documents.\n\n<documents>\n<document index="1">\n',
        "\n</document>\n</documents>\n\nQuestion: What follows from them?",
    ),
    "ruled": (
        "Context information is below.\n---------------------\n",
        "\n---------------------\nAnswer the query from the context.\nQuery: What is it?\nAnswer: ",
    ),
}
_RULES = Message(role="system", content="You help with a project.")
_ASKED = Message(role="user", content="Look it up and say what you find.")
_CALL = Message(
    role="assistant", tool_calls=(ToolCall(id="c1", name="look_up", arguments='{"at": 1}'),)
)


def asking(text: str, place: Place, model: str) -> ChatRequest:
    """Return a request in which the text stands at a place."""
    messages: tuple[Message, ...]
    if place == "system":
        messages = (Message(role="system", content=text), _ASKED)
    elif place == "tool":
        answer = Message(role="tool", content=text, tool_call_id="c1", name="look_up")
        messages = (_RULES, _ASKED, _CALL, answer)
    else:
        opening, closing = _FRAMES.get(place, ("", ""))
        messages = (_RULES, Message(role="user", content=opening + text + closing))
    return ChatRequest(model=model, messages=messages)


def left_of(sent: ChatRequest, asked: ChatRequest, place: Place) -> str | None:
    """Return what was sent for the text; None if anything around it has changed."""
    at = 0 if place == "system" else len(asked.messages) - 1
    others = [m for n, m in enumerate(sent.messages) if n != at]
    if others != [m for n, m in enumerate(asked.messages) if n != at]:
        return None
    text = sent.messages[at].text
    opening, closing = _FRAMES.get(place, ("", ""))
    framed = text.startswith(opening) and text.endswith(closing)
    return text[len(opening) : len(text) - len(closing)] if framed else None
