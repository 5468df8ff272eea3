"""Translate LangChain's messages, as objects or as the JSON in a cache's prompt, for the core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    ToolMessage,
)

from langchain_llm_optimizers.providers import ANSWER_FORMAT, Sent
from langchain_llm_optimizers.state import with_previous_response
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import json_text
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = [
    "METADATA_KEY",
    "SHARE_KEY",
    "USED",
    "core_message",
    "request_of_messages",
    "request_of_prompt",
    "without_billing",
]

METADATA_KEY = "llm_optimizers"
"""Our key in `additional_kwargs`, response and run metadata; never part of a cache key."""
SHARE_KEY = "combined"
"""Our key in an answer's response metadata for its share of a combined call."""
USED = "used"
"""The key in a share for its usage, if that was counted here."""

_SERIALISED = '[{"lc": '
_NOT_WRITTEN = '"not_implemented"'
_REMOVED_KEYS = ("prompt_tokens_removed", "prompt_tokens_sent_before")

_REPEATED = (METADATA_KEY, "parsed", "usage")
"""What an answer's `additional_kwargs` hold beside what the model said."""
_SIGNATURES = "__gemini_function_call_thought_signatures__"

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


_CORE_ROLES = frozenset({"user", "assistant", "system", "tool"})


def without_billing(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's response metadata without what only its own call may be charged for."""
    kept = {name: value for name, value in metadata.items() if name != SHARE_KEY}
    mark = kept.get(METADATA_KEY)
    if isinstance(mark, Mapping):
        kept[METADATA_KEY] = {
            name: value for name, value in mark.items() if name not in _REMOVED_KEYS
        }
    return kept


def core_message(message: BaseMessage) -> Message:
    """Translate one message, without ids, usage and response metadata.

    Raises:
        ConfigurationError: the content has a form that no chat model takes, or a tool call's
            arguments hold an object that cannot be read.
    """
    return _message(
        role=message.role if isinstance(message, ChatMessage) else message.type,
        content=message.content,
        tool_calls=message.tool_calls if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        name=message.name,
    )


def request_of_messages(
    messages: Sequence[BaseMessage],
    params: Mapping[str, Any],
    *,
    model: str = "",
    sent: Sequence[Sent] | None = None,
) -> ChatRequest:
    """Return the request for these messages and settings.

    `sent` says what of a message the models send that may answer; None if that is not known.
    """
    extras = [_extras(_ROLES.get(m.type, m.type), vars(m), sent) for m in messages]
    answers = [m.response_metadata for m in messages if isinstance(m, AIMessage)]
    params = with_previous_response(params, answers)
    return ChatRequest(
        messages=tuple(core_message(message) for message in messages),
        model=model,
        params={**params, "extras": extras} if any(extras) else params,
    )


def request_of_prompt(
    prompt: str, params: Mapping[str, Any], *, sent: Sequence[Sent] | None = None
) -> ChatRequest:
    """Return the request in the `prompt` string that LangChain passes to a cache.

    A chat model passes `dumps(messages)`, a completion model its text. Anything but a list of
    serialised messages counts as text.

    Raises:
        ConfigurationError: a message holds an object of which the prompt has only the repr.
    """
    raw = _serialised(prompt)
    if raw is None:
        text = Message(role="user", content=prompt)
        chat = prompt.startswith(_SERIALISED)  # with a message that cannot be serialised
        return ChatRequest(messages=(text,), params=params, completion=not chat)
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
        extras = [_extras(_ROLES.get(kind, kind), kwargs, sent) for kind, kwargs in raw]
        answers = [
            kwargs.get("response_metadata") or {}
            for kind, kwargs in raw
            if _ROLES.get(kind) == "assistant"
        ]
        params = with_previous_response(params, answers)
    except (ConfigurationError, AttributeError, KeyError, TypeError):
        _refuse_objects([kwargs for _, kwargs in raw], prompt)
        # In an unknown format there is no question to match by meaning: exact matching only.
        whole = Part(kind="serialised", data={"prompt": prompt})
        return ChatRequest(messages=(Message(role="user", content=(whole,)),), params=params)
    said = [[kwargs.get("content"), kwargs.get("tool_calls")] for _, kwargs in raw]
    _refuse_objects([said, extras], prompt)
    return ChatRequest(
        messages=messages, params={**params, "extras": extras} if any(extras) else params
    )


def _refuse_objects(values: object, prompt: str) -> None:
    """Refuse objects of which LangChain writes only the class and the `repr`.

    Raises:
        ConfigurationError: there is one.
    """
    if _NOT_WRITTEN in prompt and _holds_object(values):
        raise ConfigurationError(
            "a message holds an object, of which LangChain's cache is given only the repr, so that "
            "the call is not cached: give it as data, or use CachedChatModel, which sees the object"
        )


def _holds_object(value: object) -> bool:
    if isinstance(value, Mapping):
        if value.get("type") == "not_implemented" and "lc" in value:
            return True
        return any(map(_holds_object, value.values()))
    return isinstance(value, list) and any(map(_holds_object, value))


def _serialised(prompt: str) -> list[tuple[str, Mapping[str, Any]]] | None:
    """Return class and arguments of each serialised message; None for any other text."""
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
                        "arguments": json_text(call["args"]),
                    },
                }
                for call in tool_calls
            ],
            "tool_call_id": tool_call_id,
            "name": name,
        }
    )


def _extras(role: str, fields: Mapping[str, Any], sent: Sequence[Sent] | None) -> dict[str, Any]:
    """Return the other fields of a message that may affect the answer: those that are sent.

    Without the models' `sent`, all of `additional_kwargs`. Of an assistant message also count the
    tool calls that could not be parsed, and whose format its blocks have.
    """
    extras = _additional(role, fields, sent)
    if isinstance(fields.get("role"), str):  # a ChatMessage's, which is sent as it is
        extras = {**extras, "role": fields["role"]}
    if role == "assistant":
        broken = [(c.get("name"), c.get("args")) for c in fields.get("invalid_tool_calls") or ()]
        written = _format_of(fields, sent)
        return {
            **extras,
            **({"invalid_tool_calls": broken} if broken else {}),
            **({"format": written} if written else {}),
        }
    return {**extras, "status": "error"} if fields.get("status") == "error" else extras


def _additional(
    role: str, fields: Mapping[str, Any], sent: Sequence[Sent] | None
) -> dict[str, Any]:
    """Return what counts of a message's `additional_kwargs`."""
    given: Mapping[str, Any] = fields.get("additional_kwargs") or {}
    if not given:
        return {}
    if sent is not None and role in _CORE_ROLES:
        names = frozenset[str]().union(*(each.extras.get(role, frozenset()) for each in sent))
        given = {name: value for name, value in given.items() if name in names}
    if role != "assistant":
        return {k: v for k, v in given.items() if k != METADATA_KEY}
    calls = fields.get("tool_calls") or ()
    parsed = bool(calls or fields.get("invalid_tool_calls"))
    kept = {k: v for k, v in given.items() if _is_set(v) and k not in _REPEATED}
    return {
        name: value
        for name, held in kept.items()
        if not (name == "tool_calls" and parsed) and _is_set(value := _held(name, held, calls))
    }


def _is_set(value: Any) -> bool:
    return value is False or value == 0 or bool(value)


def _held(name: str, value: Any, calls: Sequence[Mapping[str, Any]]) -> Any:
    """Return what counts of an entry of an answer's: without ids that another answer lacks.

    Reasoning and sound that lie at the provider are known by their id, encrypted reasoning by its
    text. Item ids of calls say nothing that the calls do not.
    """
    if name in ("reasoning", "audio") and isinstance(value, Mapping) and value.get("id"):
        return value.get("encrypted_content") or value["id"]
    if name == _SIGNATURES and isinstance(value, Mapping):
        return [value.get(call.get("id")) for call in calls]
    return None if name == "__openai_function_call_ids__" else value


def _format_of(fields: Mapping[str, Any], sent: Sequence[Sent] | None) -> dict[str, Any]:
    """Return by what an integration tells whose format an answer's blocks are in."""
    if not isinstance(fields.get("content"), list):
        return {}
    metadata: Mapping[str, Any] = fields.get("response_metadata") or {}
    names = ANSWER_FORMAT if sent is None else set().union(*(each.metadata for each in sent))
    return {name: metadata[name] for name in sorted(names) if metadata.get(name)}
