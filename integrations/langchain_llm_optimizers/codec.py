"""How LangChain's generations are kept: as plain JSON, read back without LangChain's loader.

The loader can build any registered class from a stored value, with a stored URL and the
environment's keys. Here a stored value can become a message and nothing else.

Fresh copies share nothing that can be changed; what can be found out about an answer once is found
out once, so that a copy takes a few microseconds.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.base import BaseMessage, message_to_dict
from langchain_core.messages.utils import messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from langchain_llm_optimizers.messages import without_bill
from langchain_llm_optimizers.usage import bare_call_of
from llm_optimizers.caching import Cacheability
from llm_optimizers.caching.answers import as_json, copy_with_new_ids, new_id
from llm_optimizers.caching.cacheability import least_cacheable

__all__ = ["Generations", "GenerationsCodec", "copier_of", "finish_of"]

# The last is OpenAI's Responses'.
_FINISH = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "status")
Generations: TypeAlias = list[Generation]


class GenerationsCodec:
    """All generations of one call; those read back are copies with ids of their own.

    A checkpointer replaces the message whose id it knows, and a provider refuses a tool result
    for two calls of one id: a served answer therefore gets fresh ids, consistently.
    """

    def encode(self, value: Generations) -> str:
        """See `Codec.encode`."""
        return as_json([_written(generation) for generation in value])

    def decode(self, payload: str) -> Generations:
        """See `Codec.decode`."""
        return [copy() for copy in _copiers(payload)]

    def cacheability(self, value: Generations) -> Cacheability:
        """See `Codec.cacheability`."""
        return least_cacheable([_traits(generation) for generation in value])


def finish_of(metadata: Mapping[str, Any]) -> str:
    """How the answer ended, in its provider's own word; "" if nothing says so."""
    return next((str(metadata[name]) for name in _FINISH if metadata.get(name)), "")


def _written(generation: Generation) -> dict[str, Any]:
    info = _without_headers(generation.generation_info or {}) or None
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": info}
    message = generation.message
    if isinstance(message, AIMessageChunk):
        message = message_chunk_to_message(message)
    metadata = without_bill(_without_headers(message.response_metadata))
    written = message_to_dict(message.model_copy(update={"response_metadata": metadata}))
    # The trace of another cache, which would make this answer look free when it is served.
    (written["data"].get("usage_metadata") or {}).pop("total_cost", None)
    return {"message": written, "info": info}


def _without_headers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """HTTP headers carry cookies and account names; a served answer has no use for them."""
    return {key: value for key, value in metadata.items() if key != "headers"}


@lru_cache(maxsize=2048)
def _copiers(payload: str) -> tuple[Callable[[], Generation], ...]:
    """What makes copies of a payload's generations, which are parsed once.

    Raises:
        ValueError: the payload is not of this codec's making.
    """
    try:
        return tuple(copier_of(_read(raw)) for raw in _as_list(json.loads(payload)))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no stored generations: {error}") from error


def _as_list(raw: Any) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise ValueError("no stored generations")
    return raw


def _read(raw: Mapping[str, Any]) -> Generation:
    info = raw["info"]
    if "message" not in raw:
        return Generation(text=raw["text"], generation_info=info)
    (message,) = messages_from_dict([raw["message"]])
    if not isinstance(message, AIMessage):
        raise TypeError(f"an answer cannot be a {type(message).__name__}")
    return ChatGeneration(message=message, generation_info=info)


def _traits(generation: Generation) -> Cacheability:
    info = generation.generation_info or {}
    if not isinstance(generation, ChatGeneration):
        return Cacheability(empty=not generation.text.strip(), finish_reason=finish_of(info))
    message = generation.message
    finish_reason = finish_of({**info, **message.response_metadata})
    refusal = bool(message.additional_kwargs.get("refusal"))
    blank = isinstance(message.content, str) and not message.text.strip()
    if not isinstance(message, AIMessage):
        return Cacheability(empty=blank, finish_reason=finish_reason, refusal=refusal)
    # Integrations that name their provider pass its finish reasons on. Any answer may have been
    # a stream: LangChain makes one of `invoke` too, where a setting or a listener asks for it.
    gives_reasons = bool(message.response_metadata.get("model_provider"))
    bare = bare_call_of(message)
    return Cacheability(
        empty=blank and not message.tool_calls,
        finish_reason=finish_reason,
        gives_reasons=gives_reasons,
        refusal=refusal,
        model=bare.model,
        usage=bare.usage,
    )


M = TypeVar("M", bound=BaseModel)
_set = object.__setattr__


def copier_of(template: Generation) -> Callable[[], Generation]:
    """What makes copies of a generation: they share nothing that can be changed.

    A checkpointer replaces the message whose id it knows, and a provider refuses a tool result
    for two calls of one id: every copy has ids of its own, consistently.
    """
    info = _value_copier(template.generation_info)
    if not isinstance(template, ChatGeneration):
        return lambda: _clone(template, {"generation_info": info()})
    message = _message_copier(template.message)
    return lambda: _clone(template, {"message": message(), "generation_info": info()})


def _message_copier(template: BaseMessage) -> Callable[[], BaseMessage]:
    calls: Sequence[Mapping[str, Any]] = getattr(template, "tool_calls", ())
    ids = [call["id"] for call in calls if call.get("id")]
    values = {k: v for k, v in template.__dict__.items() if isinstance(v, dict | list)}
    copied = _value_copier(values)

    def copy() -> BaseMessage:
        fields = copy_with_new_ids(values, {id_: new_id(id_) for id_ in ids}) if ids else copied()
        fields["id"] = f"lc_run--{secrets.token_hex(16)}"
        return _clone(template, fields)

    return copy


def _value_copier(template: Any) -> Callable[[], Any]:
    """What makes deep copies of a JSON value."""
    if not isinstance(template, dict | list):
        return lambda: template
    items = template.items() if isinstance(template, dict) else enumerate(template)
    nested = [(at, _value_copier(item)) for at, item in items if isinstance(item, dict | list)]
    if not nested:
        return template.copy

    def copy() -> Any:
        fresh: Any = template.copy()
        for at, copied in nested:
            fresh[at] = copied()
        return fresh

    return copy


def _clone(template: M, changes: Mapping[str, Any]) -> M:
    """The template with some fields changed: `model_copy` without its many cases."""
    kind = type(template)
    clone = kind.__new__(kind)
    extra = template.__pydantic_extra__
    _set(clone, "__dict__", {**template.__dict__, **changes})
    _set(clone, "__pydantic_fields_set__", template.__pydantic_fields_set__.copy())
    _set(clone, "__pydantic_extra__", copy_with_new_ids(extra, {}) if extra else extra and {})
    _set(clone, "__pydantic_private__", None)
    return clone
