"""Histories in which another LLM of the router called tools, for the LLM that is called next.

Each integration gives tool calls in its own form and reads no other: OpenAI's arguments are JSON
text, and its SDK's objects stand beside the blocks; Ollama's calls have no ids, and Gemini's may
have the tool's name for one. An LLM gets its own answers back as they were, and those of others
with arguments as mappings, no objects, and an id for each call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from llama_index_llm_optimizers.binding import arguments_of
from llama_index_llm_optimizers.messages import ROUTED_KEY

__all__ = ["readable_by"]


def readable_by(name: str, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the messages for the router's LLM of this name."""
    found: list[ChatMessage] = []
    waiting: list[tuple[str, str]] = []
    for number, message in enumerate(messages):
        if message.role == MessageRole.ASSISTANT:
            waiting = []
            if _is_of_another(name, message):
                message, waiting = _rewritten(message, number)
        elif message.role == MessageRole.TOOL and waiting:
            message = _with_new_id(message, waiting)
        found.append(message)
    return found


def _is_of_another(name: str, message: ChatMessage) -> bool:
    """Whether a router's mark says that another LLM gave this answer, with tool calls."""
    mark = message.additional_kwargs.get(ROUTED_KEY)
    return (
        isinstance(mark, Mapping)
        and mark.get("model") != name
        and any(isinstance(block, ToolCallBlock) for block in message.blocks)
    )


def _rewritten(message: ChatMessage, number: int) -> tuple[ChatMessage, list[tuple[str, str]]]:
    """Return the answer in the plain form, and each call's old and new id.

    New ids say where the call stands, so that the same history is the same request.
    """
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    count = Counter(call.tool_call_id for call in calls)
    new: dict[int, str] = {}
    for place, call in enumerate(calls):
        own = call.tool_call_id
        distinct = own and own != call.tool_name and count[own] == 1
        new[id(call)] = str(own) if distinct else f"call_{number}_{place}"
    blocks = [
        block.model_copy(
            update={"tool_call_id": new[id(block)], "tool_kwargs": arguments_of(block.tool_kwargs)}
        )
        if isinstance(block, ToolCallBlock)
        else block
        for block in message.blocks
    ]
    kept = {k: v for k, v in message.additional_kwargs.items() if k != "tool_calls"}
    renamed = [(call.tool_call_id or call.tool_name, new[id(call)]) for call in calls]
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": kept}), renamed


def _with_new_id(message: ChatMessage, waiting: list[tuple[str, str]]) -> ChatMessage:
    """Return a tool's result with its call's new id, and take that call off the list."""
    old = message.additional_kwargs.get("tool_call_id")
    place = next((at for at, (own, _) in enumerate(waiting) if not old or own == old), None)
    if place is None:
        return message
    _, new = waiting.pop(place)
    kept = {**message.additional_kwargs, "tool_call_id": new}
    return message.model_copy(update={"additional_kwargs": kept})
