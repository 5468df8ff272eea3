"""The LLM settings that are part of a cache key, as values that can be read by content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.llms.llm import LLM, default_completion_to_prompt
from llama_index.core.schema import BaseComponent
from llama_index.core.tools.types import BaseTool

from llama_index_llm_optimizers.binding import DeferredTools
from llama_index_llm_optimizers.providers import apis_of
from llama_index_llm_optimizers.wrappers import is_wrapper, underlying_models
from llm_optimizers.fingerprint import MODEL_SETTINGS, digest_of_read, fingerprint, settings_of
from llm_optimizers.settings.bookkeeping import shaping_settings
from llm_optimizers.settings.choices import choices_of
from llm_optimizers.settings.provider_state import state_settings
from llm_optimizers.settings.sampling import asks_for_sample

__all__ = [
    "identity_of_call",
    "identity_of_component",
    "identity_of_embedding",
    "identity_of_llm",
    "sampled",
]

_PROMPT_FIELDS = (
    # Handled in `identity_of_llm`, or applied before the call is made.
    "completion_to_prompt",
    "messages_to_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
    "system_prompt",
)
_DEFAULTS = (default_completion_to_prompt, messages_to_prompt)


def identity_of_call(llm: LLM, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a call: its own, and a digest of the LLM's.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    models = tuple(underlying_models(llm))
    choices = choices_of(kwargs, *models)
    given = {name: _translated(value) for name, value in kwargs.items()}
    return {
        **shaping_settings(given, apis_of(models)),
        **({"n": choices} if choices > 1 else {}),
        **state_settings(*models),
        MODEL_SETTINGS: digest_of_read(identity_of_llm(llm)),
    }


def identity_of_llm(llm: LLM) -> dict[str, Any]:
    """Return the settings of an LLM that affect its answers, with those of wrapped LLMs.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    # Before the fields: some LLMs fill one in when this is first read, as Ollama its window.
    model_name = llm.metadata.model_name
    identity = settings_of(llm, skip=_PROMPT_FIELDS, read=_read, apis=apis_of([llm]))
    identity["model_name"] = model_name
    # Used by `chat` and `complete` of LLMs that have no chat format.
    for name in ("messages_to_prompt", "completion_to_prompt"):
        function = getattr(llm, name)
        if function not in _DEFAULTS:
            identity[name] = fingerprint(function)
    if llm.system_prompt:
        identity["system_prompt"] = llm.system_prompt
    if is_wrapper(llm):
        identity["own"] = fingerprint(llm._own_settings())
    return identity


def sampled(llm: LLM, kwargs: Mapping[str, Any]) -> bool:
    """Return whether settings of the user ask for varying answers, at any LLM that may answer.

    A class's own default is not the user's; some classes always set it.
    """
    return any(asks_for_sample(_given(each), kwargs) for each in underlying_models(llm))


def _given(llm: LLM) -> dict[str, Any]:
    """Return the settings that are not their class's defaults."""
    fields = type(llm).model_fields
    return {
        name: value
        for name, value in ((name, getattr(llm, name, None)) for name in fields)
        if value is not None and value != fields[name].get_default(call_default_factory=True)
    }


def identity_of_embedding(model: BaseEmbedding) -> dict[str, Any]:
    """Return the settings of an embedding model that affect its vectors.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    return identity_of_component(model)


def identity_of_component(component: BaseComponent) -> dict[str, Any]:
    """Return the settings of another part of LlamaIndex.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    return settings_of(component, read=_read)


def _read(value: Any) -> Any:
    return fingerprint(_translated(value))


def _translated(value: Any) -> Any:
    """Return a value with LlamaIndex's objects in it as data."""
    if isinstance(value, LLM):
        return digest_of_read(identity_of_llm(value))
    if isinstance(value, DeferredTools):
        return {"tools": list(value), "options": _translated(dict(value.options))}
    if isinstance(value, BaseTool):
        return {"tool": value.metadata.to_openai_tool(skip_length_check=True)}
    if isinstance(value, BaseComponent):
        return digest_of_read(identity_of_component(value))
    if isinstance(value, list | tuple):
        return [_translated(item) for item in value]
    if type(value) is dict:
        return {name: _translated(item) for name, item in value.items()}
    return value
