"""Fresh copies of one answer, as many as are asked for: what makes a hit cheap.

What can be found out about an answer once is found out once, so that a copy takes a few
microseconds, where `model_copy` and a walk through every value take ten times as long.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.messages.base import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from llm_optimizers.caching.fresh import fresh_id, json_copy

__all__ = ["copier_of"]

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
        fields = json_copy(values, {id_: fresh_id(id_) for id_ in ids}) if ids else copied()
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
    _set(clone, "__pydantic_extra__", json_copy(extra, {}) if extra else extra and {})
    _set(clone, "__pydantic_private__", None)
    return clone
