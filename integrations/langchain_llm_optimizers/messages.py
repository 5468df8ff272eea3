"""LangChain's messages as the core's, from objects or from the JSON a cache is handed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = [
    "COMBINED",
    "MARK",
    "core_message",
    "request_of_messages",
    "request_of_prompt",
    "without_bill",
]

MARK = "llm_optimizers"
"""Our key in `additional_kwargs` and run metadata; it never enters a cache key."""
COMBINED = "combined"
"""Our key in an answer's response metadata: how it shared a call, for the account."""

_REMOVED = ("prompt_tokens_removed", "prompt_tokens_sent_before")

_ROLES = {
    "human": "user",
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessage": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessage": "tool",
    "ToolMessageChunk": "tool",
    "function": "tool",
    "FunctionMessage": "tool",
}


def without_bill(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """An answer's response metadata without what only the account of its own call may read."""
    kept = {name: value for name, value in metadata.items() if name != COMBINED}
    mark = kept.get(MARK)
    if isinstance(mark, Mapping):
        kept[MARK] = {name: value for name, value in mark.items() if name not in _REMOVED}
    return kept


def core_message(message: BaseMessage) -> Message:
    """Translate one message; ids, usage and response metadata stay behind.

    Raises:
        ConfigurationError: the message's content is of no shape a chat model takes.
    """
    return _message(
        role=message.role if isinstance(message, ChatMessage) else message.type,
        content=message.content,
        tool_calls=message.tool_calls if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        name=message.name,
    )


def request_of_messages(
    messages: Sequence[BaseMessage], params: Mapping[str, Any], *, model: str = ""
) -> ChatRequest:
    """The request that these messages and settings make."""
    extras = [_extras(_ROLES.get(m.type, m.type), vars(m)) for m in messages]
    return ChatRequest(
        messages=tuple(core_message(message) for message in messages),
        model=model,
        params={**params, "extras": extras} if any(extras) else params,
    )


def request_of_prompt(prompt: str, params: Mapping[str, Any]) -> ChatRequest:
    """The request behind the `prompt` string that LangChain hands its caches.

    Chat models hand over `dumps(messages)`, completion models the bare text; anything that is
    not a list of serialised messages counts as text.
    """
    raw = _serialised(prompt)
    if raw is None:
        text = Message(role="user", content=prompt)
        return ChatRequest(messages=(text,), params={**params, "completion": True})
    try:
        messages = tuple(
            _message(
                role=str(kwargs.get("role") or kwargs.get("type") or kind),
                content=kwargs.get("content", ""),
                tool_calls=kwargs.get("tool_calls") or (),
                tool_call_id=kwargs.get("tool_call_id"),
                name=kwargs.get("name"),
            )
            for kind, kwargs in raw
        )
        extras = [_extras(_ROLES.get(kind, kind), kwargs) for kind, kwargs in raw]
    except (ConfigurationError, AttributeError, KeyError, TypeError):
        # A conversation of a shape unknown here has no question that meaning could be taken from.
        whole = Part(kind="serialised", data={"prompt": prompt})
        return ChatRequest(messages=(Message(role="user", content=(whole,)),), params=params)
    return ChatRequest(
        messages=messages, params={**params, "extras": extras} if any(extras) else params
    )


def _serialised(prompt: str) -> list[tuple[str, Mapping[str, Any]]] | None:
    """Class name and arguments of each serialised message, None if the text is something else."""
    if not prompt.startswith("["):
        return None
    try:
        raw = json.loads(prompt)
        pairs = [(message["id"][-1], message["kwargs"]) for message in raw]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return pairs if pairs and all(isinstance(kwargs, dict) for _, kwargs in pairs) else None


def _message(
    *,
    role: str,
    content: Any,
    tool_calls: Sequence[Mapping[str, Any]],
    tool_call_id: str | None,
    name: str | None,
) -> Message:
    return Message.from_openai(
        {
            "role": _ROLES.get(role, role),
            "content": content,
            "tool_calls": [
                {
                    "id": call.get("id") or "",
                    "function": {
                        "name": call["name"],
                        "arguments": json.dumps(call["args"], sort_keys=True, default=repr),
                    },
                }
                for call in tool_calls
            ],
            "tool_call_id": tool_call_id,
            "name": name,
        }
    )


def _extras(role: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What else of a message may shape the answer.

    Of a model's own turn only its calls count, those in OpenAI's old form and those that could
    not be read among them: the rest (parsed objects, refusals, reasoning summaries) repeats its
    content or is bookkeeping.
    """
    additional: Mapping[str, Any] = fields.get("additional_kwargs") or {}
    if role == "assistant":
        extras = {k: v for k, v in additional.items() if k == "function_call" and v}
        broken = [(c.get("name"), c.get("args")) for c in fields.get("invalid_tool_calls") or ()]
        return {**extras, "invalid_tool_calls": broken} if broken else extras
    extras = {k: v for k, v in additional.items() if k != MARK}
    return {**extras, "status": "error"} if fields.get("status") == "error" else extras
