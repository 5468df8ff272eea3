"""What of a setting shapes an answer, as values that can be hashed.

A setting enters a cache key by its content: a schema class by its JSON schema, a plain function
by its code. What has no content that can be seen makes the call uncacheable, since two different
things would otherwise share answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from llm_optimizers.errors import ConfigurationError

__all__ = ["has_address", "visible"]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


def has_address(text: str) -> bool:
    """Whether a representation names an object by where it lies in memory."""
    return _ADDRESS.search(text) is not None


def visible(value: Any) -> Any:
    """The value as JSON-like data, by content.

    Raises:
        ConfigurationError: somewhere in it is an object whose content cannot be seen.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, type):
        if issubclass(value, BaseModel):
            return {"schema": value.model_json_schema()}
        return {"class": value.__qualname__, "fields": _fields(value)}
    if isinstance(value, BaseModel):
        return {"class": type(value).__qualname__, "fields": value.model_dump(mode="json")}
    if isinstance(value, Mapping):
        return {str(key): visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [visible(item) for item in value]
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, FunctionType):
        return _function(value)
    text = repr(value)
    if has_address(text):
        raise ConfigurationError(f"a setting is a {type(value).__name__} without a stable form")
    return text


def _function(value: FunctionType) -> dict[str, Any]:
    """A function by its name and code; what it closes over would escape the key."""
    if value.__closure__:
        raise ConfigurationError(
            f"the function {value.__qualname__} closes over values that a cache key cannot see"
        )
    return {
        "function": f"{value.__module__}.{value.__qualname__}",
        "code": _code(value.__code__),
        "defaults": visible([value.__defaults__, value.__kwdefaults__]),
    }


def _code(code: CodeType) -> dict[str, Any]:
    names = repr((code.co_names, code.co_varnames))
    return {
        "body": hashlib.sha256(code.co_code + names.encode()).hexdigest(),
        "constants": [
            _code(each) if isinstance(each, CodeType) else visible(each) for each in code.co_consts
        ],
    }


def _fields(value: type) -> Any:
    """What a typed dictionary, a dataclass or another class declares, inner classes included."""
    try:
        return TypeAdapter(value).json_schema()
    except PydanticUserError:
        kinds = getattr(value, "__annotations__", {})
        return visible({name: repr(kind) for name, kind in kinds.items()})
