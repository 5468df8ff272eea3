"""Store LangChain's generations as plain JSON and read them without LangChain's loader.

The loader can build any registered class from a stored value, even with a stored URL and API keys
from the environment. Here a stored value can only become a message.

Every copy is independent of the others. A payload in memory is parsed once and then copied, which
takes a few microseconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.base import BaseMessage
from langchain_core.messages.utils import messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from langchain_llm_optimizers.messages import without_billing
from langchain_llm_optimizers.usage import baseline_call_of
from llm_optimizers.caching import Cacheability
from llm_optimizers.caching.answers.cacheability import least_cacheable
from llm_optimizers.caching.answers.ids import (
    ServedIds,
    call_ids,
    copy_with_new_ids,
    lies_at_provider,
    new_id,
    without_provider_items,
)
from llm_optimizers.caching.answers.payloads import as_json, from_json

__all__ = ["Generations", "GenerationsCodec", "copier_of", "finish_reason_of", "generation_of"]

# "status" is that of OpenAI's Responses API.
_FINISH = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "status")
_NO_ANSWER = frozenset({"text", "thinking", "redacted_thinking", "reasoning", "reasoning_content"})
"""Blocks that answer nothing while there is no text."""
Generations: TypeAlias = list[Generation]


class GenerationsCodec:
    """Encode and decode all generations of one call; decoding gives copies with new ids.

    A message's own id is always new, because a checkpointer replaces a message whose id it already
    has. `caching/answers/ids.py` says which others are.
    """

    def encode(self, value: Generations) -> str:
        """See `Codec.encode`."""
        return as_json([_written(generation) for generation in _of_one_kind(value)])

    def decode(self, payload: str) -> Generations:
        """See `Codec.decode`."""
        return self.decode_with_ids(payload, "renewed")

    def decode_with_ids(self, payload: str, ids: ServedIds) -> Generations:
        """See `CodecWithIds.decode_with_ids`."""
        return self.reader(payload, ids)()

    def reader(self, payload: str, ids: ServedIds) -> Callable[[], Generations]:
        """See `ReadingCodec.reader`."""
        copiers = _copiers(payload, ids)
        return lambda: [copy() for copy in copiers]

    def cacheability(self, value: Generations) -> Cacheability:
        """See `Codec.cacheability`."""
        worst = least_cacheable([_cacheability(generation) for generation in value])
        return replace(worst, choices=len(value))


def generation_of(message: BaseMessage) -> ChatGeneration:
    """Return a message as a model's generation, with what providers say of its end beside it."""
    metadata = message.response_metadata
    info = {name: metadata[name] for name in ("finish_reason", "logprobs") if name in metadata}
    return ChatGeneration(message=message, generation_info=info or None)


def finish_reason_of(metadata: Mapping[str, Any]) -> str:
    """Return why the answer ended, in the provider's term; "" if it is not given."""
    return next((str(metadata[name]) for name in _FINISH if metadata.get(name)), "")


def _written(generation: Generation) -> dict[str, Any]:
    info = _without_headers(generation.generation_info or {}) or None
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": info}
    message = generation.message
    if isinstance(message, AIMessageChunk):
        message = message_chunk_to_message(message)
    return {"message": {"type": message.type, "data": _fields(message)}, "info": info}


def _fields(message: BaseMessage) -> dict[str, Any]:
    """Return a message's fields; `model_dump` would turn a parsed object's aliases into names."""
    names = (*type(message).model_fields, *(message.__pydantic_extra__ or ()))
    fields = {name: getattr(message, name) for name in names}
    usage = fields.get("usage_metadata") or {}
    # Set by another cache's hit; it would make this answer look free.
    counts = {name: count for name, count in usage.items() if name != "total_cost"}
    return {
        **fields,
        "usage_metadata": counts or None,
        "response_metadata": without_billing(_without_headers(message.response_metadata)),
    }


def _without_headers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out HTTP headers, which carry cookies and account names; botocore nests them."""
    return {
        key: _without_headers(value) if key == "ResponseMetadata" else value
        for key, value in metadata.items()
        if key not in ("headers", "HTTPHeaders")
    }


def _copiers(payload: str, ids: ServedIds) -> tuple[Callable[[], Generation], ...]:
    """Parse a payload; return a function per generation that copies it.

    Raises:
        ValueError: the payload was not written by this codec.
    """
    try:
        read = _of_one_kind([_read(raw) for raw in _as_list(from_json(payload))])
        return tuple(copier_of(generation, ids) for generation in read)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"the payload holds no generations: {error}") from error


def _of_one_kind(generations: Sequence[Generation]) -> Sequence[Generation]:
    """Return the generations, all of them chat messages or all completions.

    Raises:
        ValueError: they are not.
    """
    if len({isinstance(generation, ChatGeneration) for generation in generations}) > 1:
        raise ValueError("a call's answers are chat messages and completions")
    return generations


def _as_list(raw: Any) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise ValueError("the payload holds no generations")
    return raw


def _read(raw: Mapping[str, Any]) -> Generation:
    info = raw["info"]
    if "message" not in raw:
        return Generation(text=raw["text"], generation_info=info)
    (message,) = messages_from_dict([raw["message"]])
    if type(message) is not AIMessage:
        raise TypeError(f"an answer cannot be a {type(message).__name__}")
    return ChatGeneration(message=message, generation_info=info)


def _cacheability(generation: Generation) -> Cacheability:
    info = generation.generation_info or {}
    if not isinstance(generation, ChatGeneration):
        return Cacheability(
            empty=not generation.text.strip(),
            finish_reason=finish_reason_of(info),
            completion=True,
        )
    message = generation.message
    finish_reason = finish_reason_of({**info, **message.response_metadata})
    refusal = bool(message.additional_kwargs.get("refusal"))
    blank = _is_blank(message)
    if not isinstance(message, AIMessage):
        return Cacheability(
            empty=blank, finish_reason=finish_reason, refusal=refusal, completion=False
        )
    # Integrations that name their provider also pass on its finish reasons. Any answer may come
    # from a stream: LangChain may stream inside `invoke` if a setting or callback asks for it.
    gives_reasons = bool(message.response_metadata.get("model_provider"))
    baseline = baseline_call_of(message)
    return Cacheability(
        empty=blank and not message.tool_calls,
        finish_reason=finish_reason,
        gives_reasons=gives_reasons,
        refusal=refusal,
        completion=False,
        model=baseline.model,
        usage=baseline.usage,
        cost=baseline.cost,
        estimated=baseline.estimated,
    )


def _is_blank(message: BaseMessage) -> bool:
    """Whether the message has no text and nothing else that answers: thoughts alone do not."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    kinds = {block.get("type") if isinstance(block, dict) else "text" for block in blocks}
    return kinds <= _NO_ANSWER and not message.text.strip()


M = TypeVar("M", bound=BaseModel)
_set = object.__setattr__


def copier_of(template: Generation, ids: ServedIds = "renewed") -> Callable[[], Generation]:
    """Return a function that makes independent copies of a generation, with ids as asked for."""
    info = _value_copier(template.generation_info)
    if not isinstance(template, ChatGeneration):
        return lambda: _clone(template, {"generation_info": info()})
    message = _message_copier(template.message, ids)
    return lambda: _clone(template, {"message": message(), "generation_info": info()})


def _message_copier(template: BaseMessage, ids: ServedIds) -> Callable[[], BaseMessage]:
    values = {k: v for k, v in template.__dict__.items() if isinstance(v, dict | list)}
    if ids == "detached":
        values = without_provider_items(values)
    elif _loses_item_id(template):
        values["additional_kwargs"] = without_provider_items(values)["additional_kwargs"]
    same = ids == "kept" or (ids == "renewed" and lies_at_provider(template.response_metadata))
    calls = () if same else call_ids(values)
    copied = _value_copier(values)

    def copy() -> BaseMessage:
        new = {identifier: new_id(identifier) for identifier in calls}
        fields = copy_with_new_ids(values, new) if new else copied()
        fields["id"] = f"lc_run--{secrets.token_hex(16)}"
        return _clone(template, fields)

    return copy


def _loses_item_id(template: BaseMessage) -> bool:
    """Whether the message's own id, which every copy changes, is OpenAI's id of its text.

    So it is in langchain-openai's format `v0`. OpenAI rejects reasoning without the item after it,
    so that the copy goes without both.
    """
    return bool(template.id) and str(template.id).startswith("msg_")


def _value_copier(template: Any) -> Callable[[], Any]:
    """Return a function that makes deep copies of a JSON value."""
    if not isinstance(template, dict | list):
        return lambda: template
    items = template.items() if isinstance(template, dict) else enumerate(template)
    nested = [(at, _value_copier(item)) for at, item in items if isinstance(item, dict | list)]
    if not nested:
        return template.copy

    def copy() -> Any:
        made: Any = template.copy()
        for at, copied in nested:
            made[at] = copied()
        return made

    return copy


def _clone(template: M, changes: Mapping[str, Any]) -> M:
    """Copy the template with some fields changed; faster than `model_copy`."""
    kind = type(template)
    clone = kind.__new__(kind)
    extra = template.__pydantic_extra__
    _set(clone, "__dict__", {**template.__dict__, **changes})
    _set(clone, "__pydantic_fields_set__", template.__pydantic_fields_set__.copy())
    _set(clone, "__pydantic_extra__", copy_with_new_ids(extra, {}) if extra else extra and {})
    _set(clone, "__pydantic_private__", None)
    return clone
