"""The model settings that are part of a cache key, as values that can be hashed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_llm_optimizers.delegating import underlying_models
from llm_optimizers.caching.keys import OBJECT_ADDRESS, fingerprint
from llm_optimizers.caching.sampling import asks_for_sample
from llm_optimizers.errors import ConfigurationError

__all__ = ["identity_of_call", "identity_of_string", "sampled"]

_CLASS = re.compile(r"<class '([^']+)'>")


def identity_of_call(
    model: BaseChatModel, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a call, with schema classes as JSON schemas.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    plain = {name: fingerprint(value) for name, value in kwargs.items()}
    return {**plain, "stop": stop, "llm": _stable(model._get_llm_string())}


def identity_of_string(llm_string: str) -> dict[str, Any]:
    """Return the settings in the `llm_string` that LangChain passes to a cache.

    The string contains only the name of a schema class, so two classes with one name would share
    answers. The class is looked up among the loaded modules to add its schema; if it is not found,
    the call is not cached.

    Raises:
        ConfigurationError: the string refers to an object whose content cannot be read.
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


def sampled(model: BaseChatModel, kwargs: Mapping[str, Any]) -> bool:
    """Return whether settings of the user ask for varying answers, at any model that may answer.

    A class's own default is not the user's.
    """
    return any(asks_for_sample(_given(each), kwargs) for each in underlying_models(model))


def _given(model: BaseChatModel) -> dict[str, Any]:
    """Return the settings that the model was made with."""
    return {name: getattr(model, name, None) for name in model.model_fields_set}


def _stable(llm_string: str) -> str:
    if OBJECT_ADDRESS.search(llm_string):
        raise ConfigurationError(
            "a setting of the model is an object whose content cannot be read, so that its calls "
            "are not cached: give the setting as data, or as an object with a stable repr"
        )
    return llm_string


def _loaded(name: str) -> Any:
    """Find a class by its dotted name among the loaded modules; import nothing."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    raise ConfigurationError(
        f"the schema {name} is not found by this name in its module, so that calls with it are not "
        "cached: define it at the top level of a module"
    )
