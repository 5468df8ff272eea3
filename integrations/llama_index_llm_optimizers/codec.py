"""Store LlamaIndex's responses, with their call's usage, as plain JSON without `raw`.

`raw` is the provider's object: it can be of any class, and its tokens belong to the original call
only. A stored value can only become a message of text, citations of text, thoughts and tool calls.
Blocks that refer to files or URLs are neither stored nor read back, since the next call would read
them and send them to the provider.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import ValidationError

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.messages import SHARE_KEY, SHORTENED_KEY
from llama_index_llm_optimizers.replies import CachedReply
from llm_optimizers.caching import Cacheability
from llm_optimizers.caching.answers.ids import (
    ServedIds,
    call_ids,
    copy_with_new_ids,
    new_id,
    without_provider_items,
)
from llm_optimizers.caching.answers.payloads import NotStorableError, as_json, from_json
from llm_optimizers.costs import Usage
from llm_optimizers.costs.amounts import dollars_or_none
from llm_optimizers.errors import ConfigurationError

__all__ = ["COUNTS", "ReplyCodec"]

_BLOCKS: Mapping[str, type[TextBlock | ThinkingBlock | ToolCallBlock | CitationBlock]] = {
    "text": TextBlock,
    "citation": CitationBlock,
    "thinking": ThinkingBlock,
    "tool_call": ToolCallBlock,
}
_ROLES = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)
COUNTS = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "usage"),
    *("cache_read_input_tokens", "cache_creation_input_tokens"),
)
"""Keys of `additional_kwargs` for what a call used."""
_CALL_METADATA = (*COUNTS, "thinking_delta", "asked_with", SHARE_KEY, SHORTENED_KEY)
"""Keys of a response's `additional_kwargs` that are about the billed call, not the answer."""
_MESSAGE_METADATA = (*COUNTS, "thinking_delta", "tool_calls", "images")
"""Keys of a message's `additional_kwargs`: counts, and older forms of its blocks' content."""


class ReplyCodec:
    """Encode and decode chat and completion responses; decoding gives new tool call ids."""

    def encode(self, value: CachedReply) -> str:
        """See `Codec.encode`."""
        return as_json(
            {
                **_written(value.reply),
                "model": value.model,
                "usage": None if value.usage is None else value.usage.as_dict(),
                "finish_reason": value.finish_reason,
                "calls_beside": value.calls_beside,
                "cost": value.cost,
                "estimated": value.estimated,
            }
        )

    def decode(self, payload: str) -> CachedReply:
        """See `Codec.decode`."""
        return self.decode_with_ids(payload, "renewed")

    def decode_with_ids(self, payload: str, ids: ServedIds) -> CachedReply:
        """See `CodecWithIds.decode_with_ids`."""
        return self.reader(payload, ids)()

    def reader(self, payload: str, ids: ServedIds) -> Callable[[], CachedReply]:
        """See `ReadingCodec.reader`."""
        return partial(_reply, _parsed(payload), ids)

    def cacheability(self, value: CachedReply) -> Cacheability:
        """See `Codec.cacheability`."""
        reply = value.reply
        if isinstance(reply, ChatResponse):
            calls = any(isinstance(block, ToolCallBlock) for block in reply.message.blocks)
            empty = not calls and not (reply.message.content or "").strip()
            refusal = bool(reply.message.additional_kwargs.get("refusal"))
        else:
            empty, refusal = not reply.text.strip(), False
        return Cacheability(
            empty=empty,
            finish_reason=value.finish_reason,
            gives_reasons=value.gives_reasons,
            refusal=refusal or _refused(reply.raw),
            completion=not isinstance(reply, ChatResponse),
            model=value.model,
            usage=value.usage,
            cost=value.cost,
            estimated=value.estimated,
            choices=1,  # A response holds the first of several choices; the others are in `raw`.
        )


def _reply(raw: Mapping[str, Any], ids: ServedIds) -> CachedReply:
    """Return a copy of a parsed payload.

    Raises:
        ValueError: the payload was not written by this codec.
    """
    try:
        usage = raw["usage"]
        return CachedReply(
            reply=_read(raw, ids),
            model=str(raw["model"]),
            usage=None if usage is None else Usage(**usage),
            finish_reason=str(raw["finish_reason"]),
            calls_beside=raw.get("calls_beside") is True,
            cost=dollars_or_none(raw.get("cost")),
            estimated=raw.get("estimated") is True,
        )
    except (
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        ConfigurationError,
        ValidationError,
    ) as error:
        raise ValueError(f"the payload holds no response: {type(error).__name__}") from error


def _written(reply: Reply) -> dict[str, Any]:
    additional = {k: v for k, v in reply.additional_kwargs.items() if k not in _CALL_METADATA}
    logprobs = (
        None
        if reply.logprobs is None
        else [[each.model_dump() for each in token] for token in reply.logprobs]
    )
    common: dict[str, Any] = {"additional_kwargs": additional, "logprobs": logprobs}
    _check_fields(reply)
    if not isinstance(reply, ChatResponse):
        return {**common, "text": reply.text}
    message = reply.message
    _check_role(message.role)
    for block in message.blocks:
        cited = block.cited_content if isinstance(block, CitationBlock) else None
        if type(block) not in _BLOCKS.values() or isinstance(cited, ImageBlock):
            raise NotStorableError(
                f"it holds a {type(block).__name__}, which may refer to a file or URL"
            )
    kept = {k: v for k, v in message.additional_kwargs.items() if k not in _MESSAGE_METADATA}
    if "tool_calls" in message.additional_kwargs and not _has_calls(message):
        raise NotStorableError("it holds tool calls outside the message's blocks")
    return {
        **common,
        "role": message.role.value,
        "blocks": [block.model_dump() for block in message.blocks],
        "message_kwargs": kept,
    }


def _check_fields(reply: Reply) -> None:
    """Check that nothing is in fields that only an integration's own class has.

    Raises:
        NotStorableError: such a field has content (citations), which a hit could not have.
    """
    base = ChatResponse if isinstance(reply, ChatResponse) else CompletionResponse
    for name in type(reply).model_fields.keys() - base.model_fields.keys():
        if getattr(reply, name):
            raise NotStorableError(f"it has `{name}`, a field of {type(reply).__name__} only")


def _check_role(role: MessageRole) -> MessageRole:
    """Return the role of an answer's message.

    Raises:
        TypeError: only an app or a tool writes such messages.
    """
    if role not in _ROLES:
        raise TypeError(f"an answer cannot be a message of the {role.value}")
    return role


def _read(raw: Mapping[str, Any], ids: ServedIds) -> Reply:
    stored = {name: raw.get(name) for name in ("additional_kwargs", "blocks", "message_kwargs")}
    if ids == "detached":
        stored = without_provider_items(stored)
    none = _given_for_ids(stored["blocks"] or ())
    calls = set() if ids == "kept" else call_ids(stored) - none
    copy = copy_with_new_ids(stored, {identifier: new_id(identifier) for identifier in calls})
    common = {"additional_kwargs": copy["additional_kwargs"]}
    if "blocks" not in raw:
        return CompletionResponse(text=raw["text"], logprobs=raw["logprobs"], **common)
    message = ChatMessage(
        role=_check_role(MessageRole(raw["role"])),
        blocks=[_read_block(block) for block in copy["blocks"]],
        additional_kwargs={
            name: value
            for name, value in copy["message_kwargs"].items()
            if name not in _MESSAGE_METADATA
        },
    )
    return ChatResponse(message=message, logprobs=raw["logprobs"], **common)


def _given_for_ids(blocks: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return what stands in the place of tool calls' ids but is none, and must stay as it is.

    LlamaIndex's Gemini has no ids. It gives the tool's name for one, and sends that back to the
    provider as the name of the tool that answered. What several calls share identifies none.
    """
    given = [(block.get("tool_call_id"), block.get("tool_name")) for block in blocks]
    count = Counter(identifier for identifier, _ in given)
    return {str(i) for i, name in given if i is not None and (i == name or count[i] > 1)}


def _read_block(block: Mapping[str, Any]) -> ContentBlock:
    kind = _BLOCKS[block["block_type"]]
    if kind is CitationBlock and block["cited_content"]["block_type"] != "text":
        raise ValueError("the payload cites what is no text")
    return kind(**block)


def _parsed(payload: str) -> Mapping[str, Any]:
    """Parse a payload; callers must copy what they take from it."""
    raw = from_json(payload)
    if not isinstance(raw, dict):
        raise ValueError("the payload holds no response")  # noqa: TRY004 - the codec's contract
    return raw


def _has_calls(message: ChatMessage) -> bool:
    return any(isinstance(block, ToolCallBlock) for block in message.blocks)


def _refused(raw: Any) -> bool:
    """Whether OpenAI's response says that the model declined."""
    choices = getattr(raw, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    return bool(getattr(message, "refusal", None))
