"""Where LangChain's calls keep settings that refer to state at the provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.caching.answers.ids import lies_at_provider
from llm_optimizers.settings.provider_state import settings_of, stateful_settings

__all__ = ["state_settings", "state_settings_of", "with_previous_response"]

_STATE = "provider_state"


def state_settings(model: BaseChatModel) -> dict[str, Any]:
    """Return such settings of a model, or of the models that it wraps, for its identity."""
    return state_settings_of(settings_of(each) for each in underlying_models(model))


def state_settings_of(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return such settings among those of a model and of a call."""
    found = [stateful_settings(each) for each in sources]
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
