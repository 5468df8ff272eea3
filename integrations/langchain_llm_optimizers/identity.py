"""What of a model and its settings shapes an answer, as values that can be hashed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError

__all__ = ["identity_of_call", "identity_of_string"]

_CLASS = re.compile(r"<class '([\w.]+(?:\.<locals>[\w.]*)?)'>")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


def identity_of_call(
    model: BaseChatModel, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a call; schemas are taken by their JSON schema, not by their name.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be seen.
    """
    plain = {name: _visible(value) for name, value in kwargs.items()}
    return {**plain, "stop": stop, "llm": model._get_llm_string()}


def identity_of_string(llm_string: str) -> dict[str, Any]:
    """The settings behind the `llm_string` that LangChain hands its caches.

    The string names a schema class without showing it, so that two classes of one name would
    share answers. A class that is loaded is looked at; any other makes the call uncacheable.

    Raises:
        ConfigurationError: the string refers to an object whose content cannot be seen.
    """
    _, _, settings = llm_string.rpartition("---")
    if _ADDRESS.search(settings):
        raise ConfigurationError("a setting of the call is an object that has no stable form")
    identity: dict[str, Any] = {"llm": llm_string}
    schemas = {name: _visible(_loaded(name)) for name in _CLASS.findall(settings)}
    if schemas:
        identity["schemas"] = schemas
    if "('tools', [" in settings or "('functions', [" in settings:
        identity["tools"] = True
    return identity


def _loaded(name: str) -> Any:
    """The class of this dotted name among the loaded modules; nothing is imported."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    raise ConfigurationError(f"the schema {name} cannot be looked at where it is defined")


def _visible(value: Any) -> Any:
    """A value with every schema class replaced by its JSON schema."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, type):
        if issubclass(value, BaseModel):
            return {"schema": value.model_json_schema()}
        return {"class": value.__qualname__, "fields": _visible(_annotations(value))}
    if isinstance(value, BaseModel):
        return {"class": type(value).__qualname__, "fields": value.model_dump(mode="json")}
    if isinstance(value, Mapping):
        return {str(key): _visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(item) for item in value]
    text = repr(value)
    if _ADDRESS.search(text):
        raise ConfigurationError(f"a setting is a {type(value).__name__} without a stable form")
    return text


def _annotations(value: type) -> dict[str, str]:
    return {name: repr(kind) for name, kind in getattr(value, "__annotations__", {}).items()}
