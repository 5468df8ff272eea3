"""The response at the provider that a LangChain model continues by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llm_optimizers.caching.answers.ids import lies_at_provider
from llm_optimizers.settings.provider_state import STATE_SETTING

__all__ = ["with_previous_response"]


def with_previous_response(
    params: Mapping[str, Any], answers: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return a request's parameters with the response that the model itself will continue.

    With `use_previous_response_id`, langchain-openai sends the id in the last answer's metadata in
    place of all messages up to it. `answers` are the metadata of the history's answers.
    """
    models = [each for each in params.get(STATE_SETTING, ()) if isinstance(each, Mapping)]
    if not any(each.get("use_previous_response_id") for each in models):
        return params
    known = [str(metadata["id"]) for metadata in answers if lies_at_provider(metadata)]
    return {**params, "previous_response_id": known[-1]} if known else params
