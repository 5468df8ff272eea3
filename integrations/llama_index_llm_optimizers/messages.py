"""Translate LlamaIndex's messages for the core and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ContentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_llm_optimizers.call import ChatCall, ModelCall
from llama_index_llm_optimizers.providers import Provider
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import fingerprint, json_text
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = [
    "ROUTED_KEY",
    "ROUTING_KEY",
    "SHARE_KEY",
    "SHORTENED_KEY",
    "core_message",
    "request_of",
    "with_text",
]

_ROLES = {"chatbot": "assistant", "model": "assistant"}
_CORE_ROLES = ("system", "user", "assistant", "tool")
ROUTED_KEY = "llm_optimizers_routed"
"""Our key in an assistant message for the LLM that a router chose; never part of a cache key."""
ROUTING_KEY = "routing"
"""The key in a response's `additional_kwargs` for the LLM that answered and why it was chosen."""
SHORTENED_KEY = "llm_optimizers_shortened"
"""The key there for the tokens that a prompt optimiser removed."""
SHARE_KEY = "llm_optimizers_shared"
"""The key there for an answer's share of a combined call."""
_OTHER_FIELDS = (ROUTED_KEY, "tool_calls", "images")
"""Already in the request in another form, as are ids and names that are texts."""
_COUNTS = ("usage", "stop_reason", "thinking_delta")
"""What LLMs put into their own messages, and send to no provider."""
_REPEATED = ("thinking", "refusal", "annotations", "session_id")
"""What known LLMs put there beside it. Those of the user's may send it."""


def request_of(
    call: ModelCall,
    params: Mapping[str, Any],
    providers: Sequence[Provider] | None = None,
) -> ChatRequest:
    """Return the request for a call with these settings.

    `providers` say what of a message the LLMs send that may answer; None if that is not known.

    Raises:
        ConfigurationError: a message has content that cannot be read.
    """
    if not isinstance(call, ChatCall):
        formatted = {"formatted": getattr(call, "formatted", False)}
        message = Message(role="user", content=getattr(call, "prompt", ""))
        return ChatRequest(messages=(message,), params={**params, **formatted}, completion=True)
    extras = [_extras(message, providers) for message in call.messages]
    return ChatRequest(
        messages=tuple(core_message(message) for message in call.messages),
        params={**params, "extras": extras} if any(extras) else params,
    )


def core_message(message: ChatMessage) -> Message:
    """Translate one message, without usage and other metadata.

    Raises:
        ConfigurationError: a block's content cannot be read (an open stream, a missing file).
    """
    role = message.role.value
    blocks = [block for block in message.blocks if not isinstance(block, ToolCallBlock)]
    texts = [block for block in blocks if isinstance(block, TextBlock)]
    plain = len(texts) == len(blocks)
    return Message.from_openai(
        {
            "role": _ROLES.get(role, role),
            "content": "\n".join(block.text for block in texts)
            if plain
            else [part for part in map(_part, blocks) if part is not None],
            "tool_calls": _tool_calls(message),
            # Bedrock's answers have the ids of their calls here, as a list.
            "tool_call_id": _text(message.additional_kwargs.get("tool_call_id")),
            "name": _text(message.additional_kwargs.get("name")),
        }
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def with_text(original: ChatMessage, new: Message) -> ChatMessage:
    """Return the original with the new text; the original itself if its text is the same."""
    if new == core_message(original):
        return original
    parts = (Part(kind="text", text=new.text),) if isinstance(new.content, str) else new.content
    texts = iter([part for part in parts if part.kind == "text"])
    rest = [block for block in original.blocks if not isinstance(block, TextBlock)]
    if all(isinstance(block, ToolCallBlock) for block in rest):
        # The core joins adjacent text blocks into one text.
        written = [block for part in texts for block in _text_blocks(part)]
        return original.model_copy(update={"blocks": [*written, *rest]})
    blocks: list[ContentBlock] = []
    for block in original.blocks:
        is_text = isinstance(block, TextBlock) and block.text
        blocks += _text_blocks(next(texts)) if is_text else [block]
    return original.model_copy(update={"blocks": blocks})


def _text_blocks(part: Part) -> list[ContentBlock]:
    """Return a text block, followed by the provider's cache breakpoint if it has one."""
    control = part.data.get("cache_control")
    if not isinstance(control, Mapping):
        return [TextBlock(text=part.text)]
    return [TextBlock(text=part.text), CachePoint(cache_control=CacheControl(**control))]


def _part(block: ContentBlock) -> dict[str, Any] | None:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text} if block.text else None
    if isinstance(block, ImageBlock):
        return {"type": "image_url", "image_url": {"url": _image(block), "detail": block.detail}}
    data = {name: _content(value) for name, value in block.model_dump().items()}
    kind = data.pop("block_type", type(block).__name__)
    if data.get("path"):
        data["path"] = _digest_of(Path(str(data["path"])))
    if isinstance(block, ThinkingBlock):
        data.pop("num_tokens", None)
        held = data.get("additional_information") or {}
        data["additional_information"] = {
            name: value
            for name, value in held.items()
            if value is not None and not name.endswith("_tokens")
        }
    return {"type": str(kind), str(kind): data}


def _image(block: ImageBlock) -> str:
    """Return the image's URL, its bytes as a data URL, or the digest of its file."""
    if block.url is not None:
        return str(block.url)
    if isinstance(block.image, bytes):
        return f"data:{block.image_mimetype};base64,{block.image.decode('ascii', 'replace')}"
    if block.path is not None:
        return _digest_of(Path(block.path))
    raise ConfigurationError(
        "an image is an open file, which can be read only once: give its path, URL or bytes"
    )


def _content(value: Any) -> Any:
    """Return a block's field; `fingerprint` rejects an open stream."""
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    return str(value) if type(value).__module__.startswith(("pydantic", "pathlib")) else value


def _digest_of(path: Path) -> str:
    """Return the digest of a file's current content."""
    try:
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from error


def _tool_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the tool calls of a message: its blocks, then those that `additional_kwargs` add.

    There, older LLMs keep their calls, and newer ones repeat them.
    """
    calls = [
        _call(block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    blocks = [call["function"] for call in calls]
    older = [_older(raw) for raw in message.additional_kwargs.get("tool_calls") or ()]
    return [*calls, *(call for call in older if call["function"] not in blocks)]


def _call(identifier: str | None, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": identifier or "", "function": {"name": name, "arguments": _arguments(arguments)}}


def _older(raw: Any) -> dict[str, Any]:
    """Return a call in a provider's own form, or its dump."""
    call = _as_mapping(raw)
    function = call.get("function")
    said: Mapping[str, Any] = function if isinstance(function, Mapping) else call
    # OpenAI and Ollama, then Anthropic and Bedrock, then Gemini.
    given = [said.get(name) for name in ("arguments", "input", "args")]
    arguments: Any = next((each for each in given if each), {})
    return _call(call.get("id") or call.get("toolUseId"), str(said.get("name") or ""), arguments)


def _as_mapping(raw: Any) -> Mapping[str, Any]:
    """Return a call as a mapping, {} for what is none."""
    if isinstance(raw, Mapping):
        return raw
    dump = getattr(raw, "model_dump", None)
    return {} if dump is None else dump()


def _arguments(arguments: Any) -> str:
    """Return arguments as JSON text with sorted keys; text that is not JSON is not changed."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return str(arguments)
    return json_text(arguments)


def _extras(message: ChatMessage, providers: Sequence[Provider] | None) -> dict[str, Any]:
    """Return the other fields of a message that may affect the answer: those that are sent.

    Without the LLMs' `providers`, all but what repeats the content of an answer.
    """
    given = message.additional_kwargs
    if providers is not None:
        given = {k: v for k, v in given.items() if any(_is_sent(k, message, p) for p in providers)}
    skipped: Sequence[str] = _OTHER_FIELDS
    if message.role.value in ("assistant", "chatbot", "model"):
        skipped = (*skipped, *_COUNTS)
    if providers is not None:
        skipped = (*skipped, *_REPEATED)
    kept = {
        name: value
        for name, value in given.items()
        if name not in skipped and _says_something(value) and not _is_in_core_message(name, value)
    }
    # Some LLMs send texts as they are, one after the other, and some as several. The length of the
    # last one follows from the others.
    texts = [len(block.text) for block in message.blocks if isinstance(block, TextBlock)][:-1]
    role = message.role.value
    signed = [_as_mapping(call).get("thought_signature") for call in given.get("tool_calls") or ()]
    return {
        **{name: fingerprint(value) for name, value in kept.items()},
        **({"texts": texts} if texts else {}),
        **({"role": role} if role not in _CORE_ROLES else {}),
        **({"thought_signatures of calls": fingerprint(signed)} if any(signed) else {}),
    }


def _says_something(value: Any) -> bool:
    if isinstance(value, list):
        return any(each is not None for each in value)
    return value is False or value == 0 or bool(value)


def _is_in_core_message(name: str, value: Any) -> bool:
    return name in ("tool_call_id", "name") and isinstance(value, str)


def _is_sent(name: str, message: ChatMessage, provider: Provider) -> bool:
    if name in provider.sent:
        return True
    if not provider.all_with_calls:
        return False
    held = message.additional_kwargs
    return ("tool_calls" in held or "function_call" in held) and not any(
        isinstance(block, ToolCallBlock) for block in message.blocks
    )
