"""What of a model and its settings shapes an answer, as values that can be hashed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from llm_optimizers.caching.keys import OBJECT_ADDRESS, fingerprint
from llm_optimizers.errors import ConfigurationError

__all__ = ["identity_of_call", "identity_of_string"]

_CLASS = re.compile(r"<class '([^']+)'>")


def identity_of_call(
    model: BaseChatModel, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a call; schemas are taken by their JSON schema, not by their name.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be seen.
    """
    plain = {name: fingerprint(value) for name, value in kwargs.items()}
    return {**plain, "stop": stop, "llm": _stable(model._get_llm_string())}


def identity_of_string(llm_string: str) -> dict[str, Any]:
    """The settings behind the `llm_string` that LangChain hands its caches.

    The string names a schema class without showing it, so that two classes of one name would
    share answers. A class that is loaded is looked at; any other makes the call uncacheable.

    Raises:
        ConfigurationError: the string refers to an object whose content cannot be seen.
    """
    identity: dict[str, Any] = {"llm": _stable(llm_string)}
    model, _, settings = llm_string.partition("---")
    settings = settings or model
    schemas = {name: fingerprint(_loaded(name)) for name in _CLASS.findall(settings)}
    if schemas:
        identity["schemas"] = schemas
    if "('tools', [" in settings or "('functions', [" in settings:
        identity["tools"] = True
    return identity


def _stable(llm_string: str) -> str:
    if OBJECT_ADDRESS.search(llm_string):
        raise ConfigurationError("a setting of the model is an object that has no stable form")
    return llm_string


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
