"""Messages and requests, independent of any framework; all strategies work on these types.

They follow OpenAI's chat format (https://platform.openai.com/docs/api-reference/chat/create).
Each adapter converts its framework's messages to these types and back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, TypeAlias, cast, get_args

from llm_optimizers.arguments import fields_check, one_of, sequence
from llm_optimizers.errors import ConfigurationError

__all__ = ["ChatRequest", "Clock", "Message", "Part", "Role", "ToolCall"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch; `time.time` outside tests."""

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
}
_KNOWN_ROLES = get_args(Role)

_TEXT_OR_NONE = (str, NoneType)
_check_part = fields_check({"kind": str, "text": str, "data": (dict, Mapping)})
_check_tool_call = fields_check({"id": str, "name": str, "arguments": str})
_check_message = fields_check({"tool_call_id": _TEXT_OR_NONE, "name": _TEXT_OR_NONE})
_check_request = fields_check(
    {
        "model": str,
        "params": (dict, Mapping),
        "completion": bool,
        "sampled": bool,
        "delivery": tuple,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a message's content: text, or another block (an image, say) in `data`.

    For text, `data` holds the block's other fields, such as a provider's cache control.
    """

    kind: str
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_part(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call requested by the model; `arguments` is JSON text as the provider sent it."""

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        _check_tool_call(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        given: object = self.role  # whatever its type says
        if not isinstance(given, str) or given not in _KNOWN_ROLES:
            object.__setattr__(self, "role", one_of("role", self.role, _KNOWN_ROLES))
        if not isinstance(self.content, str):
            _keep_tuple(self, "content", Part)
        if self.tool_calls != ():
            _keep_tuple(self, "tool_calls", ToolCall)
        _check_message(self)

    @property
    def text(self) -> str:
        """The text parts joined by newlines; other parts are left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.kind == "text")

    @property
    def multimodal(self) -> bool:
        """Whether any part is not text."""
        return not isinstance(self.content, str) and any(p.kind != "text" for p in self.content)

    @classmethod
    def from_openai(cls, raw: Mapping[str, Any]) -> Message:
        """Read a message of OpenAI's chat format.

        Raises:
            ConfigurationError: the mapping is not such a message; the error says why.
        """
        role = _ROLES.get(str(raw.get("role")))
        if role is None:
            raise ConfigurationError(
                f"message role {raw.get('role')!r} is unknown; give system, user, assistant or tool"
            )
        content = raw.get("content")
        if not (content is None or isinstance(content, str | list)):
            raise ConfigurationError(
                f"message content is a {type(content).__name__}; give a string or a list of parts"
            )
        calls = raw.get("tool_calls") or []
        if not isinstance(calls, list):
            raise ConfigurationError(f"`tool_calls` is a {type(calls).__name__}; give a list")
        for name in ("name", "tool_call_id"):
            if not isinstance(raw.get(name), str | None):
                raise ConfigurationError(f"a message's `{name}` must be a string")
        return cls(
            role=role,
            content=_parts(content) if isinstance(content, list) else content or "",
            tool_calls=tuple(_tool_call(call) for call in calls),
            tool_call_id=raw.get("tool_call_id"),
            name=raw.get("name"),
        )

    def to_openai(self) -> dict[str, Any]:
        """Return the message in OpenAI's chat format, without the fields that are not set."""
        raw: dict[str, Any] = {"role": self.role}
        if isinstance(self.content, str):
            raw["content"] = self.content
        else:
            raw["content"] = [
                {"type": "text", "text": part.text, **part.data}
                if part.kind == "text"
                else dict(part.data)
                for part in self.content
            ]
        if self.tool_calls:
            raw["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            raw["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            raw["name"] = self.name
        return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request to a chat model: messages, the model's name and every other setting.

    `params` holds the settings that shape the answer (tools, temperature, stop, response_format,
    …) as JSON-like values. `tenant` separates customers: an answer made for one is never served
    to another. `completion` asks for a text that continues the prompt, not for a chat message.
    `sampled` means that the same request is meant to get varying answers, so that several of them
    at once are several calls. `delivery` is how soon the answer is wanted (see
    `settings.bookkeeping.delivery_of`). Both are no part of the request that is sent.
    """

    messages: tuple[Message, ...]
    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    tenant: str = ""
    completion: bool = False
    sampled: bool = False
    delivery: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _keep_tuple(self, "messages", Message)
        _check_request(self)

    @property
    def question(self) -> str | None:
        """The last message's text if it is the user's, else None (after a tool result, say)."""
        if self.messages and self.messages[-1].role == "user":
            return self.messages[-1].text
        return None

    @classmethod
    def from_openai(cls, body: Mapping[str, Any], *, tenant: str = "") -> ChatRequest:
        """Read the body of a `POST /chat/completions`.

        Raises:
            ConfigurationError: `messages` is missing, empty or malformed.
        """
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ConfigurationError("the request has no `messages` list")
        if not all(isinstance(message, Mapping) for message in messages):
            raise ConfigurationError("every entry of `messages` must be an object")
        return cls(
            messages=tuple(Message.from_openai(message) for message in messages),
            model=str(body.get("model") or ""),
            params={k: v for k, v in body.items() if k not in ("messages", "model")},
            tenant=tenant,
        )

    def to_openai(self) -> dict[str, Any]:
        """Return the request as the body of a `POST /chat/completions`."""
        messages = [message.to_openai() for message in self.messages]
        return {"model": self.model, "messages": messages, **self.params}


def _keep_tuple(owner: object, name: str, kind: type) -> None:
    """Check the values of a field, and keep a list of them as a tuple."""
    value = getattr(owner, name)
    if type(value) is not tuple or not {kind}.issuperset(map(type, value)):
        object.__setattr__(owner, name, sequence(name, value, kind))


def _parts(content: Sequence[Any]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for block in content:
        if isinstance(block, str):
            parts.append(Part(kind="text", text=block))
        elif not isinstance(block, Mapping):
            raise ConfigurationError("a message part must be a string or an object")
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            rest = {k: v for k, v in block.items() if k not in ("type", "text")}
            parts.append(Part(kind="text", text=block["text"], data=rest))
        else:
            kind = str(block.get("type") or "unknown")
            parts.append(Part(kind=kind, data=cast("Mapping[str, Any]", block)))
    return tuple(parts)


def _tool_call(raw: Any) -> ToolCall:
    function = raw.get("function") or {} if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping):
        raise ConfigurationError("a tool call must be an object with a `function` object")
    arguments = function.get("arguments")
    return ToolCall(
        id=str(raw.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
    )
