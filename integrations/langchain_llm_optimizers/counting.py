"""Count an answer's tokens: all that a model wrote in it, and the counter that is used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation

from llm_optimizers.fingerprint import compact_json
from llm_optimizers.types import Message

if TYPE_CHECKING:
    from llm_optimizers.prompts import TokenCounter

__all__ = ["own_counter", "said_in"]


def said_in(generation: Generation) -> Message:
    """Return all that a model wrote in an answer, also in one that broke off, to count its tokens.

    Raises:
        ConfigurationError: the content has a form that no chat model gives.
    """
    if not isinstance(generation, ChatGeneration):
        return Message(role="assistant", content=generation.text)
    message = generation.message
    given = message.additional_kwargs
    blocks = [message.content] if isinstance(message.content, str) else message.content
    thoughts = given.get("reasoning_content")
    texts = [given.get("refusal"), *([thoughts] if isinstance(thoughts, str) else ())]
    return Message.from_openai(
        {
            "role": "assistant",
            "content": [*(text for text in texts if text), *(each for each in blocks if each)],
            "tool_calls": [{"function": each} for each in _calls_said(message)],
        }
    )


def _calls_said(message: BaseMessage) -> list[Mapping[str, Any]]:
    """Return name and arguments of an answer's calls, as the model wrote them as far as known."""
    given = message.additional_kwargs
    written = [call.get("function") for call in given.get("tool_calls") or ()]
    written = [each for each in [*written, given.get("function_call")] if each]
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        chunks = message.tool_call_chunks
        return [{"name": each["name"], "arguments": each["args"] or ""} for each in chunks]
    if written or not isinstance(message, AIMessage):
        return written
    return [
        {"name": call["name"], "arguments": compact_json(call["args"])}
        for call in (*message.tool_calls, *message.invalid_tool_calls)
    ]


@cache
def own_counter() -> TokenCounter:
    """Return this process's own counter, loaded when a provider first reports no usage."""
    from llm_optimizers.prompts import TokenCounter

    return TokenCounter()
