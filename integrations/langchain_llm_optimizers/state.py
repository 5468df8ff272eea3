"""Where LangChain's calls keep settings that refer to state at the provider."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_llm_optimizers.delegating import underlying_models
from llm_optimizers.caching.ids import lies_at_provider
from llm_optimizers.provider_state import settings_of, stateful_settings

__all__ = ["state_settings", "state_settings_of_string", "with_previous_response"]

_STATE = "provider_state"
_CLASS = re.compile(r"<class '[^']*'>")
_OBJECT = re.compile(r"<[^<>]*>")
_PAIR = re.compile(r"\('(\w+)', (?!None\)|False\)|''\)|\{\}\)|\[\]\))")
_ENTRY = re.compile(r"'(\w+)': (?!None|False|''|\{\}|\[\])")
_TYPE = re.compile(r"'type': '(\w+)'")
_HOLDERS = ("extra_body", "model_kwargs", "additional_kwargs")


def state_settings(model: BaseChatModel) -> dict[str, Any]:
    """Return such settings of a model, or of the models that it wraps, for its identity."""
    found = [settings_of(each) for each in underlying_models(model)]
    return {_STATE: found} if any(found) else {}


@lru_cache(maxsize=64)
def state_settings_of_string(llm_string: str) -> Mapping[str, Any]:
    """Return such settings in the `llm_string` that LangChain passes to a cache."""
    found = [stateful_settings(each) for each in _settings(llm_string)]
    return {_STATE: found} if any(found) else {}


def with_previous_response(
    params: Mapping[str, Any], answers: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return a request's parameters with the response that the model itself will go on from.

    With `use_previous_response_id`, langchain-openai sends the id in the last answer's metadata in
    place of all messages up to it. `answers` are the metadata of the history's answers.
    """
    models = [each for each in params.get(_STATE, ()) if isinstance(each, Mapping)]
    if not any(each.get("use_previous_response_id") for each in models):
        return params
    known = [str(metadata["id"]) for metadata in answers if lies_at_provider(metadata)]
    return {**params, "previous_response_id": known[-1]} if known else params


def _settings(llm_string: str) -> list[dict[str, Any]]:
    """Read the JSON of the model's constructor, if any, and the `repr` of the call's settings."""
    found: list[dict[str, Any]] = []
    rest = llm_string
    if llm_string.startswith("{"):
        try:
            model, end = json.JSONDecoder().raw_decode(llm_string)
            found.append(dict(model.get("kwargs") or {}))
            rest = llm_string[end:].removeprefix("---")
        except (ValueError, TypeError, AttributeError, RecursionError):
            rest = llm_string
    return [*found, _pairs(rest)]


def _pairs(text: str) -> dict[str, Any]:
    """Read a `repr` of pairs of names and values; what can be seen of it if it cannot be read."""
    for readable in (text, _CLASS.sub("''", text), _OBJECT.sub("''", text)):
        try:
            return dict(ast.literal_eval(readable))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    found: dict[str, Any] = dict.fromkeys(_PAIR.findall(text), True)
    if any(name in found for name in _HOLDERS):
        # It cannot be seen which of the names inside are settings.
        found["extra_body"] = dict.fromkeys(_ENTRY.findall(text), True)
    if "tools" in found:
        found["tools"] = [{"type": kind} for kind in _TYPE.findall(text)]
    return found
